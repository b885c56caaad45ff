/* Explore's controls and the address: a control writes the address, the address fills the controls. */
(() => {
  const tb = window.tallyboard;
  const ORDER = ['metric', 'measures', 'from', 'to', 'step', 'where', 'by'];
  const SPANS = { s: 's', sec: 's', second: 's', seconds: 's', m: 'm', min: 'm', minute: 'm', minutes: 'm', h: 'h', hour: 'h', hours: 'h', d: 'd', day: 'd', days: 'd', w: 'w', week: 'w', weeks: 'w' };
  const PRESETS = ['-5m', '-15m', '-1h', '-6h', '-24h'];
  const DEFAULT_FROM = '-15m', NO_SPLIT = '-';
  let filled = {};

  function written(params) {
    const code = (text) => encodeURIComponent(text).replace(/[*'()]/g, (c) => '%' + c.charCodeAt(0).toString(16).toUpperCase()).replace(/%3A/g, ':');
    const parts = [];
    ORDER.forEach((name) => params.getAll(name).filter((v) => v !== '').forEach((v) => parts.push(`${name}=${code(v)}`)));
    return parts.length ? '?' + parts.join('&') : '';
  }

  function setRangeIn(params, from, to) {
    params.delete('from');
    params.delete('to');
    params.delete('step');
    if (to && to !== 'now') params.set('to', to);
    if (from && (from !== DEFAULT_FROM || params.has('to'))) params.set('from', from);
  }

  function goTo(params) { tb.go('/explore' + written(params)); }

  tb.setRange = (from, to) => {
    const params = new URLSearchParams(location.search);
    setRangeIn(params, from, to);
    goTo(params);
  };

  /* "90m", "-90m", "last 90 min", or two times with "to" between them */
  function typed(text) {
    const words = text.trim().toLowerCase();
    const match = /^(?:last\s+)?-?\s*(\d{1,6})\s*([a-z]+)$/.exec(words);
    if (match && SPANS[match[2]]) return [`-${match[1]}${SPANS[match[2]]}`, ''];
    const [from, to] = text.trim().split(/\s+(?:to|–)\s+/i);
    return [from.toUpperCase() === 'NOW' ? '' : from, to || ''];
  }

  function metricChanged(params, metric) {
    const tile = tb.last && tb.last.tiles.find((t) => t.metric === metric);
    const has = (dimension) => !tile || tile.dimensions.includes(dimension);
    const where = params.getAll('where').filter((w) => has(w.replace(/^!/, '').split(':')[0]));
    params.set('metric', metric);
    params.delete('measures');
    params.delete('where');
    where.forEach((w) => params.append('where', w));
    if (params.has('by') && !has(params.get('by'))) params.delete('by');
  }

  const CHANGES = {
    metric: (params, value) => { if (value !== filled.metric) metricChanged(params, value); },
    measure: (params, value) => { if (value !== filled.measure) params.set('measures', value); },
    by: (params, value) => { if (value === NO_SPLIT) params.delete('by'); else params.set('by', value); },
    preset: (params, value) => { if (value !== filled.preset) setRangeIn(params, value, ''); },
    range: (params, value) => { const [from, to] = typed(value || ''); if (from || to) setRangeIn(params, from, to); },
  };

  window.dash_clientside.tallyboard.chosen = (metric, measure, by, preset, submitted, range) => {
    const values = { metric, measure, by, preset, range };
    const params = new URLSearchParams(location.search);
    window.dash_clientside.callback_context.triggered.forEach(({ prop_id: prop }) => {
      const id = prop.split('.')[0];
      if (values[id]) CHANGES[id](params, values[id]);
    });
    if (tb.onExplore() && written(params) !== written(new URLSearchParams(location.search))) goTo(params);
    return window.dash_clientside.no_update;
  };

  function set(id, props) {
    const key = id + JSON.stringify(props);
    if (filled['props ' + id] === key) return;
    filled['props ' + id] = key;
    tb.setProps(id, props);
  }

  function fill() {
    const chart = tb.chart;
    if (!tb.byId('explore') || !chart || !chart.state || chart.watch !== tb.search()) return;
    const state = chart.state;
    const metrics = tb.last.tiles.map((tile) => ({ value: tile.metric, label: tile.name }));
    if (state.metric && !metrics.some((m) => m.value === state.metric)) metrics.push({ value: state.metric, label: state.metric });
    const preset = state.live && PRESETS.includes(state.from) ? state.from : '';
    filled.metric = state.metric;
    filled.measure = state.measure;
    filled.preset = preset;
    set('metric', { data: metrics, value: state.metric });
    set('measure', { value: state.measure });
    set('by', { data: [{ value: NO_SPLIT, label: 'nothing' }].concat(state.dimensions.map((d) => ({ value: d, label: d }))), value: state.by || NO_SPLIT });
    set('preset', { value: preset });
    set('range', { value: preset ? '' : state.live ? state.from : `${state.from} to ${state.to}` });
    chips(state);
    const notices = chart.notices || [];
    tb.text(tb.byId('notices'), notices.join(' '));
    tb.show(tb.byId('notices'), notices.length > 0);
  }

  function chips(state) {
    const box = tb.byId('chips'), key = JSON.stringify(state.where);
    tb.show(box, state.where.length > 0);
    if (box.dataset.key === key) return;
    box.dataset.key = key;
    box.replaceChildren(...state.where.map((one) => {
      const words = `${one.dimension}: ${one.negate ? 'not ' : ''}${one.value}`;
      const chip = tb.el('button', 'tb-chip tb-filter', words);
      chip.setAttribute('aria-label', `Remove the filter ${words}`);
      chip.appendChild(tb.el('span', 'tb-cross', '×'));
      chip.addEventListener('click', () => tb.go(one.without));
      return chip;
    }));
  }

  tb.on('tick', fill);
  tb.on('mounted', () => { filled = {}; });
  document.addEventListener('click', (event) => { if (event.target.closest && event.target.closest('#to-live')) tb.backToLive(); });
})();

/* Explore's controls and the address: a control writes the address, the address fills the controls. */
(() => {
  const tb = window.tallyboard;
  const ORDER = ['metric', 'measures', 'from', 'to', 'step', 'where', 'by', 'timezone', 'open', 'find', 'compare', 'chart', 'sort', 'table'];
  const DEFAULT_FROM = '-15m', NO_SPLIT = '-';
  let filled = {};

  function written(params) {
    const code = (text) => encodeURIComponent(text).replace(/[*'()]/g, (c) => '%' + c.charCodeAt(0).toString(16).toUpperCase()).replace(/%3A/g, ':');
    const parts = [];
    ORDER.forEach((name) => params.getAll(name).filter((v) => v !== '').forEach((v) => parts.push(`${name}=${code(v)}`)));
    return parts.length ? '?' + parts.join('&') : '';
  }
  tb.written = written;

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

  function metricChanged(params, metric) {
    const known = tb.choices.find(([name]) => name === metric);
    const has = (dimension) => !known || known[2].includes(dimension);
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
    compare: (params, value) => { if (value === 'previous') params.delete('compare'); else params.set('compare', value); },
    kind: (params, value) => { if (value === 'lines') params.delete('chart'); else params.set('chart', value); },
    step: (params, value) => { if (value === 'auto') params.delete('step'); else params.set('step', value); },
    zone: (params, value) => { if (value === filled.workspace_zone) params.delete('timezone'); else params.set('timezone', value); },
  };

  window.dash_clientside.tallyboard.chosen = (metric, measure, by, compare, zone, kind, step) => {
    const values = { metric, measure, by, compare, zone, kind, step };
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
    const metrics = tb.choices.map(([value, label]) => ({ value, label }));
    if (state.metric && !metrics.some((m) => m.value === state.metric)) metrics.push({ value: state.metric, label: state.metric });
    filled.metric = state.metric;
    filled.measure = state.measure;
    filled.workspace_zone = state.workspace_zone;
    set('metric', { data: metrics, value: state.metric });
    set('measure', { value: state.measure });
    set('by', { data: [{ value: NO_SPLIT, label: 'nothing' }].concat(state.dimensions.map((d) => ({ value: d, label: d }))), value: state.by || NO_SPLIT });
    set('compare', { value: state.compare });
    set('kind', { value: state.chart });
    const steps = ['auto', '1s', '10s', '1m', '5m', '15m', '1h', '1d'];
    set('step', { data: steps.map((v) => ({ value: v, label: v === 'auto' && state.step_shown ? `auto, ${state.step_shown}` : v })), value: state.step });
    const zone = state.timezone || state.workspace_zone;
    const zones = [...new Set([state.workspace_zone, 'UTC', Intl.DateTimeFormat().resolvedOptions().timeZone, zone])].filter(Boolean);
    set('zone', { data: zones.map((v) => ({ value: v, label: v.replace(/_/g, ' ') })), value: zone });
    const notices = chart.notices || [];
    tb.text(tb.byId('notices'), notices.join(' '));
    tb.show(tb.byId('notices'), notices.length > 0);
  }

  tb.on('tick', fill);
  tb.on('mounted', () => { filled = {}; });
  document.addEventListener('click', (event) => { if (event.target.closest && event.target.closest('#to-live')) tb.backToLive(); });
})();

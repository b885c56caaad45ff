/* The explore chart: plotly, updated in place; the values under the pointer are shown by the page, as text. */
(() => {
  const tb = window.tallyboard;
  const CONFIG = { displayModeBar: false, doubleClick: false, scrollZoom: false, responsive: true, showTips: false };
  const PHONE = 768, MARK_WIDTH = 80;
  let loading = null, shown = null, index = null, dragging = false, pending = null, lastLive = '';

  function loadPlotly(url) {
    if (window.Plotly) return Promise.resolve();
    loading = loading || new Promise((done, failed) => {
      const script = document.createElement('script');
      script.src = url;
      script.onload = done;
      script.onerror = () => { loading = null; failed(new Error('plotly.js did not load')); };
      document.head.appendChild(script);
    });
    return loading;
  }

  /* figures name their colours as style sheet variables */
  function painted(value, styles) {
    if (typeof value === 'string') {
      const match = /^var\((--tb-[a-z0-9-]+)\)$/.exec(value);
      return match ? styles.getPropertyValue(match[1]).trim() : value;
    }
    if (Array.isArray(value)) return value.length && typeof value[0] === 'object' ? value.map((v) => painted(v, styles)) : value;
    if (value && typeof value === 'object') {
      return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, k === 'y' && Array.isArray(v) ? v : painted(v, styles)]));
    }
    return value;
  }

  /* as many marks as there is room for; the day under the first one and wherever it changes */
  function marks(chart, width) {
    const room = Math.max(Math.floor(width / MARK_WIDTH), 2);
    const stride = Math.ceil(chart.marks.length / room);
    let day = null;
    const kept = chart.marks.filter((_, i) => i % stride === 0);
    const text = kept.map(([, time, on]) => {
      const label = on === day ? time : `${time}<br>${on}`;
      day = on;
      return label;
    });
    return { vals: kept.map(([at]) => at), text };
  }

  function figureOf(chart, plot) {
    const phone = window.innerWidth < PHONE;
    const { data, layout } = painted(chart.figure, getComputedStyle(document.documentElement));
    const margin = { ...layout.margin };
    if (phone) { margin.r = 10; layout.annotations = []; layout.height = 240; layout.dragmode = false; }
    const { vals, text } = marks(chart, plot.clientWidth - margin.l - margin.r);
    layout.margin = margin;
    layout.xaxis.tickvals = vals;
    layout.xaxis.ticktext = text;
    layout.xaxis.fixedrange = phone;
    return { data, layout };
  }

  async function draw(chart) {
    const plot = tb.byId('plot');
    if (!plot || !chart.figure) return;
    if (dragging) { pending = chart; return; }
    await loadPlotly(plot.dataset.plotly);
    if (tb.byId('plot') !== plot) return;
    const fresh = !plot.classList.contains('js-plotly-plot');
    const { data, layout } = figureOf(chart, plot);
    const at = index === null || !shown ? null : shown.start_ms + index * shown.step_ms;
    await window.Plotly.react(plot, data, layout, CONFIG);
    shown = chart;
    if (fresh) listen(plot);
    tb.byId('chart').removeAttribute('aria-busy');
    if (at !== null) point(Math.round((at - chart.start_ms) / chart.step_ms));
  }

  function listen(plot) {
    plot.on('plotly_hover', (event) => { index = event.points[event.points.length - 1].pointNumber; tip(); });
    plot.on('plotly_unhover', () => { if (document.activeElement !== plot) { index = null; tip(); } });
    plot.on('plotly_relayout', zoomed);
    plot.on('plotly_doubleclick', backToLive);
    plot.addEventListener('pointerdown', () => { dragging = true; }, true);
    plot.addEventListener('keydown', step);
    plot.addEventListener('blur', () => { index = null; tip(); });
  }

  window.addEventListener('pointerup', () => setTimeout(() => {
    dragging = false;
    if (pending) { const chart = pending; pending = null; if (chart.watch === tb.search()) draw(chart); }
  }, 50), true);

  /* a drag across the chart becomes the range, in whole buckets */
  function zoomed(event) {
    if (!('xaxis.range[0]' in event) || !shown) return;
    const bound = (key) => new Date(event[key] + (typeof event[key] === 'string' && !/Z|[+-]\d\d:?\d\d$/.test(event[key]) ? 'Z' : '')).getTime();
    const size = shown.step_ms;
    const from = Math.floor(bound('xaxis.range[0]') / size) * size;
    const to = Math.max(Math.ceil(bound('xaxis.range[1]') / size) * size, from + size);
    if (!Number.isFinite(from) || !Number.isFinite(to)) return;
    const iso = (ms) => new Date(ms).toISOString().replace('.000', '');
    tb.setRange(iso(from), iso(to));
  }

  function backToLive() {
    const params = new URLSearchParams(location.search);
    if (params.has('to') && params.get('to') !== 'now') tb.setRange(lastLive, '');
  }
  tb.backToLive = backToLive;

  function point(wanted) {
    index = Math.min(Math.max(wanted, 0), Math.max(shown.lines[0].texts.length - 1, 0));
    const plot = tb.byId('plot');
    try { window.Plotly.Fx.hover(plot, [{ curveNumber: shown.figure.data.length - 1, pointNumber: index }]); } catch (e) { /* not drawn yet */ }
    tip();
  }

  function step(event) {
    const moves = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -1e6, End: 1e6 };
    if (!(event.key in moves) || !shown) return;
    event.preventDefault();
    event.stopPropagation();
    point((index === null ? shown.running : index) + moves[event.key]);
    tb.say(tb.byId('tip').textContent);
  }

  function when(chart, i) {
    const start = new Date(chart.start_ms + i * chart.step_ms), end = new Date(start.getTime() + chart.step_ms);
    const clock = (d) => d.toISOString().slice(11, chart.step_ms < 60000 ? 19 : 16);
    const day = start.toLocaleDateString('en-GB', { weekday: 'short', day: 'numeric', month: 'short', timeZone: 'UTC' });
    return `${day}, ${clock(start)}${chart.step_ms > 1000 ? '–' + clock(end) : ''}${i >= chart.running ? ' · so far' : ''}`;
  }

  function tip() {
    const box = tb.byId('tip'), plot = tb.byId('plot');
    if (!box || !plot) return;
    if (index === null || !shown || !plot._fullLayout) { tb.show(box, false); return; }
    box.replaceChildren(tb.el('div', 'tb-tip-time', when(shown, index)));
    shown.lines.forEach((line) => {
      const row = box.appendChild(tb.el('div', 'tb-tip-row'));
      const dot = row.appendChild(tb.el('span', 'tb-swatch'));
      dot.dataset.colour = line.colour;
      row.appendChild(tb.el('span', 'tb-tip-name', line.name));
      row.appendChild(tb.el('span', 'tb-tip-value', line.texts[index] === null ? '–' : line.texts[index]));
    });
    tb.show(box, true);
    const axis = plot._fullLayout.xaxis, margin = plot._fullLayout.margin;
    const x = margin.l + axis.d2p(shown.start_ms + index * shown.step_ms);
    const right = x < plot.clientWidth / 2;
    box.style.transform = `translateX(${Math.round(right ? x + 14 : x - 14 - box.offsetWidth)}px)`;
  }

  function setDelta(element, number) {
    tb.text(element, number.delta);
    element.dataset.tone = number.tone;
  }

  function head(chart) {
    const title = tb.byId('chart-title'), number = tb.byId('chart-number');
    tb.text(title, chart.metric);
    title.title = chart.about;
    if (!number.firstChild) ['tb-value', 'tb-delta', 'tb-was'].forEach((name) => number.appendChild(tb.el('span', name)));
    const [value, delta, was] = number.children;
    tb.text(value, chart.number.text);
    value.title = chart.number.exact;
    setDelta(delta, chart.number);
    tb.text(was, chart.number.was);
    tb.text(tb.byId('chart-measure'), `${chart.measure}, ${chart.state.range}, by ${chart.step}`);
    tb.byId('plot').setAttribute('aria-label',
      `${chart.metric}, ${chart.measure}, ${chart.state.range}: ${chart.number.text}, ${chart.number.delta} ${chart.number.was}. Arrow keys move through the chart.`);
    tb.byId('csv').setAttribute('href', chart.csv);
    tb.byId('copy-query').dataset.copy = `curl '${location.origin}${chart.query}'`;
    tb.show(tb.byId('to-live'), !chart.state.live);
    if (chart.state.live) lastLive = chart.state.from;
  }

  function table(chart) {
    const box = tb.byId('table-box');
    if (!box || !box.open) return;
    const rows = tb.el('table', 'tb-table');
    const top = rows.appendChild(tb.el('thead')).appendChild(tb.el('tr'));
    top.appendChild(tb.el('th', null, 'Time (UTC)'));
    chart.lines.forEach((line) => top.appendChild(tb.el('th', 'tb-right-cell', line.name)));
    const body = rows.appendChild(tb.el('tbody'));
    const last = Math.min(chart.running, chart.lines[0].texts.length - 1);
    for (let i = last; i >= Math.max(last - 99, 0); i -= 1) {
      const row = body.appendChild(tb.el('tr'));
      row.appendChild(tb.el('td', null, when(chart, i)));
      chart.lines.forEach((line) => row.appendChild(tb.el('td', 'tb-right-cell', line.texts[i] === null ? '–' : line.texts[i])));
    }
    tb.byId('table').replaceChildren(rows);
  }

  function paint() {
    const chart = tb.chart;
    if (!tb.byId('chart') || !chart || chart.watch !== tb.search()) return;
    const empty = chart.error || chart.empty || '';
    tb.text(tb.byId('chart-empty'), empty);
    tb.show(tb.byId('chart-empty'), empty !== '');
    tb.byId('chart').classList.toggle('tb-failed', Boolean(chart.error));
    if (!chart.figure) { tb.byId('chart').removeAttribute('aria-busy'); return; }
    head(chart);
    table(chart);
    if (shown !== chart || !tb.byId('plot').classList.contains('js-plotly-plot')) draw(chart).catch((error) => tb.text(tb.byId('chart-empty'), error.message));
  }

  tb.on('tick', paint);
  tb.on('mounted', () => { shown = null; index = null; });
  tb.on('theme', () => { if (tb.chart && tb.byId('plot')) { shown = null; paint(); } });
  document.addEventListener('toggle', (event) => { if (event.target.id === 'table-box' && tb.chart) paint(); }, true);
  let resizing = 0;
  window.addEventListener('resize', () => { clearTimeout(resizing); resizing = setTimeout(() => { if (shown) draw(shown); }, 150); });
})();

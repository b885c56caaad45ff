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
    if (Array.isArray(value)) return value.some((v) => typeof v === 'string' || (v && typeof v === 'object')) ? value.map((v) => painted(v, styles)) : value;
    if (value && typeof value === 'object') {
      return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, 'xyz'.includes(k) && Array.isArray(v) ? v : painted(v, styles)]));
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
    if (phone) { margin.r = 10; layout.annotations = layout.annotations.filter((a) => a.xref !== 'paper'); layout.height = 240; layout.dragmode = false; }
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
    await loadPlotly(tb.at(plot.dataset.plotly));
    if (tb.byId('plot') !== plot) return;
    const fresh = !plot.classList.contains('js-plotly-plot');
    const { data, layout } = figureOf(chart, plot);
    const at = index === null || !shown ? null : startOf(shown, index);
    await window.Plotly.react(plot, data, layout, CONFIG);
    // `react` does not see that the first mark came or that the last one went
    const flagged = JSON.stringify(chart.annotations.map((note) => [note.id, note.at_ms, note.end_ms]));
    if (!fresh && flagged !== plot.dataset.flagged) await window.Plotly.relayout(plot, { annotations: layout.annotations, shapes: layout.shapes });
    plot.dataset.flagged = flagged;
    shown = chart;
    if (fresh) listen(plot);
    tb.byId('chart').removeAttribute('aria-busy');
    if (at !== null) point(placeOf(chart, at));
  }

  function listen(plot) {
    plot.on('plotly_hover', (event) => { index = event.points[event.points.length - 1].pointNumber; tip(); });
    plot.on('plotly_unhover', () => { if (document.activeElement !== plot) { index = null; tip(); } });
    plot.on('plotly_clickannotation', (event) => tb.emit('flag', event.annotation.name));
    plot.on('plotly_relayout', zoomed);
    plot.on('plotly_doubleclick', () => tb.wider());
    plot.addEventListener('pointerdown', () => { dragging = true; }, true);
    plot.addEventListener('keydown', step);
    plot.addEventListener('blur', () => { index = null; tip(); });
  }

  window.addEventListener('pointerup', () => setTimeout(() => {
    dragging = false;
    if (pending) { const chart = pending; pending = null; if (chart.watch === tb.search()) draw(chart); }
  }, 50), true);

  /* buckets: even ones, or local days with their edges */
  const count = (chart) => (chart.lines.length ? chart.lines[0].texts.length : 0);
  const startOf = (chart, i) => (chart.edges.length ? chart.edges[Math.min(Math.max(i, 0), chart.edges.length - 1)] : chart.start_ms + i * chart.step_ms);
  const placeOf = (chart, at) => (chart.edges.length ? chart.edges.filter((edge) => edge <= at).length - 1 : Math.floor((at - chart.start_ms) / chart.step_ms));

  /* the page's time zone: a moment whose UTC fields are those of the clocks there */
  function local(chart, ms) {
    let ahead = 0;
    chart.zone.offsets.forEach(([since, offset]) => { if (ms >= since) ahead = offset; });
    return new Date(ms + ahead);
  }

  /* a drag across the chart becomes the range, in whole buckets */
  function zoomed(event) {
    if (!('xaxis.range[0]' in event) || !shown) return;
    const bound = (key) => new Date(event[key] + (typeof event[key] === 'string' && !/Z|[+-]\d\d:?\d\d$/.test(event[key]) ? 'Z' : '')).getTime();
    const first = placeOf(shown, bound('xaxis.range[0]'));
    const behind = placeOf(shown, bound('xaxis.range[1]') - 1) + 1;
    const from = startOf(shown, first), to = startOf(shown, Math.max(behind, first + 1));
    if (!Number.isFinite(from) || !Number.isFinite(to)) return;
    const iso = (ms) => new Date(ms).toISOString().replace('.000', '');
    tb.setRange(iso(from), iso(to));
  }

  /* the moment that is pointed at: the beginning of its bucket */
  tb.pointedAt = () => (index === null || !shown ? null : startOf(shown, index));

  function backToLive() {
    const params = new URLSearchParams(location.search);
    if (params.has('to') && params.get('to') !== 'now') tb.setRange(lastLive, '');
  }
  tb.backToLive = backToLive;

  function point(wanted) {
    index = Math.min(Math.max(wanted, 0), Math.max(count(shown) - 1, 0));
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
    const start = local(chart, startOf(chart, i)), end = local(chart, startOf(chart, i) + (chart.edges.length ? 0 : chart.step_ms));
    const clock = (d) => d.toISOString().slice(11, chart.step_ms < 60000 ? 19 : 16);
    const day = start.toLocaleDateString('en-GB', { weekday: 'short', day: 'numeric', month: 'short', timeZone: 'UTC' });
    const open = i >= chart.running ? ' · so far' : '';
    if (chart.step_ms >= 86400000) return `${day} ${start.getUTCFullYear()}${open}`;
    return `${day}, ${clock(start)}${chart.step_ms > 1000 ? '–' + clock(end) : ''}${open}`;
  }

  function tip() {
    const box = tb.byId('tip'), plot = tb.byId('plot');
    if (!box || !plot) return;
    if (index === null || !shown || !plot._fullLayout) { tb.show(box, false); return; }
    box.replaceChildren(tb.el('div', 'tb-tip-time', when(shown, index)));
    [...shown.lines, ...shown.beside].forEach((line) => {
      const row = box.appendChild(tb.el('div', 'tb-tip-row'));
      const dot = row.appendChild(tb.el('span', 'tb-swatch'));
      dot.dataset.colour = line.colour;
      row.appendChild(tb.el('span', 'tb-tip-name', line.name));
      row.appendChild(tb.el('span', 'tb-tip-value', line.texts[index] === null ? '–' : line.texts[index]));
    });
    if (shown.bound) box.appendChild(tb.el('div', 'tb-tip-note', shown.bound));
    const from = startOf(shown, index), to = startOf(shown, index + 1);
    shown.annotations.filter((note) => note.at_ms < to && (note.end_ms === null ? note.at_ms : note.end_ms) >= from)
      .forEach((note) => box.appendChild(tb.el('div', 'tb-tip-note', `▾ ${note.text}${note.author ? ` · ${note.author}` : ''}`)));
    tb.show(box, true);
    const axis = plot._fullLayout.xaxis, margin = plot._fullLayout.margin;
    const x = margin.l + axis.d2p(from + shown.shift * (to - from));
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
    if (!number.firstChild) ['tb-value', 'tb-delta', 'tb-was', 'tb-was tb-against'].forEach((name) => number.appendChild(tb.el('span', name)));
    const [value, delta, was, against] = number.children;
    tb.text(value, chart.number.text);
    value.title = chart.number.exact;
    setDelta(delta, chart.number);
    tb.text(was, chart.number.was);
    tb.text(against, chart.number.against);
    tb.text(tb.byId('chart-measure'), `${chart.measure}, ${chart.state.range}, by ${chart.step}`);
    tb.byId('plot').setAttribute('aria-label',
      `${chart.metric}, ${chart.measure}, ${chart.state.range}: ${chart.number.text}, ${chart.number.delta} ${chart.number.against} ${chart.number.was}. Arrow keys move through the chart.`);
    tb.show(tb.byId('to-live'), !chart.state.live);
    if (chart.state.live) lastLive = chart.state.from;
  }

  function captions(chart) {
    const box = tb.byId('captions'), key = JSON.stringify(chart.captions);
    tb.show(box, chart.captions.length > 0);
    if (box.dataset.key === key) return;
    box.dataset.key = key;
    box.replaceChildren(...chart.captions.map((one) => {
      const line = tb.el('p', 'tb-caption', one.text);
      line.dataset.tone = one.tone;
      return line;
    }));
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
    captions(chart);
    if (shown !== chart || !tb.byId('plot').classList.contains('js-plotly-plot')) draw(chart).catch((error) => tb.text(tb.byId('chart-empty'), error.message));
  }

  tb.on('tick', paint);
  tb.on('mounted', () => { shown = null; index = null; });
  tb.on('theme', () => { if (tb.chart && tb.byId('plot')) { shown = null; paint(); } });
  let resizing = 0;
  window.addEventListener('resize', () => { clearTimeout(resizing); resizing = setTimeout(() => { if (shown) draw(shown); }, 150); });
})();

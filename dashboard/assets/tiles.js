/* The overview: a card per metric, kept in place and changed in place. Every text is set as text. */
(() => {
  const tb = window.tallyboard;
  const SVG = 'http://www.w3.org/2000/svg';
  const WIDTH = 300, HEIGHT = 40;
  const NAMES = { '1m': '1 min', '5m': '5 min', '1h': '1 hour' };
  const cards = new Map();
  let chosen = '1m', seenAny = null;

  window.dash_clientside.tallyboard.window = (value) => {
    if (NAMES[value]) chosen = value;
    if (tb.last) draw(tb.last);
    return value;
  };

  function svg(tag, className) {
    const element = document.createElementNS(SVG, tag);
    element.setAttribute('class', className);
    return element;
  }

  function spark() {
    const root = svg('svg', 'tb-spark');
    root.setAttribute('viewBox', `0 0 ${WIDTH} ${HEIGHT}`);
    root.setAttribute('preserveAspectRatio', 'none');
    root.setAttribute('aria-hidden', 'true');
    const parts = { area: svg('path', 'tb-area'), line: svg('path', 'tb-line'), tail: svg('path', 'tb-tail'), ring: svg('path', 'tb-ring') };
    Object.values(parts).forEach((part) => root.appendChild(part));
    return { root, parts };
  }

  /* the last minute is still open: a sum of it is a lone point, anything else a dotted end */
  function paths(values, additive) {
    const known = values.filter((v) => v !== null);
    if (known.length === 0) return { area: '', line: '', tail: '', ring: '' };
    const low = additive ? Math.min(0, ...known) : Math.min(...known);
    const high = Math.max(...known), span = high - low || Math.abs(high) || 1;
    const base = high === low && !additive ? low - span / 2 : low;
    const x = (i) => (3 + i * (WIDTH - 6) / (values.length - 1)).toFixed(1);
    const y = (v) => (HEIGHT - 3 - (v - base) / span * (HEIGHT - 6)).toFixed(1);
    const last = values.length - 1;
    let line = '', area = '', start = null;
    for (let i = 0; i <= last; i += 1) {
      const drawn = i < last && values[i] !== null;
      if (drawn) { line += `${start === null ? 'M' : 'L'}${x(i)} ${y(values[i])}`; if (start === null) start = i; }
      if (!drawn && start !== null) {
        const run = line.slice(line.lastIndexOf('M'));
        if (additive) area += `${run}L${x(i - 1)} ${HEIGHT}L${x(start)} ${HEIGHT}Z`;
        if (i - 1 === start) line += `L${x(start)} ${y(values[start])}`;
        start = null;
      }
    }
    const open = values[last], before = values[last - 1];
    const tail = !additive && open !== null && before !== null ? `M${x(last - 1)} ${y(before)}L${x(last)} ${y(open)}` : '';
    const ring = open === null ? '' : `M${x(last)} ${y(open)}h0`;
    return { area, line, tail, ring };
  }

  function figure(name) {
    const box = tb.el('span', 'tb-window');
    const label = box.appendChild(tb.el('span', 'tb-window-name', NAMES[name]));
    const value = box.appendChild(tb.el('span', 'tb-window-value'));
    const delta = box.appendChild(tb.el('span', 'tb-delta'));
    return { box, label, value, delta };
  }

  function setDelta(element, shown) {
    tb.text(element, shown.delta);
    if (element.dataset.tone !== shown.tone) element.dataset.tone = shown.tone;
  }

  function create() {
    const root = tb.el('a', 'tb-tile tb-card');
    const head = root.appendChild(tb.el('span', 'tb-head'));
    const name = head.appendChild(tb.el('span', 'tb-name'));
    const measure = head.appendChild(tb.el('span', 'tb-measure'));
    const row = root.appendChild(tb.el('span', 'tb-headline'));
    const value = row.appendChild(tb.el('span', 'tb-value'));
    const delta = row.appendChild(tb.el('span', 'tb-delta'));
    const was = row.appendChild(tb.el('span', 'tb-was'));
    const chip = row.appendChild(tb.el('span', 'tb-chip tb-stale'));
    const drawing = spark();
    root.appendChild(drawing.root);
    const foot = root.appendChild(tb.el('span', 'tb-foot'));
    const windows = {};
    Object.keys(NAMES).forEach((key) => { windows[key] = figure(key); foot.appendChild(windows[key].box); });
    root.addEventListener('click', (event) => {
      if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
      event.preventDefault();
      tb.go(root.getAttribute('href'));
    });
    return { root, name, measure, chip, value, delta, was, drawing, windows, spark: null };
  }

  function fill(card, tile) {
    if (card.root.getAttribute('href') !== tile.href) card.root.setAttribute('href', tile.href);
    const shown = tile.windows[chosen];
    tb.text(card.name, tile.name);
    card.name.title = tile.about ? `${tile.name}: ${tile.about}` : tile.name;
    tb.text(card.measure, `${tile.measure}, ${NAMES[chosen]}`);
    tb.text(card.value, shown.text);
    card.value.title = shown.exact;
    setDelta(card.delta, shown);
    tb.text(card.was, shown.was);
    Object.entries(card.windows).forEach(([key, part]) => {
      tb.show(part.box, key !== chosen);
      tb.text(part.value, tile.windows[key].text);
      part.value.title = `${tile.windows[key].exact} ${tile.windows[key].was}`.trim();
      setDelta(part.delta, tile.windows[key]);
    });
    tb.show(card.chip, tile.silent_ms !== null);
    tb.text(card.chip, tile.silent_ms === null ? '' : `◷ ${tb.age(tile.silent_ms)} old`);
    card.root.classList.toggle('tb-silent', tile.silent_ms !== null);
    const drawn = JSON.stringify(tile.spark);
    if (card.spark !== drawn) {
      card.spark = drawn;
      const made = paths(tile.spark, tile.additive);
      Object.entries(made).forEach(([key, d]) => card.drawing.parts[key].setAttribute('d', d));
    }
  }

  function welcome(message) {
    const first = message.tiles.length > 0;
    if (seenAny === false && first) tb.say(`First event: ${message.tiles[0].name}, just now.`);
    const fresh = seenAny === false && first;
    seenAny = first;
    tb.show(tb.byId('waiting'), !first);
    tb.show(tb.byId('overview'), first);
    tb.show(tb.byId('explore'), first);
    return fresh;
  }

  function draw(message) {
    const fresh = welcome(message);
    const box = tb.byId('tiles');
    if (!box) return;
    if (box.getAttribute('aria-busy') === 'true') {
      box.replaceChildren();
      box.removeAttribute('aria-busy');
    }
    const metrics = new Set(message.tiles.map((tile) => tile.metric));
    [...cards].filter(([metric]) => !metrics.has(metric)).forEach(([metric, card]) => { card.root.remove(); cards.delete(metric); });
    message.tiles.forEach((tile, i) => {
      let card = cards.get(tile.metric);
      if (!card) {
        card = create();
        if (fresh) card.root.classList.add('tb-new');
        cards.set(tile.metric, card);
      }
      fill(card, tile);
      if (box.children[i] !== card.root) box.insertBefore(card.root, box.children[i] || null);
    });
  }

  tb.on('tick', draw);
})();

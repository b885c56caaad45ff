/* The overview's tiles: what the push says of them is kept, and drawn where it can be seen. A tile stays in place and
   changes in place; every text is set as text. */
(() => {
  const tb = window.tallyboard;
  const SVG = 'http://www.w3.org/2000/svg';
  const WIDTH = 300, HEIGHT = 40, FIRST = 24, MOST_LATE = 12;
  const NAMES = { '1m': '1 min', '5m': '5 min', '1h': '1 hour' };
  const VALUE = 0, DELTA = 1, TONE = 2, WAS = 3, WEEK = 4, WEEK_TONE = 5;
  const cards = new Map(), groups = new Map();
  const live = new Map();
  let frozen = null;               // the tiles as they were when the page was paused
  const known = { order: [], get tiles() { return frozen || live; } };
  let seenAny = null, laidOut = '';

  /* --- what is known: each message brings what changed --- */
  function keep(message) {
    if (message.order) {
      known.order = message.order;
      const named = new Set(message.order);
      [...live.keys()].filter((metric) => !named.has(metric)).forEach((metric) => live.delete(metric));
    }
    (message.tiles || []).forEach(({ n, ...parts }) => {
      const metric = known.order[n];
      live.set(metric, { ...live.get(metric), ...parts });
      const card = cards.get(metric);
      if (card) card.dirty = true;
    });
  }
  tb.tiles = known;

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
    const parts = {};
    ['area', 'line', 'tail', 'ring', 'late'].forEach((name) => { parts[name] = root.appendChild(svg('path', `tb-${name}`)); });
    return { root, parts };
  }

  /* the last minute is still open: a sum of it is a lone point, anything else a dotted end */
  function paths(values, additive, late) {
    const numbers = values.filter((v) => v !== null);
    if (numbers.length === 0) return { area: '', line: '', tail: '', ring: '', late: '' };
    const low = additive ? Math.min(0, ...numbers) : Math.min(...numbers);
    const high = Math.max(...numbers), span = high - low || Math.abs(high) || 1;
    const base = high === low && !additive ? low - span / 2 : low;
    const x = (i) => (3 + i * (WIDTH - 6) / (values.length - 1)).toFixed(1);
    const y = (v) => (HEIGHT - 3 - (v - base) / span * (HEIGHT - 6)).toFixed(1);
    const point = (i) => `M${x(i)} ${y(values[i])}h0`;
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
    return { area, line, tail, ring: open === null ? '' : point(last), late: (late.length > MOST_LATE ? [] : late).filter((i) => values[i] !== null).map(point).join('') };
  }

  function figure(name) {
    const box = tb.el('span', 'tb-window');
    box.appendChild(tb.el('span', 'tb-window-name', NAMES[name]));
    const value = box.appendChild(tb.el('span', 'tb-window-value'));
    const delta = box.appendChild(tb.el('span', 'tb-delta'));
    return { box, value, delta };
  }

  function setDelta(element, text, tone) {
    tb.text(element, text);
    if (element.dataset.tone !== tone) element.dataset.tone = tone;
  }

  function create(metric) {
    const cell = tb.el('div', 'tb-cell');
    const root = cell.appendChild(tb.el('a', 'tb-tile tb-card'));
    const head = root.appendChild(tb.el('span', 'tb-head'));
    const name = head.appendChild(tb.el('span', 'tb-name'));
    const measure = head.appendChild(tb.el('span', 'tb-measure'));
    const marks = head.appendChild(tb.el('span', 'tb-marks'));
    const restated = marks.appendChild(tb.el('span', 'tb-chip tb-restated', '◇'));
    restated.setAttribute('role', 'img');
    restated.setAttribute('aria-label', 'Restated');
    const chip = marks.appendChild(tb.el('span', 'tb-chip tb-stale'));
    const row = root.appendChild(tb.el('span', 'tb-headline'));
    const value = row.appendChild(tb.el('span', 'tb-value'));
    const changes = row.appendChild(tb.el('span', 'tb-changes'));
    const before = changes.appendChild(tb.el('span', 'tb-change'));
    const delta = before.appendChild(tb.el('span', 'tb-delta'));
    const was = before.appendChild(tb.el('span', 'tb-was'));
    const weekly = changes.appendChild(tb.el('span', 'tb-change tb-weekly'));
    const week = weekly.appendChild(tb.el('span', 'tb-delta'));
    const day = weekly.appendChild(tb.el('span', 'tb-was'));
    const drawing = spark();
    root.appendChild(drawing.root);
    const foot = root.appendChild(tb.el('span', 'tb-foot'));
    const windows = {};
    Object.keys(NAMES).forEach((key) => { windows[key] = figure(key); foot.appendChild(windows[key].box); });
    const pin = cell.appendChild(tb.el('button', 'tb-pin'));
    pin.appendChild(tb.el('span', 'tb-pin-mark'));
    const more = cell.appendChild(tb.el('button', 'tb-details-button', 'i'));
    [cell, root, pin, more].forEach((element) => { element.dataset.metric = metric; });
    return { cell, root, name, measure, restated, chip, value, delta, was, weekly, week, day, drawing, windows, pin, more,
      spark: null, seen: false, dirty: true };
  }

  function fill(card, tile, message) {
    const is = tile.is, chosen = tb.overview.window, shown = tile[chosen];
    if (card.root.getAttribute('href') !== tb.at(is.href)) card.root.setAttribute('href', tb.at(is.href));
    tb.text(card.name, is.name);
    card.name.title = is.about ? `${is.name}: ${is.about}` : is.name;
    tb.text(card.measure, `${is.measure}, ${NAMES[chosen]}`);
    card.more.setAttribute('aria-label', `About ${is.name}`);
    tb.text(card.value, shown[VALUE]);
    setDelta(card.delta, shown[DELTA], shown[TONE]);
    tb.text(card.was, shown[WAS]);
    const has = shown[WEEK_TONE] !== 'none';
    setDelta(card.week, has ? shown[WEEK] : '', shown[WEEK_TONE]);
    tb.text(card.day, has ? `last ${message.weekday}` : '');
    Object.entries(card.windows).forEach(([key, part]) => {
      tb.show(part.box, key !== chosen);
      tb.text(part.value, tile[key][VALUE]);
      setDelta(part.delta, tile[key][DELTA], tile[key][TONE]);
    });
    tb.show(card.restated, tile.late.length > 0);
    card.restated.title = `Restated: late events changed ${tile.late.length} of these minutes`;
    const drawn = JSON.stringify([tile.spark, tile.open, tile.late]);
    if (card.spark !== drawn) {
      card.spark = drawn;
      const made = paths([...tile.spark, tile.open], is.additive, tile.late);
      Object.entries(made).forEach(([key, d]) => card.drawing.parts[key].setAttribute('d', d));
    }
  }

  function age(card, tile, message) {
    tb.show(card.chip, tile.silent !== null);
    tb.text(card.chip, tile.silent === null ? '' : `◷ ${tb.age(message.now - tile.silent)} old`);
    card.root.classList.toggle('tb-silent', tile.silent !== null);
  }

  function paint(metric) {
    const card = cards.get(metric), tile = known.tiles.get(metric);
    if (!card || !tile || !tb.last) return;
    if (card.dirty) { card.dirty = false; fill(card, tile, tb.last); }
    age(card, tile, tb.last);
  }

  /* --- only what is on the screen, or nearly, is drawn --- */
  const watcher = new IntersectionObserver((entries) => entries.forEach((entry) => {
    const card = cards.get(entry.target.dataset.metric);
    if (!card || card.cell !== entry.target) return;
    card.seen = entry.isIntersecting;
    if (card.seen) paint(entry.target.dataset.metric);
  }), { rootMargin: '300px 0px' });

  /* --- where tiles stand: the pinned ones first, then by group --- */
  function sections() {
    const found = new Map(), pins = tb.overview.pins;
    const add = (title, metric) => { if (!found.has(title)) found.set(title, []); found.get(title).push(metric); };
    pins.filter((metric) => known.tiles.has(metric)).forEach((metric) => add('pinned', metric));
    known.order.filter((metric) => known.tiles.has(metric) && !pins.includes(metric))
      .forEach((metric) => add(`group ${known.tiles.get(metric).is.group}`, metric));
    return found;
  }

  function section(key) {
    const box = tb.el('section', 'tb-group');
    const head = box.appendChild(tb.el('h2', 'tb-group-name', key === 'pinned' ? 'Pinned' : key.slice(6)));
    const grid = box.appendChild(tb.el('div', 'tb-tiles'));
    return { box, head, grid };
  }

  const put = (parent, child, i) => { if (parent.children[i] !== child) parent.insertBefore(child, parent.children[i] || null); };

  function layOut(box, fresh) {
    const found = sections(), focused = document.activeElement;
    const plan = JSON.stringify([...found].map(([key, metrics]) => [key, metrics, metrics.map((m) => known.tiles.get(m).is)]));
    if (plan === laidOut && box.firstChild && groups.size) return;
    laidOut = plan;
    [...cards].filter(([metric]) => !known.tiles.has(metric)).forEach(([metric, card]) => { watcher.unobserve(card.cell); card.cell.remove(); cards.delete(metric); });
    [...groups].filter(([key]) => !found.has(key)).forEach(([key, group]) => { group.box.remove(); groups.delete(key); });
    let place = 0;
    [...found].forEach(([key, metrics], n) => {
      if (!groups.has(key)) groups.set(key, section(key));
      const group = groups.get(key);
      tb.show(group.head, found.size > 1);
      put(box, group.box, n);
      metrics.forEach((metric, i) => {
        let card = cards.get(metric);
        if (!card) {
          card = create(metric);
          card.seen = place < FIRST;
          if (fresh) card.root.classList.add('tb-new');
          cards.set(metric, card);
          watcher.observe(card.cell);
          tb.text(card.name, known.tiles.get(metric).is.name);
          card.root.setAttribute('href', tb.at(known.tiles.get(metric).is.href));
        }
        const pinned = key === 'pinned';
        card.pin.setAttribute('aria-pressed', String(pinned));
        card.pin.setAttribute('aria-label', `${pinned ? 'Unpin' : 'Pin'} ${known.tiles.get(metric).is.name}`);
        card.pin.title = pinned ? 'Unpin' : 'Pin to the top';
        put(group.grid, card.cell, i);
        place += 1;
      });
    });
    // a tile that moved keeps the focus
    if (focused && focused.isConnected && document.activeElement !== focused && box.contains(focused)) focused.focus();
    tb.emit('laid out');
  }

  function welcome(message) {
    const some = message.metrics > 0, first = known.tiles.get(known.order[0]);
    if (seenAny === false && some) tb.say(first ? `First event: ${first.is.name}, just now.` : 'The first event is here.');
    const fresh = seenAny === false && some;
    seenAny = some;
    tb.show(tb.byId('waiting'), !some);
    tb.show(tb.byId('overview'), some);
    tb.show(tb.byId('explore'), some);
    return fresh;
  }

  function draw(message) {
    const fresh = welcome(message), box = tb.byId('tiles');
    if (!box || (message.metrics > 0 && known.tiles.size === 0)) return;
    if (box.getAttribute('aria-busy') === 'true') {
      // the page was made again: so are its tiles
      watcher.disconnect();
      cards.clear();
      groups.clear();
      laidOut = '';
      box.replaceChildren();
      box.removeAttribute('aria-busy');
    }
    layOut(box, fresh);
    cards.forEach((card, metric) => { if (card.seen) paint(metric); });
  }

  /* everything once more, after a change of the page's own state */
  tb.redrawTiles = () => {
    cards.forEach((card) => { card.dirty = true; });
    if (tb.last) draw(tb.last);
  };
  tb.tileOf = (metric) => cards.get(metric);

  tb.on('received', keep);
  tb.on('paused', () => { frozen = tb.paused ? new Map(live) : null; });
  tb.on('tick', draw);
})();

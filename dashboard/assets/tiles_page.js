/* The overview's own state: the window of the large number, the text that is looked for and the pinned metrics. All of it
   stands in the address; pins are remembered for addresses that say nothing of them. */
(() => {
  const tb = window.tallyboard;
  const WINDOWS = ['1m', '5m', '1h'], PINS = 'tallyboard-pins', MOST_PINS = 50, LONGEST = 8000;
  const code = (text) => encodeURIComponent(text).replace(/[*'()]/g, (c) => '%' + c.charCodeAt(0).toString(16).toUpperCase());
  const state = { window: WINDOWS[0], find: '', pins: [] };
  tb.overview = state;
  let field = null, typing = 0;

  function remembered() {
    try {
      const found = JSON.parse(localStorage.getItem(PINS) || '[]');
      return Array.isArray(found) ? found.filter((name) => typeof name === 'string') : [];
    } catch (e) { return []; }
  }

  function read() {
    const params = new URLSearchParams(location.search), pins = params.getAll('pin').filter(Boolean);
    const window_ = params.get('window');
    state.window = WINDOWS.includes(window_) ? window_ : WINDOWS[0];
    state.find = (params.get('find') || '').slice(0, 200);
    state.pins = [...new Set(pins.length ? pins : remembered())].slice(0, MOST_PINS);
  }

  function written() {
    const parts = [];
    if (state.window !== WINDOWS[0]) parts.push(`window=${state.window}`);
    if (state.find) parts.push(`find=${code(state.find)}`);
    state.pins.forEach((metric) => parts.push(`pin=${code(metric)}`));
    const search = parts.length ? '?' + parts.join('&') : '';
    return search.length > LONGEST ? location.search : search;
  }

  /* into the address without a step in the history */
  function note() {
    const search = written();
    if (tb.onExplore() || search === location.search) return;
    history.replaceState(history.state, '', tb.at(tb.path()) + search);
    // the router has to know, or it takes the way back for a step it has already made
    window.dash_clientside.set_props('url', { href: location.href, search: location.search });
  }

  window.dash_clientside.tallyboard.window = (value) => {
    if (WINDOWS.includes(value) && value !== state.window) {
      state.window = value;
      tb.go(tb.path() + written());
      tb.redrawTiles();
    }
    return value;
  };

  /* --- search --- */
  const words = (text) => text.toLowerCase().split(/\s+/).filter(Boolean);

  function matches(tile, wanted) {
    const text = `${tile.is.metric} ${tile.is.name} ${tile.is.group} ${tile.is.about}`.toLowerCase();
    return wanted.every((word) => text.includes(word));
  }

  function filter() {
    if (!tb.byId('tiles')) return;
    const wanted = words(state.find);
    let found = 0;
    tb.tiles.tiles.forEach((tile, metric) => {
      const card = tb.tileOf(metric), fits = matches(tile, wanted);
      found += fits ? 1 : 0;
      if (card) tb.show(card.cell, fits);
    });
    document.querySelectorAll('#tiles .tb-group').forEach((box) => {
      const count = box.querySelectorAll('.tb-cell:not([hidden])').length;
      tb.show(box, count > 0);
      box.dataset.tiles = Math.min(count, 4);
    });
    const all = tb.tiles.tiles.size;
    tb.text(tb.byId('found'), wanted.length ? `${found} of ${all}` : '');
    nothing(wanted.length > 0 && found === 0);
  }

  function nothing(shown) {
    let box = tb.byId('no-tiles');
    if (!box && shown) {
      box = tb.el('div', 'tb-no-tiles');
      box.id = 'no-tiles';
      box.appendChild(tb.el('p'));
      box.appendChild(tb.el('button', 'tb-button', 'Show all metrics')).addEventListener('click', () => { look(''); field.focus(); });
      tb.byId('tiles').after(box);
    }
    if (!box) return;
    tb.text(box.firstChild, `No metric matches “${state.find}”.`);
    tb.show(box, shown);
  }

  function look(text) {
    state.find = text;
    if (field && field.value !== text) field.value = text;
    filter();
    clearTimeout(typing);
    typing = setTimeout(note, 300);
  }

  function makeField() {
    const box = tb.byId('find-box');
    if (!box || box.firstChild) return;
    field = box.appendChild(tb.el('input', 'tb-find'));
    field.type = 'search';
    field.id = 'find-metric';
    field.placeholder = 'Find a metric  /';
    field.autocomplete = 'off';
    field.maxLength = 200;
    field.setAttribute('aria-label', 'Find a metric');
    field.addEventListener('input', () => look(field.value));
    field.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') { if (field.value) look(''); else field.blur(); event.preventDefault(); }
      if (event.key === 'Enter' || event.key === 'ArrowDown') { event.preventDefault(); const first = links()[0]; if (first) first.focus(); }
    });
    field.value = state.find;
  }

  /* --- pins --- */
  function pin(metric) {
    const pinned = state.pins.includes(metric);
    state.pins = pinned ? state.pins.filter((name) => name !== metric) : [...state.pins, metric].slice(-MOST_PINS);
    try { localStorage.setItem(PINS, JSON.stringify(state.pins)); } catch (e) { /* storage may be off */ }
    note();
    tb.redrawTiles();
    tb.say(`${tb.tiles.tiles.get(metric).is.name} ${pinned ? 'unpinned' : 'pinned'}`);
  }

  document.addEventListener('click', (event) => {
    const target = event.target.closest ? event.target.closest('#tiles [data-metric]') : null;
    if (!target) return;
    if (target.classList.contains('tb-pin')) pin(target.dataset.metric);
    const link = event.target.closest('a.tb-card');
    if (!link || event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
    event.preventDefault();
    tb.go(link.getAttribute('href'));
  });

  /* --- keys: from tile to tile --- */
  const links = () => [...document.querySelectorAll('#tiles .tb-cell:not([hidden]) a.tb-card')].filter((link) => link.offsetParent !== null);
  const focused = () => { const cell = document.activeElement.closest('.tb-cell'); return cell && cell.querySelector('a.tb-card'); };

  function focusOn(link) {
    if (!link) return false;
    link.focus();
    return true;
  }

  function step(by) {
    const all = links(), at = all.indexOf(focused());
    return focusOn(at < 0 ? all[0] : all[Math.max(0, Math.min(at + by, all.length - 1))]);
  }

  /* the nearest tile in the row above or below */
  function row(down) {
    const from = focused();
    if (!from) return false;
    const here = from.getBoundingClientRect();
    const rows = links().map((link) => ({ link, at: link.getBoundingClientRect() }))
      .filter(({ at }) => (down ? at.top > here.top + 4 : at.top < here.top - 4));
    rows.sort((a, b) => Math.abs(a.at.top - here.top) - Math.abs(b.at.top - here.top) || Math.abs(a.at.left - here.left) - Math.abs(b.at.left - here.left));
    return focusOn(rows.length ? rows[0].link : null);
  }

  const KEYS = {
    '/': () => { if (field) { field.focus(); field.select(); } return Boolean(field); },
    j: () => step(1),
    k: () => step(-1),
    ArrowRight: () => Boolean(focused()) && step(1),
    ArrowLeft: () => Boolean(focused()) && step(-1),
    ArrowDown: () => row(true),
    ArrowUp: () => row(false),
    p: () => { const link = focused(); if (link) { pin(link.dataset.metric); link.focus(); } return Boolean(link); },
  };
  tb.keyActions = tb.keyActions || {};
  Object.entries(KEYS).forEach(([key, act]) => {
    const other = tb.keyActions[key];
    tb.keyActions[key] = () => (tb.byId('tiles') ? act() : Boolean(other && other()));
  });

  function arrive() {
    if (!tb.byId('tiles')) return;
    read();
    makeField();
    if (field && document.activeElement !== field) field.value = state.find;
    tb.setProps('window', { value: state.window });
    note();
    tb.redrawTiles();
    filter();
  }

  read();
  tb.on('laid out', filter);
  tb.on('mounted', arrive);
  tb.on('searched', arrive);
})();

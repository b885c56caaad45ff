/* The leaderboards: a real table for each dimension, rows are buttons; the order is calm and waits for the pointer. */
(() => {
  const tb = window.tallyboard;
  const SORTS = [['name', 'Name'], ['value', 'Value'], [null, 'Share'], ['change', 'Change']];
  const boards = new Map(), places = new Map();
  let typing = 0;

  const hovers = window.matchMedia('(hover: hover)');
  const busy = (made) => (hovers.matches && made.box.matches(':hover')) || made.box.contains(document.activeElement);

  tb.openBoard = (key) => {
    tb.setWords({ open: key || '', find: '' });
    const made = boards.get(key);
    if (made) made.box.scrollIntoView({ block: 'nearest' });
  };

  function headOf(data, view) {
    const head = tb.el('tr');
    const shown = SORTS.filter(([name, words]) => (words === 'Share' ? data.shares : words === 'Change' ? data.compared : true));
    shown.forEach(([name, words]) => {
      const cell = head.appendChild(tb.el('th', words === 'Name' ? '' : 'tb-right-cell'));
      cell.scope = 'col';
      if (!name) { cell.textContent = words; return; }
      const button = cell.appendChild(tb.el('button', 'tb-sort', words));
      button.addEventListener('click', () => tb.setWords({ sort: name === 'value' ? '' : name }));
      if (name === view.sort) cell.setAttribute('aria-sort', name === 'name' ? 'ascending' : 'descending');
    });
    head.appendChild(tb.el('th', 'tb-more-cell')).appendChild(tb.el('span', 'tb-unseen', 'More'));
    return head;
  }

  function captionOf(data, view) {
    const open = view.open === data.key;
    const caption = tb.el('div', 'tb-board-head');
    const title = caption.appendChild(tb.el('h3', 'tb-name')).appendChild(tb.el('button', 'tb-board-title', data.dimension));
    title.title = open ? 'Show all leaderboards' : `All of ${data.dimension}`;
    title.setAttribute('aria-expanded', String(open));
    title.addEventListener('click', () => tb.openBoard(open ? '' : data.key));
    caption.appendChild(tb.el('span', 'tb-measure tb-count'));
    if (open) {
      const close = caption.appendChild(tb.el('button', 'tb-button tb-close', 'Close'));
      close.addEventListener('click', () => tb.openBoard(''));
    }
    return caption;
  }

  function searchOf(data, view) {
    const input = tb.el('input', 'tb-find');
    input.type = 'search';
    input.placeholder = `Find in ${data.dimension}`;
    input.setAttribute('aria-label', `Find in ${data.dimension}`);
    input.value = view.find;
    input.addEventListener('input', () => {
      clearTimeout(typing);
      typing = setTimeout(() => tb.setWords({ find: input.value.trim() }), 250);
    });
    return input;
  }

  /* the same box as long as it is the same list; its parts are made again when what it says of itself changes */
  function built(data, view) {
    let made = boards.get(data.key);
    const open = view.open === data.key;
    if (!made) {
      made = { box: tb.el('section', 'tb-tile tb-board-box'), rows: new Map(), order: [], look: '', list: '' };
      made.box.dataset.key = data.key;
      made.box.setAttribute('aria-label', `Leaderboard: ${data.dimension}`);
      boards.set(data.key, made);
    }
    const look = JSON.stringify([open, view.sort, data.shares, data.compared, Boolean(data.pending)]);
    if (made.look === look) return made;
    const field = made.box.querySelector('.tb-find'), focused = made.box.contains(document.activeElement) && document.activeElement.className;
    made.look = look;
    made.order = [];
    made.rows.clear();
    made.box.classList.toggle('tb-open-board', open);
    const table = tb.el('table', 'tb-table tb-board');
    table.setAttribute('aria-label', `Largest by ${data.dimension}`);
    table.appendChild(tb.el('thead')).appendChild(headOf(data, view));
    made.body = table.appendChild(tb.el('tbody'));
    made.foot = table.appendChild(tb.el('tfoot'));
    const scroll = tb.el('div', 'tb-board-scroll');
    scroll.appendChild(table);
    made.empty = scroll.appendChild(tb.el('p', 'tb-note'));
    made.box.replaceChildren(captionOf(data, view), ...(open ? [field || searchOf(data, view)] : []), scroll);
    const again = focused && !focused.includes('tb-row') && made.box.querySelector('.' + focused.split(' ').pop());
    if (again) again.focus();
    return made;
  }

  function choose(made, rule) {
    const { key, data } = made;
    if (data.value === null || String(window.getSelection())) return;
    if (tb.filter(key, data.value, rule)) made.row.dataset.state = rule === 'exclude' ? 'excluded' : data.state === 'selected' ? '' : 'selected';
  }

  function menu(made) {
    const { key, data } = made, state = data.state, items = [];
    if (data.value !== null) {
      items.push(['Only', () => tb.filter(key, data.value, 'only')]);
      items.push(state === 'excluded' ? ['Do not exclude', () => tb.filter(key, data.value, 'exclude')] : ['Exclude', () => tb.filter(key, data.value, 'exclude')]);
      if (state === 'selected') items.push(['Do not filter', () => tb.filter(key, data.value, 'toggle')]);
    }
    items.push(['Compare lines', () => tb.splitBy(key)]);
    items.push(['Copy', () => tb.copyText(data.value === null ? data.name : data.value)]);
    tb.menu(made.more, data.name, items);
  }

  const ruleOf = (event) => (event.shiftKey ? 'exclude' : event.ctrlKey || event.metaKey ? 'only' : 'toggle');

  function create(board) {
    const row = tb.el('tr');
    const cell = row.appendChild(tb.el('td', 'tb-leader'));
    const bar = cell.appendChild(tb.el('span', 'tb-share'));
    const button = cell.appendChild(tb.el('button', 'tb-row'));
    const dot = button.appendChild(tb.el('span', 'tb-swatch'));
    const mark = button.appendChild(tb.el('span', 'tb-row-mark'));
    const name = button.appendChild(tb.el('span', 'tb-row-name'));
    const value = row.appendChild(tb.el('td', 'tb-right-cell'));
    const share = board.shares ? row.appendChild(tb.el('td', 'tb-right-cell tb-measure')) : null;
    const delta = board.compared ? row.appendChild(tb.el('td', 'tb-right-cell')).appendChild(tb.el('span', 'tb-delta')) : null;
    const more = row.appendChild(tb.el('td', 'tb-more-cell')).appendChild(tb.el('button', 'tb-more', '⋯'));
    more.setAttribute('aria-haspopup', 'menu');
    more.setAttribute('aria-expanded', 'false');
    const made = { row, bar, button, dot, mark, name, value, share, delta, more, key: board.key, data: null };
    button.addEventListener('click', (event) => choose(made, ruleOf(event)));
    button.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter') return;
      event.preventDefault();
      choose(made, ruleOf(event));
    });
    button.addEventListener('contextmenu', (event) => { event.preventDefault(); menu(made); });
    more.addEventListener('click', () => menu(made));
    return made;
  }

  function fill(made, leader, filtered) {
    made.data = leader;
    tb.text(made.name, leader.name);
    made.button.title = leader.name;
    made.button.setAttribute('aria-disabled', String(leader.value === null));
    made.button.setAttribute('aria-pressed', String(leader.state === 'selected'));
    made.more.setAttribute('aria-label', `More for ${leader.name}`);
    made.row.dataset.state = leader.state || (filtered ? 'muted' : '');
    tb.text(made.mark, leader.state === 'selected' ? '✓' : leader.state === 'excluded' ? 'not' : '');
    made.mark.setAttribute('aria-hidden', String(leader.state !== 'excluded'));
    made.row.classList.toggle('tb-negative', leader.negative);
    made.dot.dataset.colour = leader.colour || '';
    made.bar.style.transform = `scaleX(${leader.width})`;
    tb.text(made.value, leader.text || '–');
    if (made.share) tb.text(made.share, leader.share);
    if (made.delta) {
      tb.text(made.delta, leader.delta);
      made.delta.dataset.tone = leader.tone;
      made.delta.title = leader.was;
    }
  }

  /* the rows as they come, but while somebody is at the list those it had, in their places */
  function arranged(made, data) {
    const found = new Map(data.rows.map((leader) => [JSON.stringify(leader.value), leader]));
    if (made.order.length && busy(made) && made.rows.size) return made.order.map((id) => [id, found.get(id)]);
    made.order = [...found.keys()];
    return [...found];
  }

  function rest(made, data) {
    if (!data.other) { made.foot.replaceChildren(); return; }
    const wanted = 3 + data.shares + data.compared;
    let row = made.foot.firstChild;
    if (!row || row.children.length !== wanted) {
      row = tb.el('tr', 'tb-other');
      for (let i = 0; i < wanted; i += 1) row.appendChild(tb.el('td', i ? 'tb-right-cell' : ''));
      made.foot.replaceChildren(row);
    }
    const texts = [`other (${data.other.count.toLocaleString('en-GB')})`, data.other.text, ...(data.shares ? [data.other.share] : []), ...(data.compared ? [data.other.text ? data.other.delta : ''] : []), ''];
    texts.forEach((text, i) => tb.text(row.children[i], text));
  }

  function paintBoard(data, view) {
    // what was there stays until the new is counted
    const before = boards.get(data.key);
    if (data.pending && before && before.rows.size) { before.box.setAttribute('aria-busy', 'true'); return before; }
    const made = built(data, view), count = made.box.querySelector('.tb-count');
    if (data.pending) made.box.setAttribute('aria-busy', 'true'); else made.box.removeAttribute('aria-busy');
    if (data.pending) { tb.text(count, ''); tb.text(made.empty, 'Counting …'); return made; }
    const list = JSON.stringify([view.find, tb.chart.metric, tb.chart.state.measure]);
    if (made.list !== list) { made.order = []; made.list = list; }
    tb.text(count, data.groups > data.rows.length ? `${data.rows.length} of ${data.groups.toLocaleString('en-GB')}` : '');
    tb.text(made.empty, data.refused || (data.rows.length ? '' : view.open === data.key && view.find ? `Nothing contains “${view.find}”.` : 'No events in this range.'));
    const keep = new Set();
    arranged(made, data).forEach(([id, leader], i) => {
      keep.add(id);
      if (!made.rows.has(id)) made.rows.set(id, create(data));
      const row = made.rows.get(id);
      if (leader) fill(row, leader, data.filtered);
      if (made.body.children[i] !== row.row) made.body.insertBefore(row.row, made.body.children[i] || null);
    });
    [...made.rows].filter(([id]) => !keep.has(id)).forEach(([id, row]) => { row.row.remove(); made.rows.delete(id); });
    rest(made, data);
    return made;
  }

  function further(view) {
    const row = tb.el('p', 'tb-note tb-further');
    if (view.more.length) row.append('Further dimensions: ', ...view.more.map(({ key, name }) => {
      const button = tb.el('button', 'tb-button', name);
      button.addEventListener('click', () => tb.openBoard(key));
      return button;
    }));
    return row;
  }

  function paint() {
    const box = tb.byId('leaders'), chart = tb.chart;
    if (!box || !chart || chart.watch !== tb.search() || !chart.boards) return;
    const view = chart.boards;
    const list = view.open ? view.list.filter((data) => data.key === view.open) : view.list;
    box.dataset.boards = view.open ? 'open' : list.length === 1 ? 'one' : 'many';
    tb.show(box, list.length > 0);
    const made = list.map((data) => paintBoard(data, view));
    columns(box, list).forEach((column, place) => {
      const boxes = made.filter((_, i) => places.get(list[i].key) === place).map((board) => board.box);
      boxes.forEach((one, i) => { if (column.children[i] !== one) column.insertBefore(one, column.children[i] || null); });
      [...column.children].filter((one) => !boxes.includes(one)).forEach((one) => one.remove());
    });
    [...boards].filter(([, board]) => !board.box.isConnected).forEach(([name]) => boards.delete(name));
    const more = view.open ? [] : view.more, key = JSON.stringify(more), last = box.querySelector('.tb-further');
    if (last && last.dataset.more === key) return;
    if (last) last.remove();
    if (more.length) box.appendChild(further({ more })).dataset.more = key;
  }

  /* two columns of about the same height; a board stays in its own as long as the same boards are shown */
  function columns(box, list) {
    const keys = list.map((data) => data.key);
    if (keys.length !== places.size || keys.some((key) => !places.has(key))) {
      const heights = [0, 0];
      places.clear();
      list.forEach((data) => {
        const place = heights[1] < heights[0] ? 1 : 0;
        places.set(data.key, place);
        heights[place] += 3 + (data.rows ? data.rows.length : 8);
      });
    }
    while (box.querySelectorAll('.tb-board-column').length < 2) box.prepend(tb.el('div', 'tb-board-column'));
    return [...box.querySelectorAll('.tb-board-column')];
  }

  /* keys: the row with the focus, and the one after it */
  const focusedRow = () => {
    const at = document.activeElement && document.activeElement.closest('#leaders tr');
    return at ? at.querySelector('.tb-row') : null;
  };
  function move(by) {
    const rows = [...document.querySelectorAll('#leaders .tb-row')], at = rows.indexOf(focusedRow());
    const next = rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(Math.max(at + by, 0), rows.length - 1)];
    if (next) { next.focus(); next.scrollIntoView({ block: 'nearest' }); }
    return Boolean(next);
  }
  function search() {
    const field = document.querySelector('#leaders .tb-find'), board = document.querySelector('#leaders .tb-board-box');
    if (field) { field.focus(); return true; }
    if (!board) return false;
    const focused = focusedRow();
    tb.openBoard((focused ? focused.closest('.tb-board-box') : board).dataset.key);
    typing = setTimeout(() => { const made = document.querySelector('#leaders .tb-find'); if (made) made.focus(); }, 400);
    return true;
  }
  tb.keyActions = {
    ...tb.keyActions,
    j: () => tb.onExplore() && move(1),
    k: () => tb.onExplore() && move(-1),
    f: () => tb.onExplore() && search(),
    b: () => { const row = focusedRow(); if (row) tb.splitBy(row.closest('.tb-board-box').dataset.key); return Boolean(row); },
    Backspace: () => tb.onExplore() && tb.dropFilter(),
    Escape: () => { const open = tb.onExplore() && new URLSearchParams(location.search).has('open'); if (open) tb.openBoard(''); return open; },
  };
  tb.splitBy = (key) => tb.setWords({ by: key });
  tb.copyText = (text) => tb.copy(null, text);

  tb.on('tick', paint);
})();

/* The leaderboard beside the chart: a real table, its rows buttons; the order is calm and waits for the pointer. */
(() => {
  const tb = window.tallyboard;
  const CALM_MS = 10000;
  let order = [], ordered = 0, dimension = null;
  const rows = new Map();

  function columns(leaders) {
    return ['Name', 'Value', ...(leaders.shares ? ['Share'] : []), 'Change'];
  }

  function build(box, leaders) {
    const table = tb.el('table', 'tb-table tb-board');
    const caption = tb.el('div', 'tb-board-head');
    caption.appendChild(tb.el('h3', 'tb-name', leaders.dimension));
    caption.appendChild(tb.el('span', 'tb-measure tb-count'));
    table.setAttribute('aria-label', `Largest by ${leaders.dimension}`);
    const head = table.appendChild(tb.el('thead')).appendChild(tb.el('tr'));
    columns(leaders).forEach((name) => {
      const cell = head.appendChild(tb.el('th', name === 'Name' ? '' : 'tb-right-cell', name));
      cell.scope = 'col';
    });
    table.appendChild(tb.el('tbody'));
    box.replaceChildren(caption, table);
    rows.clear();
    order = [];
  }

  function create(shares) {
    const row = tb.el('tr');
    const cell = row.appendChild(tb.el('td', 'tb-leader'));
    const bar = cell.appendChild(tb.el('span', 'tb-share'));
    const button = cell.appendChild(tb.el('button', 'tb-row'));
    const dot = button.appendChild(tb.el('span', 'tb-swatch'));
    const name = button.appendChild(tb.el('span', 'tb-row-name'));
    const value = row.appendChild(tb.el('td', 'tb-right-cell'));
    const share = shares ? row.appendChild(tb.el('td', 'tb-right-cell tb-measure')) : null;
    const delta = row.appendChild(tb.el('td', 'tb-right-cell')).appendChild(tb.el('span', 'tb-delta'));
    const made = { row, bar, button, dot, name, value, share, delta, href: '' };
    button.addEventListener('click', () => { if (made.href) tb.go(made.href); });
    return made;
  }

  function fill(made, leader, filtered) {
    made.href = leader.href;
    tb.text(made.name, leader.name);
    made.button.title = leader.name;
    made.button.disabled = !leader.href;
    made.button.setAttribute('aria-pressed', String(leader.selected));
    made.row.dataset.state = leader.selected ? 'selected' : filtered ? 'excluded' : '';
    made.row.classList.toggle('tb-negative', leader.negative);
    made.dot.dataset.colour = leader.colour || '';
    made.bar.style.transform = `scaleX(${leader.width})`;
    tb.text(made.value, leader.text);
    if (made.share) tb.text(made.share, leader.share);
    tb.text(made.delta, leader.delta);
    made.delta.dataset.tone = leader.tone;
    made.delta.title = leader.was;
  }

  /* the order held, unless it is time for a new one and nobody is at the table */
  function arranged(box, leaders) {
    const keys = leaders.rows.map((leader) => JSON.stringify(leader.value));
    const same = keys.length === order.length && keys.every((key) => order.includes(key));
    const busy = box.matches(':hover') || box.contains(document.activeElement);
    if (!same || (!busy && Date.now() - ordered > CALM_MS)) { order = keys; ordered = Date.now(); }
    return order.map((key) => leaders.rows[keys.indexOf(key)]);
  }

  function rest(body, leaders) {
    let row = body.querySelector('.tb-other');
    if (!leaders.other) { if (row) row.remove(); return; }
    if (!row) {
      row = tb.el('tr', 'tb-other');
      row.appendChild(tb.el('td'));
      row.appendChild(tb.el('td', 'tb-right-cell'));
      row.appendChild(tb.el('td')).colSpan = 2;
    }
    tb.text(row.children[0], `other (${leaders.other.count})`);
    tb.text(row.children[1], leaders.other.text);
    body.appendChild(row);
  }

  function prompt(box, chart) {
    const key = 'prompt' + JSON.stringify(chart.state.dimensions) + chart.watch;
    if (dimension === key) return;
    dimension = key;
    box.replaceChildren(tb.el('h3', 'tb-name', 'Split by'), ...chart.state.dimensions.map((name) => {
      const button = tb.el('button', 'tb-button tb-wide-button', name);
      button.addEventListener('click', () => tb.setProps('by', { value: name }));
      return button;
    }));
  }

  function paint() {
    const box = tb.byId('leaders'), chart = tb.chart;
    if (!box || !chart || chart.watch !== tb.search() || !chart.state) return;
    const leaders = chart.leaders;
    tb.show(box, Boolean(leaders) || chart.state.dimensions.length > 0);
    if (!leaders) { if (chart.state.dimensions.length) prompt(box, chart); return; }
    const key = `${leaders.dimension} ${leaders.shares}`;
    if (dimension !== key || !box.querySelector('table')) { dimension = key; build(box, leaders); }
    tb.text(box.querySelector('.tb-count'), leaders.groups > leaders.rows.length ? `${leaders.rows.length} of ${leaders.groups}` : '');
    const body = box.querySelector('tbody'), keep = new Set();
    arranged(box, leaders).forEach((leader, i) => {
      const id = JSON.stringify(leader.value);
      keep.add(id);
      if (!rows.has(id)) rows.set(id, create(leaders.shares));
      const made = rows.get(id);
      fill(made, leader, leaders.filtered);
      if (body.children[i] !== made.row) body.insertBefore(made.row, body.children[i] || null);
    });
    [...rows].filter(([id]) => !keep.has(id)).forEach(([id, made]) => { made.row.remove(); rows.delete(id); });
    rest(body, leaders);
  }

  tb.on('tick', paint);
  tb.on('mounted', () => { dimension = null; });
})();

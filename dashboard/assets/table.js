/* The table beneath the chart: what the chart shows, updated in place; its order is that of the files too. */
(() => {
  const tb = window.tallyboard;
  let order = '-time', heads = '';
  const rows = new Map();

  tb.tableOrder = () => order;

  function opened() { return new URLSearchParams(location.search).get('table') === 'open'; }

  function sortBy(name) {
    order = order === `-${name}` ? name : `-${name}`;
    tb.emit('ordered');
    paint();
  }

  function headCell(text, place, last) {
    const cell = tb.el('th', place > 0 && place < last ? 'tb-right-cell' : '');
    cell.scope = 'col';
    if (place === last) { cell.textContent = text; return cell; }
    const name = place === 0 ? 'time' : String(place - 1);
    const button = cell.appendChild(tb.el('button', 'tb-sort', text));
    button.addEventListener('click', () => sortBy(name));
    cell.dataset.name = name;
    return cell;
  }

  function build(box, table) {
    const made = tb.el('table', 'tb-table tb-data');
    made.setAttribute('aria-label', 'What the chart shows');
    const head = made.appendChild(tb.el('thead')).appendChild(tb.el('tr'));
    table.heads.forEach((text, i) => head.appendChild(headCell(text, i, table.heads.length - 1)));
    made.appendChild(tb.el('tbody'));
    box.replaceChildren(made);
    rows.clear();
  }

  function sorted(table) {
    const at = table.times.map((_, i) => i), name = order.replace('-', ''), sign = order.startsWith('-') ? -1 : 1;
    if (name === 'time' || !table.values[Number(name)]) return sign < 0 ? at.reverse() : at;
    const values = table.values[Number(name)];
    return at.sort((a, b) => (values[a] === null) - (values[b] === null) || sign * ((values[a] || 0) - (values[b] || 0)) || a - b);
  }

  function row(table, i) {
    const made = tb.el('tr');
    for (let place = 0; place < table.heads.length; place += 1) made.appendChild(tb.el('td', place > 0 && place < table.heads.length - 1 ? 'tb-right-cell' : ''));
    made.lastChild.className = 'tb-measure';
    made.firstChild.textContent = table.times[i];
    return made;
  }

  function fill(made, table, i) {
    table.texts.forEach((texts, place) => tb.text(made.children[place + 1], texts[i] === null ? '–' : texts[i]));
    tb.text(made.lastChild, table.states[i]);
    made.dataset.state = table.states[i];
  }

  function rowsOf(box, table) {
    const body = box.querySelector('tbody'), keep = new Set(table.times);
    [...rows].filter(([time]) => !keep.has(time)).forEach(([time, made]) => { made.remove(); rows.delete(time); });
    sorted(table).forEach((i, place) => {
      const time = table.times[i];
      if (!rows.has(time)) rows.set(time, row(table, i));
      const made = rows.get(time);
      fill(made, table, i);
      if (body.children[place] !== made) body.insertBefore(made, body.children[place] || null);
    });
  }

  function paint() {
    const box = tb.byId('table'), button = tb.byId('table-toggle'), chart = tb.chart;
    if (!box) return;
    const open = opened();
    button.setAttribute('aria-expanded', String(open));
    tb.show(box, open);
    if (!open || !chart || chart.watch !== tb.search() || !chart.table) return;
    const table = chart.table, key = JSON.stringify(table.heads);
    if (heads !== key || !box.querySelector('table')) {
      // an order by a column that is gone would be a surprise
      if (heads !== key && heads !== '') order = '-time';
      heads = key;
      build(box, table);
    }
    box.querySelectorAll('th[data-name]').forEach((cell) => {
      const name = order.replace('-', '');
      if (cell.dataset.name === name) cell.setAttribute('aria-sort', order.startsWith('-') ? 'descending' : 'ascending');
      else cell.removeAttribute('aria-sort');
    });
    rowsOf(box, table);
  }

  document.addEventListener('click', (event) => {
    const button = event.target.closest ? event.target.closest('#table-toggle') : null;
    if (button) tb.setWords({ table: opened() ? '' : 'open' });
  });
  tb.on('tick', paint);
  tb.on('searched', paint);
  tb.on('mounted', () => { heads = ''; order = '-time'; paint(); });
})();

/* The filters as chips: a click opens the dimension's list, the cross takes the filter away. */
(() => {
  const tb = window.tallyboard;

  function chip(one) {
    const box = tb.el('span', 'tb-filter');
    const name = box.appendChild(tb.el('button', 'tb-filter-name', one.text));
    name.title = one.title;
    name.setAttribute('aria-label', `${one.text}. Change this filter`);
    name.addEventListener('click', () => tb.openBoard(one.key));
    const cross = box.appendChild(tb.el('button', 'tb-filter-cross', '×'));
    cross.setAttribute('aria-label', `Remove the filter ${one.text}`);
    cross.addEventListener('click', () => tb.go(one.without));
    return box;
  }

  function paint() {
    const chart = tb.chart, box = tb.byId('chips');
    if (!box || !chart || !chart.state || chart.watch !== tb.search()) return;
    const chips = chart.state.chips, key = JSON.stringify(chips);
    tb.show(box, chips.length > 0);
    if (box.dataset.key === key) return;
    box.dataset.key = key;
    const clear = tb.el('button', 'tb-button tb-clear', 'Clear filters');
    clear.addEventListener('click', tb.clearFilters);
    box.replaceChildren(...chips.map(chip), clear);
  }

  tb.on('tick', paint);
})();

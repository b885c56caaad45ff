/* Links to what is seen: copied with moving or fixed times, as a command, as files. */
(() => {
  const tb = window.tallyboard;

  function copyLink(button) {
    const chart = tb.chart, here = location.href;
    if (!chart || !chart.fixed || !chart.state.live || chart.watch !== tb.search()) { tb.copy(button, here); return; }
    tb.menu(button, 'Copy link', [
      [`Moving: ${chart.state.range}`, () => tb.copy(button, here)],
      ['Fixed: the times seen now', () => tb.copy(button, tb.url(chart.fixed))],
    ]);
  }

  function paint() {
    const chart = tb.chart;
    if (!tb.byId('csv') || !chart || chart.watch !== tb.search()) return;
    ['csv', 'xlsx'].forEach((form) => {
      const link = tb.byId(form);
      if (chart.export) link.setAttribute('href', `${tb.at(chart.export)}&order=${tb.tableOrder()}&format=${form}`);
      else link.removeAttribute('href');
    });
    if (chart.query) tb.byId('copy-query').dataset.copy = `curl ${tb.session && tb.session.asks ? '-H "Authorization: Bearer $TALLYBOARD_KEY" ' : ''}'${tb.url(chart.query)}'`;
  }

  document.addEventListener('click', (event) => {
    const button = event.target.closest ? event.target.closest('#copy-link') : null;
    if (button) copyLink(button);
  });
  tb.on('tick', paint);
  tb.on('ordered', paint);
})();

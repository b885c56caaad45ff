/* What a tile says when it is pointed at, focused or asked: exact values, how fresh and how complete they are. Texts come
   from /live/tile, for the one tile that is looked at. */
(() => {
  const tb = window.tallyboard;
  const REST_MS = 350, AGAIN_MS = 2000;
  let box = null, shown = null, resting = 0, leaving = 0, asked = 0, number = 0;

  function make() {
    box = document.body.appendChild(tb.el('div', 'tb-about'));
    box.id = 'about';
    box.setAttribute('role', 'tooltip');
    box.hidden = true;
    box.appendChild(tb.el('p', 'tb-about-text'));
    box.appendChild(tb.el('dl', 'tb-about-rows'));
    box.addEventListener('pointerenter', () => clearTimeout(leaving));
    box.addEventListener('pointerleave', leave);
  }

  function hide() {
    clearTimeout(resting);
    clearTimeout(leaving);
    if (!shown) return;
    const card = tb.tileOf(shown);
    if (card) card.root.removeAttribute('aria-describedby');
    shown = null;
    box.hidden = true;
  }

  function leave() {
    clearTimeout(resting);
    clearTimeout(leaving);
    leaving = setTimeout(hide, 200);
  }

  function place(cell) {
    const at = cell.getBoundingClientRect(), width = box.offsetWidth, height = box.offsetHeight;
    const left = Math.max(8, Math.min(at.left, window.innerWidth - width - 8));
    const below = at.bottom + 6 + height <= window.innerHeight || at.top < height + 8;
    box.style.left = `${left + window.scrollX}px`;
    box.style.top = `${(below ? at.bottom + 6 : at.top - 6 - height) + window.scrollY}px`;
  }

  function fill(rows) {
    const list = box.lastChild;
    rows.forEach(([name, text], i) => {
      if (!list.children[2 * i]) { list.appendChild(tb.el('dt')); list.appendChild(tb.el('dd')); }
      tb.text(list.children[2 * i], name);
      tb.text(list.children[2 * i + 1], text);
    });
    while (list.children.length > 2 * rows.length) list.lastChild.remove();
  }

  async function ask(metric) {
    asked = Date.now();
    const mine = ++number;
    const query = new URLSearchParams({ metric, window: tb.overview.window });
    let rows = [['Not known', 'There is no connection.']];
    try {
      const answer = await fetch(tb.at(`/live/tile?${query}`));
      rows = answer.ok ? (await answer.json()).rows : [['Not known', 'This metric is gone.']];
    } catch (e) { /* said above */ }
    const card = tb.tileOf(metric), tile = tb.tiles.tiles.get(metric);
    if (mine !== number || shown !== metric || !card || !tile) return;
    const first = box.hidden;
    tb.text(box.firstChild, tile.is.about);
    tb.show(box.firstChild, tile.is.about !== '');
    fill(rows);
    box.hidden = false;
    card.root.setAttribute('aria-describedby', 'about');
    if (first) place(card.cell);
  }

  function show(metric, wait) {
    clearTimeout(leaving);
    if (shown === metric) return;
    hide();
    if (!box) make();
    resting = setTimeout(() => { shown = metric; ask(metric); }, wait);
  }

  const cellOf = (target) => (target && target.closest ? target.closest('#tiles .tb-cell') : null);
  document.addEventListener('pointerover', (event) => {
    if (event.pointerType === 'touch') return;
    const cell = cellOf(event.target);
    if (cell && !cell.contains(event.relatedTarget)) show(cell.dataset.metric, REST_MS);
  });
  document.addEventListener('pointerout', (event) => {
    const cell = cellOf(event.target);
    if (cell && !cell.contains(event.relatedTarget)) leave();
  });
  document.addEventListener('focusin', (event) => {
    const cell = cellOf(event.target);
    if (cell && event.target.matches(':focus-visible')) show(cell.dataset.metric, REST_MS);
    else if (!cell) hide();
  });
  document.addEventListener('click', (event) => {
    const more = event.target.closest ? event.target.closest('.tb-details-button') : null;
    if (more) show(more.dataset.metric, 0);
    else if (!cellOf(event.target) && !(box && box.contains(event.target))) hide();
  });
  document.addEventListener('keydown', (event) => { if (event.key === 'Escape' && shown) { hide(); event.preventDefault(); } }, true);
  window.addEventListener('resize', hide);
  tb.on('mounted', hide);
  tb.on('tick', () => { if (shown && !box.hidden && Date.now() - asked > AGAIN_MS) ask(shown); });
})();

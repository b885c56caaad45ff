/* Single keys, for whoever wants them; a switch in the help turns them off (WCAG 2.1.4).

   Keys of a page stand in tb.keyActions, by event.key: an action returns whether it took the key. A key pressed before
   its page is there waits for it. */
(() => {
  const tb = window.tallyboard;
  const OFF = 'tallyboard-keys-off';
  const WINDOWS = ['1m', '5m', '1h'];
  const WAITS_MS = 10000;
  const DIGITS = ['1', '2', '3', '4', '5', '6', '7', '8', '9'];
  /* what is shown, the keys it stands for, words; rows without keys tell of what the browser does by itself */
  const SHEET = [
    ['Everywhere', [
      ['?', ['?'], 'this help'],
      ['g o', ['g o'], 'overview: g, then o'],
      ['g e', ['g e'], 'explore: g, then e'],
      ['space', [' '], 'pause and go on'],
      ['d', ['d'], 'theme: system, light, dark'],
      ['y', ['y'], 'copy link'],
      ['esc', ['Escape'], 'close'],
    ]],
    ['Overview', [
      ['1 2 3', [], 'window of the large number'],
      ['/', ['/'], 'find a metric'],
      ['j k', [], 'next, previous tile'],
      ['← → ↑ ↓', ['ArrowUp', 'ArrowDown'], 'from a tile to the one beside it'],
      ['p', ['p'], 'pin the tile, or not'],
      ['enter', [], 'open the tile’s chart'],
    ]],
    ['Explore', [
      ['1 … 9', DIGITS, '5 min, 15 min, 1 h, 6 h, 24 h, today, 7 d, 30 d, 90 d'],
      ['t', ['t'], 'type a time range'],
      ['← →', ['ArrowLeft', 'ArrowRight'], 'the range before, the range behind; in the chart: through its values'],
      ['− +', ['-', '+', '='], 'a wider, a narrower range'],
      ['l', ['l'], 'back to live'],
      ['x', ['x'], 'compare, or not'],
      ['s', ['s'], 'next step'],
      ['m', ['m'], 'choose the metric'],
      ['j k', ['j', 'k'], 'next, previous row of the leaderboards'],
      ['enter', [], 'filter by the row; with shift: exclude it; with ctrl: only it'],
      ['b', ['b'], 'a line for each value of the row’s dimension'],
      ['f', ['f'], 'find a value'],
      ['⌫', ['Backspace'], 'drop the last filter'],
    ]],
  ];
  let leader = 0, waiting = [];

  function off() { try { return localStorage.getItem(OFF) === '1'; } catch (e) { return false; } }

  function rows(list) {
    const box = tb.el('dl', 'tb-keys');
    list.forEach(([shown, , words]) => {
      const keys = box.appendChild(tb.el('dt'));
      shown.split(' ').forEach((key) => keys.appendChild(tb.el('kbd', null, key)));
      box.appendChild(tb.el('dd', null, words));
    });
    return box;
  }

  function dialog() {
    let box = tb.byId('keys');
    if (box) return box;
    box = tb.el('dialog', 'tb-dialog');
    box.id = 'keys';
    box.setAttribute('aria-labelledby', 'keys-title');
    const title = box.appendChild(tb.el('h2', null, 'Keyboard'));
    title.id = 'keys-title';
    const parts = box.appendChild(tb.el('div', 'tb-keys-parts'));
    SHEET.forEach(([where, list]) => {
      const part = parts.appendChild(tb.el('section', 'tb-keys-part'));
      part.appendChild(tb.el('h3', 'tb-keys-where', where));
      part.appendChild(rows(list));
    });
    const label = box.appendChild(tb.el('label', 'tb-switch'));
    const check = label.appendChild(tb.el('input'));
    check.type = 'checkbox';
    check.addEventListener('change', () => { try { localStorage.setItem(OFF, check.checked ? '0' : '1'); } catch (e) { /* storage may be off */ } });
    label.appendChild(tb.el('span', null, 'Single keys work (? always does)'));
    const close = box.appendChild(tb.el('button', 'tb-button', 'Close'));
    close.addEventListener('click', () => box.close());
    document.body.appendChild(box);
    return box;
  }

  function help() {
    const box = dialog();
    box.querySelector('input').checked = !off();
    box.showModal();
  }

  function click(id) { const button = tb.byId(id); if (button) button.click(); return Boolean(button); }
  function focus(id) { const input = tb.byId(id); if (input) input.focus(); return Boolean(input); }

  function rollingWindow(name) {
    if (tb.onExplore() || !name) return false;
    window.dash_clientside.tallyboard.window(name);  // by the address, as the control does
    return true;
  }

  const ANYWHERE = {
    '?': help,
    d: () => tb.nextTheme(),
    ' ': () => tb.pause(!tb.paused),
  };
  const ACTIONS = {
    'g o': () => { tb.go('/'); return true; },
    'g e': () => { tb.go('/explore'); return true; },
    l: () => { if (tb.paused) tb.pause(false); if (tb.onExplore()) tb.backToLive(); return true; },
    m: () => focus('metric'),
    b: () => focus('by'),
    y: () => click('copy-link'),
  };
  DIGITS.forEach((digit, i) => { ACTIONS[digit] = () => rollingWindow(WINDOWS[i]); });

  function perform(key) {
    const own = tb.keyActions && tb.keyActions[key];
    if (own && own()) return true;
    return Boolean(ACTIONS[key] && ACTIONS[key]());
  }

  const isKnown = (key) => Boolean(ACTIONS[key] || (tb.keyActions && tb.keyActions[key]));
  const isThere = () => Boolean(tb.mounted && tb.byId(tb.onExplore() ? 'explore' : 'overview'));
  const isFilled = () => isThere() && Boolean(tb.last && (!tb.onExplore() || (tb.chart && tb.chart.watch === tb.search())));

  /* what was pressed while the page was on its way */
  function resume() {
    if (!waiting.length || !isThere()) return;
    const asked = waiting.filter(({ at }) => Date.now() - at < WAITS_MS);
    waiting = [];
    asked.forEach((one) => { if (!perform(one.key) && !isFilled()) waiting.push(one); });
  }

  /* true when the key was somebody's */
  function press(key) {
    if (ANYWHERE[key]) { ANYWHERE[key](); return true; }
    if (isThere() && perform(key)) return true;
    if (key === 'Escape' || isFilled() || !isKnown(key)) return false;
    waiting.push({ key, at: Date.now() });
    return true;
  }

  /* for a test: what the sheet tells of, and what there is */
  tb.keyboard = () => ({
    sheet: SHEET.flatMap(([, list]) => list.flatMap(([, keys]) => keys)),
    handled: [...Object.keys(ANYWHERE), ...Object.keys(ACTIONS), ...Object.keys(tb.keyActions || {})],
  });

  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const at = event.target;
    if (at.closest('input:not([readonly]), textarea, select, dialog, [contenteditable], [role="listbox"], [role="menu"]')) return;
    // a select of ours is a field nobody can type into: it takes the keys that open it and move in it, no letters
    if (at.closest('input') && (event.key === ' ' || event.key.length > 1)) return;
    if (event.key === ' ' && at.closest('button, a, summary')) return;
    if (event.key !== '?' && off()) return;
    const second = Date.now() - leader < 1200;
    leader = 0;
    if (event.key === 'g') { leader = Date.now(); return; }
    const key = second && isKnown('g ' + event.key) ? 'g ' + event.key : event.key;
    if (press(key)) event.preventDefault();
  });
  document.addEventListener('click', (event) => { if (event.target.closest && event.target.closest('#help')) help(); });
  tb.on('mounted', () => { tb.mounted = true; setTimeout(resume, 0); });
  tb.on('tick', resume);
})();

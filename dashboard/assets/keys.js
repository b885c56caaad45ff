/* Single keys, for whoever wants them; a switch in the help turns them off (WCAG 2.1.4). */
(() => {
  const tb = window.tallyboard;
  const OFF = 'tallyboard-keys-off';
  const RANGES = ['-5m', '-15m', '-1h', '-6h', '-24h'];
  const WINDOWS = ['1m', '5m', '1h'];
  const HELP = [
    ['?', 'this help'], ['g o', 'overview'], ['g e', 'explore'], ['1 … 5', 'time range, or window on the overview'],
    ['m', 'choose the metric'], ['b', 'choose the split'], ['t', 'type a time range'], ['l', 'back to live'],
    ['space', 'pause and go on'], ['y', 'copy link'], ['d', 'theme'], ['← →', 'move through the chart, when it has the focus'], ['esc', 'close'],
  ];
  let leader = 0;

  function off() { try { return localStorage.getItem(OFF) === '1'; } catch (e) { return false; } }

  function dialog() {
    let box = tb.byId('keys');
    if (box) return box;
    box = tb.el('dialog', 'tb-dialog');
    box.id = 'keys';
    box.setAttribute('aria-labelledby', 'keys-title');
    const title = box.appendChild(tb.el('h2', null, 'Keyboard'));
    title.id = 'keys-title';
    const list = box.appendChild(tb.el('dl', 'tb-keys'));
    HELP.forEach(([key, words]) => {
      list.appendChild(tb.el('dt')).appendChild(tb.el('kbd', null, key));
      list.appendChild(tb.el('dd', null, words));
    });
    const label = box.appendChild(tb.el('label', 'tb-switch'));
    const check = label.appendChild(tb.el('input'));
    check.type = 'checkbox';
    check.checked = !off();
    check.addEventListener('change', () => { try { localStorage.setItem(OFF, check.checked ? '0' : '1'); } catch (e) { /* storage may be off */ } });
    label.appendChild(tb.el('span', null, 'Single keys work'));
    const close = box.appendChild(tb.el('button', 'tb-button', 'Close'));
    close.addEventListener('click', () => box.close());
    document.body.appendChild(box);
    return box;
  }

  function number(n) {
    if (tb.onExplore() && RANGES[n]) tb.setRange(RANGES[n], '');
    else if (!tb.onExplore() && WINDOWS[n]) tb.setProps('window', { value: WINDOWS[n] });
  }

  const focus = (id) => { const input = tb.byId(id); if (input) input.focus(); };
  const ACTIONS = {
    '?': () => dialog().showModal(),
    d: () => tb.nextTheme(),
    l: () => { if (tb.paused) tb.pause(false); if (tb.onExplore()) tb.backToLive(); },
    ' ': () => tb.pause(!tb.paused),
    m: () => focus('metric'),
    b: () => focus('by'),
    t: () => focus('range'),
    y: () => { const button = tb.byId('copy-link'); if (button) button.click(); },
  };

  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const at = event.target;
    if (at.closest('input, textarea, select, dialog, [role="listbox"]')) return;
    if (event.key === ' ' && at.closest('button, a, summary')) return;
    if (event.key !== '?' && off()) return;
    const second = Date.now() - leader < 1200;
    leader = 0;
    if (event.key === 'g') { leader = Date.now(); return; }
    if (second && event.key === 'o') { tb.go('/'); return; }
    if (second && event.key === 'e') { tb.go('/explore'); return; }
    const action = ACTIONS[event.key] || (/^[1-9]$/.test(event.key) ? () => number(Number(event.key) - 1) : null);
    if (action) { event.preventDefault(); action(); }
  });
  document.addEventListener('click', (event) => { if (event.target.closest && event.target.closest('#help')) dialog().showModal(); });
})();

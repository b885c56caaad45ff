/* Small menus at a button, and words that pass. One menu is open at most. */
(() => {
  const tb = window.tallyboard;
  let box = null, from = null, waning = 0;

  function close(focus) {
    if (!box) return;
    box.remove();
    from.setAttribute('aria-expanded', 'false');
    if (focus && from.isConnected) from.focus();
    box = from = null;
  }

  function place(anchor) {
    const at = anchor.getBoundingClientRect(), width = box.offsetWidth, height = box.offsetHeight;
    const left = Math.max(8, Math.min(at.right - width, window.innerWidth - width - 8));
    const below = at.bottom + 4 + height <= window.innerHeight || at.top < height + 8;
    box.style.left = `${left + window.scrollX}px`;
    box.style.top = `${(below ? at.bottom + 4 : at.top - 4 - height) + window.scrollY}px`;
  }

  /* items: [[words, action] …]; focus goes to the first and back to the anchor */
  tb.menu = (anchor, label, items) => {
    const again = from === anchor;
    close(false);
    if (again) return;
    from = anchor;
    from.setAttribute('aria-expanded', 'true');
    box = tb.el('div', 'tb-menu');
    box.setAttribute('role', 'menu');
    box.setAttribute('aria-label', label);
    items.forEach(([words, action]) => {
      const item = box.appendChild(tb.el('button', 'tb-menu-item', words));
      item.setAttribute('role', 'menuitem');
      item.addEventListener('click', () => { close(true); action(); });
    });
    document.body.appendChild(box);
    place(anchor);
    box.firstChild.focus();
  };

  tb.toast = (words) => {
    let toast = tb.byId('toast');
    if (!toast) {
      toast = document.body.appendChild(tb.el('div', 'tb-toast'));
      toast.id = 'toast';
      toast.setAttribute('role', 'status');
    }
    tb.text(toast, words);
    tb.show(toast, true);
    clearTimeout(waning);
    waning = setTimeout(() => tb.show(toast, false), 4000);
  };

  document.addEventListener('keydown', (event) => {
    if (!box || !box.contains(event.target)) return;
    const items = [...box.children], at = items.indexOf(event.target);
    const moves = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 };
    if (event.key in moves) items[(moves[event.key] + items.length) % items.length].focus();
    else if (event.key === 'Escape') close(true);
    else if (event.key === 'Tab') { close(true); return; } else return;
    event.preventDefault();
    event.stopPropagation();
  }, true);
  document.addEventListener('pointerdown', (event) => { if (box && !box.contains(event.target) && !from.contains(event.target)) close(false); }, true);
  window.addEventListener('resize', () => close(false));
  tb.on('searched', () => close(false));
})();

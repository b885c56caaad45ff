/* The frame: where we are, the theme, copying. */
(() => {
  const tb = window.tallyboard;
  const KEY = 'mantine-color-scheme-value';
  const NEXT = { auto: 'light', light: 'dark', dark: 'auto' };
  const WORDS = { auto: 'as the system', light: 'light', dark: 'dark' };

  function stored() {
    try { return localStorage.getItem(KEY) || 'auto'; } catch (e) { return 'auto'; }
  }

  tb.nextTheme = () => {
    const value = NEXT[stored()] || 'auto';
    try { localStorage.setItem(KEY, value); } catch (e) { /* storage may be off */ }
    // Mantine follows the storage event, which a window does not send to itself
    window.dispatchEvent(new StorageEvent('storage', { key: KEY, newValue: value, storageArea: localStorage }));
    tb.say(`Theme ${WORDS[value]}`);
    paintTheme();
  };

  function paintTheme() {
    const button = tb.byId('theme');
    if (!button) return;
    button.dataset.theme = stored();
    button.setAttribute('aria-label', `Theme: ${WORDS[stored()]}`);
    button.title = `Theme: ${WORDS[stored()]}`;
  }

  function where() {
    document.querySelectorAll('.tb-nav a').forEach((link) => {
      const here = link.getAttribute('href') === tb.at(tb.path());
      if (here) link.setAttribute('aria-current', 'page'); else link.removeAttribute('aria-current');
    });
    document.title = tb.onExplore() ? 'Explore · Tallyboard' : 'Tallyboard';
    paintTheme();
  }

  async function copy(text) {
    try { await navigator.clipboard.writeText(text); return true; } catch (e) { /* not a secure context, or not allowed */ }
    const area = tb.el('textarea', 'tb-unseen');
    area.value = text;
    document.body.appendChild(area);
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    return done;
  }

  tb.copy = async (button, text) => {
    if (!button) { tb.toast((await copy(text)) ? 'Copied' : 'Not allowed'); return; }
    const words = button.dataset.words || button.textContent;
    button.dataset.words = words;
    const done = await copy(text);
    button.textContent = done ? 'Copied' : 'Not allowed';
    tb.say(button.textContent);
    setTimeout(() => { button.textContent = words; }, 1500);
  };

  document.addEventListener('click', (event) => {
    const target = event.target.closest ? event.target.closest('button') : null;
    if (!target) return;
    if (target.id === 'theme') tb.nextTheme();
    else if (target.dataset.copy) tb.copy(target, target.dataset.copy);
  });
  new MutationObserver(() => tb.emit('theme')).observe(document.documentElement, { attributes: true, attributeFilter: ['data-mantine-color-scheme'] });
  tb.on('mounted', where);
  tb.on('searched', where);
})();

/* Before the first paint: the stored theme, else the system's. Loaded in the head. */
(() => {
  let stored = null;
  try { stored = localStorage.getItem('mantine-color-scheme-value'); } catch (e) { /* storage may be off */ }
  const dark = stored === 'dark' || (stored !== 'light' && matchMedia('(prefers-color-scheme: dark)').matches);
  document.documentElement.setAttribute('data-mantine-color-scheme', dark ? 'dark' : 'light');
})();

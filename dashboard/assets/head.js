/* Loaded in the head, before the first paint: the stored theme, else the system's; and an early start for plotly. */
(() => {
  let stored = null;
  try { stored = localStorage.getItem('mantine-color-scheme-value'); } catch (e) { /* storage may be off */ }
  const dark = stored === 'dark' || (stored !== 'light' && matchMedia('(prefers-color-scheme: dark)').matches);
  document.documentElement.setAttribute('data-mantine-color-scheme', dark ? 'dark' : 'light');

  const plotly = document.currentScript.dataset.plotly, base = document.documentElement.dataset.base || '';
  let begun = false;
  function preload() {
    if (begun || !plotly) return;
    begun = true;
    const link = document.createElement('link');
    link.rel = 'preload';
    link.as = 'script';
    link.href = plotly;
    document.head.appendChild(link);
  }
  if (location.pathname === `${base}/explore`) preload();
  // whoever points at a way to a chart will need it soon
  document.addEventListener('pointerover', (event) => {
    if (event.target.closest && event.target.closest(`a[href^="${base}/explore"]`)) preload();
  });
})();

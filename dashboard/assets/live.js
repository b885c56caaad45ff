/* The connection: one websocket, the newest message, and coming back after it was cut.

   Events: `received` for every message, as it came; `tick` when one is shown: not while the page is paused or hidden,
   but for the first message of an address that was gone to meanwhile; `closed`; `paused`.
   tb.newest is the newest message, tb.last and tb.chart are what is shown. */
(() => {
  const tb = window.tallyboard;
  const SILENCE_MS = 10000;
  let socket = null, failures = 0, watchdog = 0, timer = 0, watched, chart = null, owed = true;

  const watch = () => (tb.onExplore() ? tb.search() : null);

  function sendWatch(always) {
    const wanted = watch();
    if (!always && wanted === watched) return;
    watched = wanted;
    owed = true;
    if (socket && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ watch: wanted }));
  }

  function heard() {
    clearTimeout(watchdog);
    watchdog = setTimeout(() => socket && socket.close(), SILENCE_MS);
  }

  /* the newest message becomes what is shown */
  function show() {
    if (!tb.newest) return;
    tb.last = tb.newest;
    tb.chart = chart;
    const there = watched === null || (chart && chart.watch === watched);
    if (there) owed = false;
    tb.emit('tick', tb.last);
  }

  function receive(event) {
    heard();
    failures = 0;
    // over a slow line the first message, the only whole one, is here before the scripts that keep it
    if (document.readyState === 'loading') { document.addEventListener('DOMContentLoaded', () => receive(event), { once: true }); return; }
    const message = JSON.parse(event.data);
    message.received = Date.now();
    if (message.chart) chart = message.chart;
    if (message.choices) tb.choices = message.choices;
    tb.newest = message;
    tb.ticks += 1;
    tb.emit('received', message);
    if (!document.hidden && (!tb.paused || owed)) show();
    tb.emit('message', message);
  }

  function connect() {
    clearTimeout(timer);
    tb.retryAt = null;
    socket = new WebSocket(tb.url('/live').replace(/^http/, 'ws'));
    socket.onopen = () => { heard(); sendWatch(true); };
    socket.onmessage = receive;
    socket.onclose = (event) => {
      clearTimeout(watchdog);
      const wait = Math.min(500 * 2 ** failures++, 15000) * (0.5 + Math.random() / 2);
      tb.retryAt = Date.now() + wait;
      timer = setTimeout(connect, wait);
      tb.emit('closed', event);
    };
  }

  tb.reconnect = () => { if (tb.retryAt) { failures = 0; connect(); } };
  tb.pause = (paused) => {
    tb.paused = paused;
    tb.pausedAt = paused ? Date.now() : null;
    tb.say(paused ? 'Paused' : 'Live again');
    if (!paused) show();
    tb.emit('paused');
  };
  const repaint = () => { if (tb.last) tb.emit('tick', tb.last); };
  tb.on('mounted', () => { sendWatch(); repaint(); });
  tb.on('searched', () => sendWatch());
  document.addEventListener('visibilitychange', () => { if (!document.hidden && !tb.paused) show(); });
  window.addEventListener('online', () => tb.reconnect());
  document.addEventListener('click', (event) => { if (event.target.closest && event.target.closest('#pause')) tb.pause(!tb.paused); });
  connect();
})();

/* The connection: one websocket, the newest message, and coming back after it was cut. */
(() => {
  const tb = window.tallyboard;
  const SILENCE_MS = 10000;
  let socket = null, failures = 0, watchdog = 0, timer = 0, watched;

  const watch = () => (tb.onExplore() ? tb.search() : null);

  function sendWatch(always) {
    const wanted = watch();
    if (!always && wanted === watched) return;
    watched = wanted;
    if (socket && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ watch: wanted }));
  }

  function heard() {
    clearTimeout(watchdog);
    watchdog = setTimeout(() => socket && socket.close(), SILENCE_MS);
  }

  function receive(event) {
    heard();
    failures = 0;
    const message = JSON.parse(event.data);
    message.received = Date.now();
    if (message.chart) tb.chart = message.chart;
    tb.last = message;
    tb.ticks += 1;
    tb.emit('message', message);
    if (!tb.paused && !document.hidden) tb.emit('tick', message);
  }

  function connect() {
    clearTimeout(timer);
    tb.retryAt = null;
    socket = new WebSocket(location.origin.replace(/^http/, 'ws') + '/live');
    socket.onopen = () => { heard(); sendWatch(true); };
    socket.onmessage = receive;
    socket.onclose = () => {
      clearTimeout(watchdog);
      const wait = Math.min(500 * 2 ** failures++, 15000) * (0.5 + Math.random() / 2);
      tb.retryAt = Date.now() + wait;
      timer = setTimeout(connect, wait);
      tb.emit('closed');
    };
  }

  tb.reconnect = () => { if (tb.retryAt) { failures = 0; connect(); } };
  tb.pause = (paused) => {
    tb.paused = paused;
    tb.emit('paused');
    if (!paused && tb.last) tb.emit('tick', tb.last);
  };
  const repaint = () => { if (tb.last) tb.emit('tick', tb.last); };
  tb.on('mounted', () => { sendWatch(); repaint(); });
  tb.on('searched', () => sendWatch());
  document.addEventListener('visibilitychange', () => { if (!document.hidden && !tb.paused) repaint(); });
  window.addEventListener('online', () => tb.reconnect());
  connect();
})();

/* How live the numbers are: the pill, the banner, the time up to which they are right. Nothing old looks live. */
(() => {
  const tb = window.tallyboard;
  const LIVE_MS = 2000, STALE_MS = 10000, DELAYED_MS = 3500, LOST_MS = 15000;
  let wasCut = false, backUntil = 0, behindSince = null;

  /* lag as it is now: what the message said, and the time since */
  function lag(message) {
    const waited = Date.now() - message.received;
    const told = message.freshness.lag_ms;
    return { waited, lag: told === null ? null : told + waited };
  }

  function judge() {
    const message = tb.newest;
    if (!message) return tb.retryAt ? { state: 'lost', pill: 'No connection' } : { state: 'connecting', pill: 'Connecting' };
    const { waited, lag: behind } = lag(message);
    if (waited > LOST_MS) return { state: 'lost', pill: 'Connection lost' };
    if (waited > DELAYED_MS) return { state: 'late', pill: tb.retryAt ? 'Reconnecting' : 'Delayed' };
    if (tb.paused) return { state: 'paused', pill: `Paused · ${tb.clock(tb.pausedAt).slice(0, 5)}` };
    if (message.reasons.length) return { state: 'unready', pill: 'Not ready' };
    if (behind === null) return { state: 'live', pill: 'Live' };
    if (behind > STALE_MS) return { state: 'stale', pill: `Behind · ${tb.age(behind)}` };
    return { state: behind > LIVE_MS ? 'behind' : 'live', pill: `${behind > LIVE_MS ? 'Behind' : 'Live'} · ${tb.age(behind)}` };
  }

  function catchUp(message) {
    const lagNow = message.freshness.lag_ms;
    if (behindSince === null) behindSince = { at: Date.now(), lag: lagNow };
    const gained = behindSince.lag - lagNow, took = Date.now() - behindSince.at;
    return gained > 1000 && took > 2000 ? ` Catching up, about ${tb.age(lagNow * took / gained)} to go.` : '';
  }

  function words(state) {
    const message = tb.newest;
    if (state === 'lost') {
      const since = message ? ` at ${tb.clock(message.received)} UTC. Showing the last numbers.` : '.';
      const wait = tb.retryAt ? ` Trying again in ${Math.max(Math.ceil((tb.retryAt - Date.now()) / 1000), 0)}\u202fs.` : ' Trying again.';
      return (message ? 'Connection lost' : 'No connection yet') + since + wait;
    }
    if (state === 'stale') {
      const to = message.freshness.watermark_ms;
      return `Behind by ${tb.age(lag(message).lag)}. Numbers are correct up to ${to === null ? 'an unknown time' : tb.clock(to) + ' UTC'}.${catchUp(message)}`;
    }
    behindSince = null;
    if (state === 'unready') return `Not ready: ${message.reasons.join(' · ')}. Numbers may be incomplete.`;
    if (Date.now() < backUntil) return 'Connected again. You missed nothing.';
    return '';
  }

  function banner(state, text) {
    const box = tb.byId('banner');
    if (!box) return;
    box.dataset.state = state;
    tb.show(box, text !== '');
    let line = box.querySelector('span'), button = box.querySelector('button');
    if (!line) {
      line = box.appendChild(tb.el('span'));
      button = box.appendChild(tb.el('button', 'tb-button', 'Try now'));
      button.addEventListener('click', () => tb.reconnect());
    }
    tb.text(line, text);
    tb.show(button, state === 'lost');
  }

  function paint() {
    const { state, pill } = judge();
    const live = tb.byId('live');
    if (!live) return;
    const away = state === 'lost' || state === 'late';
    if (wasCut && !away) backUntil = Date.now() + 4000;
    wasCut = away && (wasCut || state === 'lost' || tb.retryAt !== null);
    const old = state === 'lost' || state === 'stale' || state === 'unready';
    document.documentElement.dataset.fresh = old ? 'old' : 'live';
    if (live.dataset.state !== state) live.dataset.state = state;
    tb.text(tb.byId('live-text'), pill);
    const pause = tb.byId('pause');
    if (pause && pause.getAttribute('aria-pressed') !== String(tb.paused)) {
      pause.setAttribute('aria-pressed', String(tb.paused));
      pause.title = tb.paused ? 'Go on (space)' : 'Pause (space)';
    }
    banner(state, words(state));
    const to = tb.last && tb.last.freshness.watermark_ms;
    tb.text(tb.byId('correct'), to ? `Correct up to ${tb.clock(to)} UTC` : 'Times in UTC');
  }

  tb.on('message', paint);
  tb.on('closed', paint);
  tb.on('paused', paint);
  tb.on('mounted', paint);
  setInterval(paint, 500);
})();

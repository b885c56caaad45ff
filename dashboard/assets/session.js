/* Who is signed in, where keys are asked for: the way out, and back to the form when the key or the session is over. */
(() => {
  const tb = window.tallyboard;
  const SIGN_IN_AGAIN = 4401;
  tb.session = null;

  function paint() {
    const button = tb.byId('sign-out'), key = tb.session && tb.session.key;
    if (!button) return;
    tb.show(button, Boolean(key));
    if (key) button.title = `Sign out: signed in with the key ${key.name} (${key.id})`;
  }

  async function look() {
    try {
      const answer = await fetch(tb.at('/session'), { cache: 'no-store' });
      if (!answer.ok) return;
      tb.session = await answer.json();
    } catch (e) { return; /* no connection: the websocket says so */ }
    // this very address shows the form then, and leads back here
    if (tb.session.asks && !tb.session.key) location.reload(); else paint();
  }

  async function signOut() {
    try { await fetch(tb.at('/sign-out'), { method: 'POST', redirect: 'manual' }); } catch (e) { tb.toast('No connection: still signed in.'); return; }
    location.assign(tb.at('/sign-in'));
  }

  tb.on('closed', (event) => { if (event && event.code === SIGN_IN_AGAIN) location.reload(); else look(); });
  tb.on('mounted', paint);
  document.addEventListener('click', (event) => { if (event.target.closest && event.target.closest('#sign-out')) signOut(); });
  look();
})();

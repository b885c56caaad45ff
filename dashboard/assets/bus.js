/* What the page's scripts share: events between them, and elements whose text is always text. */
window.tallyboard = (() => {
  const listeners = {};
  /* what a proxy puts in front of every address; addresses of ours are written without it */
  const base = document.documentElement.dataset.base || '';
  const based = (path) => path === base || path.startsWith(`${base}/`);
  const tb = {
    ticks: 0,
    newest: null,                   // the newest message
    last: null,                     // the message that is shown
    chart: null,                    // the chart that is shown, with the address it belongs to in .watch
    choices: [],                    // every metric: [name, name to be read, dimensions]
    paused: false,
    on(name, listener) { (listeners[name] = listeners[name] || []).push(listener); },
    emit(name, detail) { (listeners[name] || []).forEach((listener) => listener(detail)); },
    el(tag, className, text) {
      const element = document.createElement(tag);
      if (className) element.className = className;
      if (text !== undefined && text !== null) element.textContent = text;
      return element;
    },
    byId(id) { return document.getElementById(id); },
    text(element, text) { if (element && element.textContent !== text) element.textContent = text; },
    show(element, shown) { if (element && element.hidden === shown) element.hidden = !shown; },
    say(words) { tb.text(tb.byId('said'), words); },
    setProps(id, props) { if (tb.byId(id)) window.dash_clientside.set_props(id, props); },
    /* the browser's address of one of ours, and the path of ours the browser is at */
    at(address) { return based(address.split('?')[0]) ? address : base + address; },
    path() { return (based(location.pathname) ? location.pathname.slice(base.length) : location.pathname) || '/'; },
    url(address) { return location.origin + tb.at(address); },
    onExplore() { return tb.path() === '/explore'; },
    search() { return location.search.replace(/^\?/, ''); },
    /* goes to an address of ours without loading the page again */
    go(address) {
      const url = new URL(tb.at(address), location.origin);
      if (url.origin !== location.origin) return;
      if (url.pathname === location.pathname && url.search === location.search) return;
      // the path only when it changes: whoever sets it has the page made again
      const path = url.pathname === location.pathname ? {} : { pathname: url.pathname };
      window.dash_clientside.set_props('url', { ...path, search: url.search });
    },
    age(ms) {
      const s = Math.max(ms, 0) / 1000;
      if (s < 9.95) return s.toFixed(1) + '\u202fs';
      if (s < 60) return Math.floor(s) + '\u202fs';
      if (s < 3600) return Math.floor(s / 60) + '\u202fmin';
      return s < 86400 ? Math.floor(s / 3600) + '\u202fh' : Math.floor(s / 86400) + '\u202fd';
    },
    clock(ms) { return new Date(ms).toISOString().slice(11, 19); },
  };
  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.tallyboard = {
    mounted() { setTimeout(() => tb.emit('mounted'), 0); return null; },
    searched() { setTimeout(() => tb.emit('searched'), 0); return null; },
  };
  return tb;
})();

/* Filters and the address: the same rules as dashboard/state.py, so that equal views have equal addresses. */
(() => {
  const tb = window.tallyboard;
  const LONGEST = 8000;
  const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);

  function read(text) {
    const negate = text.startsWith('!'), rest = negate ? text.slice(1) : text, at = rest.indexOf(':');
    return { dimension: rest.slice(0, at), negate, value: rest.slice(at + 1) };
  }

  function put(params, filters) {
    const texts = new Map();
    filters.slice().sort((a, b) => compare(a.dimension, b.dimension) || a.negate - b.negate || compare(a.value, b.value))
      .forEach((f) => texts.set(`${f.negate ? '!' : ''}${f.dimension}:${f.value}`, true));
    params.delete('where');
    [...texts.keys()].forEach((text) => params.append('where', text));
  }

  const RULES = {
    only: (filters, d, value) => filters.filter((f) => f.dimension !== d).concat({ dimension: d, negate: false, value }),
    toggle: (filters, d, value) => switched(filters, d, value, false),
    exclude: (filters, d, value) => switched(filters, d, value, true),
  };

  function switched(filters, dimension, value, negate) {
    const own = (f) => f.dimension === dimension && f.value === value;
    const had = filters.some((f) => own(f) && f.negate === negate);
    return filters.filter((f) => !own(f)).concat(had ? [] : { dimension, negate, value });
  }

  function target(change) {
    const params = new URLSearchParams(location.search);
    change(params);
    return '/explore' + tb.written(params);
  }

  /* filters by a value of a dimension: "toggle", "only" or "exclude"; whether it could */
  tb.filter = (dimension, value, rule) => {
    const address = target((params) => put(params, RULES[rule](params.getAll('where').map(read), dimension, value)));
    if (address.length > LONGEST) { tb.toast('This value is too long for an address.'); return false; }
    tb.go(address);
    return true;
  };

  tb.clearFilters = () => tb.go(target((params) => params.delete('where')));

  /* the last chip; whether there was one */
  tb.dropFilter = () => {
    const filters = new URLSearchParams(location.search).getAll('where').map(read), last = filters.pop();
    if (!last) return false;
    const kept = filters.filter((f) => f.dimension !== last.dimension || f.negate !== last.negate);
    tb.go(target((params) => put(params, kept)));
    return true;
  };

  /* sets words of the page in the address without a step in the history; an empty one is left out */
  tb.setWords = (words) => {
    const address = target((params) => Object.entries(words).forEach(([name, value]) => (value ? params.set(name, value) : params.delete(name))));
    if (address === tb.path() + location.search || address.length > LONGEST) return;
    history.replaceState(history.state, '', tb.at(address));
    // the router has to know, or it takes the way back for a step it has already made
    window.dash_clientside.set_props('url', { href: location.href, search: location.search });
    tb.emit('searched');
  };
})();

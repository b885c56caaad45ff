/* Explore's time range: the button and its menu, arrows to the ranges beside it, keys. */
(() => {
  const tb = window.tallyboard;
  let state = null, dates = '';

  const isOpen = () => { const box = document.querySelector('.tb-range-menu'); return Boolean(box && box.offsetParent); };
  // the menu has no element of its own while it is closed
  const opened = (value) => { if (tb.byId('range-button')) window.dash_clientside.set_props('range-menu', { opened: value }); };
  const close = () => opened(false);

  tb.openRange = () => {
    opened(true);
    const focus = (times) => {
      const field = tb.byId('range');
      if (isOpen()) { field.focus(); field.select(); } else if (times) setTimeout(() => focus(times - 1), 50);
    };
    focus(100);
  };

  /* what was typed goes to the server, which knows how to read it */
  window.dash_clientside.tallyboard.typed = (submitted, text) => {
    if (!submitted || !text || !tb.last) return window.dash_clientside.no_update;
    const zone = state ? state.timezone || state.workspace_zone : 'UTC';
    return { text, now: tb.last.now, zone, search: location.search, again: submitted };
  };

  /* two dates of the calendar: whole days of the page's zone, the last one included */
  window.dash_clientside.tallyboard.dated = (value) => {
    const none = window.dash_clientside.no_update;
    if (!Array.isArray(value) || !value[0] || !value[1] || JSON.stringify(value) === dates || !isOpen()) return none;
    const end = new Date(value[1] + 'T00:00:00Z');
    end.setUTCDate(end.getUTCDate() + 1);
    close();
    tb.setRange(value[0], end.toISOString().slice(0, 10));
    return none;
  };

  function fill() {
    const chart = tb.chart, button = tb.byId('range-button');
    if (!button || !chart || !chart.state || chart.watch !== tb.search()) return;
    state = chart.state;
    const words = state.range.charAt(0).toUpperCase() + state.range.slice(1);
    tb.text(button, words);
    button.title = words;
    button.setAttribute('aria-expanded', String(isOpen()));
    [['range-earlier', state.earlier], ['range-later', state.later]].forEach(([id, href]) => { tb.byId(id).disabled = !href; });
    document.querySelectorAll('.tb-preset').forEach((preset) => {
      const on = preset.dataset.from === state.from && (preset.dataset.to || 'now') === state.to;
      preset.setAttribute('aria-pressed', String(on));
    });
    // a date that was just clicked is not taken away again
    if (isOpen() || !state.dates || dates === JSON.stringify(state.dates)) return;
    dates = JSON.stringify(state.dates);
    tb.setProps('calendar', { value: state.dates, maxDate: state.today });
  }

  const go = (name) => () => {
    if (!tb.onExplore() || !state) return false;
    if (state[name]) tb.go(state[name]);
    return true;
  };
  tb.wider = go('wider');

  const STEPS = ['auto', '1s', '10s', '1m', '5m', '15m', '1h', '1d'];
  const PRESETS = [['-5m', ''], ['-15m', ''], ['-1h', ''], ['-6h', ''], ['-24h', ''], ['today', ''], ['-7d', ''], ['-30d', ''], ['-90d', '']];
  let compared = 'previous';

  function change(name, value, normal) {
    const params = new URLSearchParams(location.search);
    if (value === normal) params.delete(name); else params.set(name, value);
    tb.go('/explore' + tb.written(params));
  }

  const actions = {
    ArrowLeft: go('earlier'), ArrowRight: go('later'), '-': go('wider'), '+': go('narrower'), '=': go('narrower'),
    t: () => { if (!tb.onExplore()) return false; tb.openRange(); return true; },
    x: () => {
      if (!tb.onExplore() || !state) return false;
      const off = state.compare === 'off';
      if (!off) compared = state.compare;
      change('compare', off ? compared : 'off', 'previous');
      return true;
    },
    s: () => {
      if (!tb.onExplore() || !state) return false;
      change('step', STEPS[(STEPS.indexOf(state.step) + 1) % STEPS.length], 'auto');
      return true;
    },
  };
  PRESETS.forEach(([from, to], i) => {
    actions[String(i + 1)] = () => { if (!tb.onExplore()) return false; tb.setRange(from, to); return true; };
  });
  tb.keyActions = Object.assign(tb.keyActions || {}, actions);

  document.addEventListener('click', (event) => {
    const button = event.target.closest && event.target.closest('button');
    if (!button) return;
    if (button.id === 'range-earlier') actions.ArrowLeft();
    else if (button.id === 'range-later') actions.ArrowRight();
    else if (button.classList.contains('tb-preset')) { close(); tb.setRange(button.dataset.from, button.dataset.to); }
  });
  tb.on('tick', fill);
  tb.on('mounted', () => { state = null; dates = ''; });
})();

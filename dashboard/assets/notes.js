/* Annotations: the list beneath the chart, and the small window that adds, changes and removes one. */
(() => {
  const tb = window.tallyboard;
  const MOST = 500;
  let parts = null, editing = null, sure = 0;

  const api = (id) => tb.at(`/api/v1/annotations${id ? `/${encodeURIComponent(id)}` : ''}`);
  const current = () => (tb.chart && tb.chart.watch === tb.search() && tb.chart.annotations ? tb.chart : null);

  /* the page's time zone, both ways */
  function ahead(chart, ms) {
    const offsets = chart.zone.offsets;
    let found = offsets.length ? offsets[0][1] : 0;
    offsets.forEach(([since, offset]) => { if (ms >= since) found = offset; });
    return found;
  }
  const written = (chart, ms) => (ms === null ? '' : new Date(ms + ahead(chart, ms)).toISOString().slice(0, 19));
  function moment(chart, text) {
    const local = Date.parse(`${text}Z`);
    const found = [...chart.zone.offsets.map(([, offset]) => local - offset), local];
    return found.find((ms) => ahead(chart, ms) === local - ms) ?? found[0];
  }

  function field(box, words, tag, type) {
    const label = box.appendChild(tb.el('label', 'tb-field'));
    label.appendChild(tb.el('span', null, words));
    const input = label.appendChild(tb.el(tag));
    if (type) input.type = type;
    if (type === 'datetime-local') input.step = 1;
    return input;
  }

  function button(box, words, className, action) {
    const made = box.appendChild(tb.el('button', `tb-button ${className}`, words));
    made.type = 'button';
    made.addEventListener('click', action);
    return made;
  }

  function build() {
    const box = tb.el('dialog', 'tb-dialog tb-note-editor');
    box.id = 'note-editor';
    box.setAttribute('aria-labelledby', 'note-title');
    const title = box.appendChild(tb.el('h2'));
    title.id = 'note-title';
    const text = field(box, 'Text', 'textarea');
    text.maxLength = MOST;
    text.rows = 3;
    const times = box.appendChild(tb.el('div', 'tb-note-times'));
    const at = field(times, 'Time', 'input', 'datetime-local'), end = field(times, 'Until, if it lasts', 'input', 'datetime-local');
    const label = box.appendChild(tb.el('label', 'tb-switch'));
    const every = label.appendChild(tb.el('input'));
    every.type = 'checkbox';
    label.appendChild(tb.el('span', null, 'On every metric'));
    const about = box.appendChild(tb.el('p', 'tb-note'));
    const wrong = box.appendChild(tb.el('p', 'tb-note-wrong'));
    wrong.setAttribute('role', 'alert');
    const foot = box.appendChild(tb.el('div', 'tb-note-foot'));
    const save = button(foot, 'Save', 'tb-primary', submit), remove = button(foot, 'Remove', 'tb-danger', discard);
    button(foot, 'Cancel', 'tb-cancel', () => box.close());
    box.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' || event.isComposing || event.target.closest('button')) return;
      if (event.target === text && !event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      submit();
    });
    document.body.appendChild(box);
    return { box, title, text, at, end, every, about, wrong, save, remove };
  }

  /* note null: a new one */
  function open(note, at) {
    const chart = current();
    if (!chart) return false;
    parts = parts || build();
    editing = { note, chart, id: note ? note.id : [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, '0')).join('') };
    editing.at = written(chart, note ? note.at_ms : at);
    editing.end = note ? written(chart, note.end_ms) : '';
    parts.title.textContent = note ? 'Annotation' : `Annotate ${chart.metric}`;
    parts.text.value = note ? note.text : '';
    parts.at.value = editing.at;
    parts.end.value = editing.end;
    parts.every.checked = Boolean(note) && note.metric === null;
    parts.about.textContent = [`Times of ${chart.zone.name}`, note && note.author ? `by ${note.author}` : ''].filter(Boolean).join(' · ');
    parts.wrong.textContent = '';
    parts.remove.textContent = 'Remove';
    sure = 0;
    tb.show(parts.remove, Boolean(note));
    parts.box.showModal();
    parts.text.focus();
    return true;
  }

  function content() {
    const { note, chart } = editing, { text, at, end, every } = parts;
    const said = {}, metric = every.checked ? null : (note && note.metric) || chart.state.metric;
    if (!note || text.value !== note.text) said.text = text.value;
    if (!note || metric !== note.metric) said.metric = metric;
    const same = (value, before) => value === before || `${value}:00` === before;
    if (!note || !same(at.value, editing.at) || !same(end.value, editing.end)) {
      said.at = note && same(at.value, editing.at) ? note.at_ms : moment(chart, at.value);
      said.end = !end.value ? null : note && same(end.value, editing.end) ? note.end_ms : moment(chart, end.value);
    }
    return said;
  }

  async function send(method, id, body) {
    const busy = [parts.save, parts.remove], dialog = editing;
    busy.forEach((one) => { one.disabled = true; });
    parts.wrong.textContent = '';
    let wrong = '';
    try {
      const headers = body ? { 'Content-Type': 'application/json' } : {};
      const answer = await fetch(api(id), { method, headers, body: body ? JSON.stringify(body) : undefined });
      if (!answer.ok) wrong = (await answer.json().catch(() => ({}))).message || `The server answered ${answer.status}.`;
    } catch (error) { wrong = 'The server cannot be reached.'; }
    busy.forEach((one) => { one.disabled = false; });
    if (dialog !== editing || !parts.box.open) return;
    parts.wrong.textContent = wrong;
    if (wrong) return;
    parts.box.close();
    tb.toast(method === 'DELETE' ? 'Removed' : 'Saved');
  }

  function submit() {
    if (!parts.text.value.trim()) { parts.wrong.textContent = 'Write what happened.'; parts.text.focus(); return; }
    if (!parts.at.value) { parts.wrong.textContent = 'When was it?'; parts.at.focus(); return; }
    const said = content();
    if (!editing.note) send('POST', '', { id: editing.id, ...said });
    else if (Object.keys(said).length) send('PATCH', editing.id, said);
    else parts.box.close();
  }

  /* asked once more: there is no way back */
  function discard() {
    if (Date.now() - sure > 5000) { sure = Date.now(); parts.remove.textContent = 'Really remove?'; return; }
    send('DELETE', editing.id);
  }

  function annotate() {
    const chart = current();
    if (!chart || !chart.figure) return false;
    const pointed = tb.pointedAt ? tb.pointedAt() : null, now = tb.last ? tb.last.now : Date.now();
    const end = chart.figure.layout.xaxis.range[1];
    return open(null, pointed === null ? Math.min(now, end) : pointed);
  }

  /* a mark of one opens it, a mark of several leads to the list */
  function flagged(id) {
    const chart = current(), row = document.querySelector(`#notes [data-id="${CSS.escape(id)}"]`);
    const note = chart && chart.annotations.find((one) => one.id === id);
    if (!note) return;
    const flag = chart.figure.layout.annotations.find((one) => one.name === id);
    if ((!flag || flag.text === '▾') || !row) open(note);
    else { row.scrollIntoView({ block: 'nearest' }); row.focus(); }
  }

  function entry(id) {
    const item = tb.el('li'), row = item.appendChild(tb.el('button', 'tb-note-row'));
    row.dataset.id = id;
    ['tb-note-when', 'tb-note-text', 'tb-note-author'].forEach((name) => row.appendChild(tb.el('span', name)));
    row.addEventListener('click', () => {
      const note = current() && current().annotations.find((one) => one.id === id);
      if (note) open(note);
    });
    return item;
  }

  function paint() {
    const list = tb.byId('notes'), chart = current();
    if (!list) return;
    tb.show(tb.byId('annotate'), Boolean(chart && chart.figure));
    const notes = chart ? chart.annotations : [];
    tb.show(list, notes.length > 0);
    const there = new Map([...list.children].map((item) => [item.firstChild.dataset.id, item]));
    const keep = new Set(notes.map((note) => note.id));
    there.forEach((item, id) => { if (!keep.has(id)) item.remove(); });
    notes.forEach((note, place) => {
      const item = there.get(note.id) || entry(note.id);
      const [when, text, author] = item.firstChild.children;
      tb.text(when, `▾ ${note.when}`);
      tb.text(text, note.text);
      tb.text(author, note.author);
      if (list.children[place] !== item) list.insertBefore(item, list.children[place] || null);
    });
  }

  tb.keyActions = Object.assign(tb.keyActions || {}, { m: () => tb.onExplore() && annotate() });
  document.addEventListener('click', (event) => { if (event.target.closest && event.target.closest('#annotate')) annotate(); });
  tb.on('flag', flagged);
  tb.on('tick', paint);
  tb.on('searched', paint);
})();

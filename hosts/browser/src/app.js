import { chosen, dropped } from './dropped.js';
import { csv, html, ndjson } from './export.js';
import { Findings, SEVERITIES } from './finding.js';
import { bytesOf, count, element } from './text.js';
import { findingView, problemView, table } from './view.js';

/** How many findings are shown at first, and at each request for more. */
const PAGE = 100;

const byId = (id) => document.getElementById(id);

let worker;
let findings;
let problems;
let filtered = [];
let shown = 0;
let counts;
let isReading = false;

/** Starts over: a worker with an empty state. */
function reset() {
  worker?.terminate();
  findings = new Findings();
  problems = [];
  counts = undefined;
  isReading = false;
  worker = new Worker(URL.createObjectURL(new Blob([WORKER], { type: 'text/javascript' })));
  worker.onmessage = ({ data }) => on[data.tag](data);
  worker.onerror = (event) => on.failed({ message: event.message || 'the worker ended' });
  let config;
  try {
    config = JSON.parse(byId('config').value.trim() || '{}');
  } catch (error) {
    on.failed({ message: `settings: ${error.message}` });
    return;
  }
  worker.postMessage({ tag: 'open', config });
  render();
}

const on = {
  opened({ description }) {
    byId('version').textContent = `Catena ${description.version}, ${count(description.rules.length, 'rule')}`;
    byId('rules').replaceChildren(
      ...table(
        'Built-in rules',
        ['severity', 'rule', 'what it finds', 'ATT&CK'],
        description.rules.map(({ id, severity_id: severity, title, attack }) => [
          SEVERITIES[severity],
          id,
          title,
          attack.map(({ technique }) => technique).join(' '),
        ]),
      ),
    );
    say('Ready.');
    document.body.dataset.state = 'ready';
  },

  progress({ path, bytes, total, records, ...news }) {
    take(news);
    byId('bar').max = Math.max(total, 1);
    byId('bar').value = bytes;
    byId('doing').textContent = `${bytesOf(bytes)} of ${bytesOf(total)}, ${count(records, 'record')}, ${count(findings.size, 'finding')}: ${path}`;
  },

  done({ isStopped, findings: found, problems: noted, ...all }) {
    isReading = false;
    take({ findings: found, problems: noted });
    counts = all;
    render();
    say(`${isStopped ? 'Stopped. ' : ''}${summary()}`);
    document.body.dataset.state = 'done';
    byId('results').focus();
  },

  failed({ message }) {
    isReading = false;
    render();
    say(`Failed: ${message}`);
    document.body.dataset.state = 'failed';
  },
};

function take({ findings: found, problems: noted }) {
  findings.add(found);
  problems.push(...noted);
}

/** Says something to everyone, also to screen readers. */
function say(text) {
  byId('status').textContent = text;
}

function summary() {
  const { totals } = counts;
  const others = counts.unrecognised.reduce((sum, { records }) => sum + records, 0);
  const rejected = counts.rejected.reduce((sum, { records }) => sum + records, 0);
  const failed = problems.filter(({ kind, code }) => kind === 'file' && code === 'failed').length;
  return [
    `${count(findings.size, 'finding')} in ${count(totals.records, 'record')} of ${count(totals.files, 'file')} (${bytesOf(totals.text)})`,
    others > 0 && `${count(others, 'record')} not recognised`,
    rejected > 0 && `${count(rejected, 'record')} rejected`,
    failed > 0 && `${count(failed, 'file')} not read to the end`,
  ]
    .filter(Boolean)
    .join('; ')
    .concat('.');
}

/** Reads files, together with all before them: records of one chain may be in different files. */
function read({ files, failed }) {
  problems.push(...failed.map((one) => ({ kind: 'file', code: 'failed', ...one })));
  if (files.length === 0 && failed.length === 0) return;
  isReading = true;
  document.body.dataset.state = 'reading';
  say(`Reading ${count(files.length, 'file')}.`);
  byId('doing').textContent = '';
  byId('bar').removeAttribute('value');
  worker.postMessage({ tag: 'read', files });
  render();
}

function filter() {
  const time = (id, otherwise) => {
    const given = Date.parse(`${byId(id).value}Z`);
    return Number.isNaN(given) ? otherwise : given;
  };
  return {
    text: byId('text').value,
    severity: Number(byId('severity').value),
    rule: byId('rule').value,
    identity: byId('identity').value,
    from: time('from', -Infinity),
    to: time('to', Infinity),
  };
}

function options(id, of, all) {
  const select = byId(id);
  const before = select.value;
  select.replaceChildren(
    element('option', { value: '' }, all),
    ...findings.choices(of).map(([value, number]) => element('option', { value }, `${value} (${number})`)),
  );
  select.value = before;
  if (select.selectedIndex < 0) select.value = '';
}

function render() {
  byId('progress').hidden = !isReading;
  byId('results').hidden = counts === undefined;
  byId('again').hidden = counts === undefined && !isReading;
  if (counts === undefined) return;
  options('rule', ({ rule }) => rule, 'all rules');
  options('identity', ({ identity }) => identity, 'all identities');
  renderFindings();
  renderCounts();
}

function renderFindings() {
  filtered = findings.matching(filter());
  shown = 0;
  byId('list').replaceChildren();
  const of = filtered.length === findings.size ? '' : ` of ${findings.size}`;
  byId('heading').textContent = `Findings: ${filtered.length}${of}`;
  byId('none').hidden = filtered.length > 0;
  byId('none').textContent = findings.size > 0 ? 'No finding passes the filters.' : 'No rule found anything.';
  for (const button of document.querySelectorAll('#exports button')) button.disabled = filtered.length === 0;
  more();
}

function more() {
  const next = filtered.slice(shown, shown + PAGE);
  byId('list').append(...next.map((finding) => element('li', {}, findingView(finding))));
  shown += next.length;
  byId('more').hidden = shown >= filtered.length;
  byId('more').textContent = `Show ${Math.min(PAGE, filtered.length - shown)} more of ${filtered.length - shown}`;
}

function renderCounts() {
  const { totals, forms, unrecognised, rejected, losses, health } = counts;
  byId('counts').replaceChildren(
    ...table(
      'Records by form',
      ['cloud', 'form', 'records'],
      forms.map(({ cloud, form, records }) => [cloud, form, records]),
    ),
    ...table(
      'Not recognised',
      ['kind', 'records'],
      unrecognised.map(({ kind, records }) => [kind, records]),
    ),
    ...table(
      'Rejected',
      ['reason', 'records'],
      rejected.map(({ reason, records }) => [reason, records]),
    ),
    ...table(
      'What limits and odd records cost',
      ['count of', ''],
      losses.map(({ name, value }) => [name, value]),
    ),
    element(
      'p',
      { class: 'faint' },
      `${count(totals.matched, 'record')} matched a step of a rule; ${count(totals.duplicates, 'duplicate')}; ${count(totals.late, 'late event')}; ${count(totals.pending, 'event')} may still become part of a chain.`,
      health.restarts > 0 && ` The engine failed and was restarted ${count(health.restarts, 'time')}.`,
    ),
  );
  byId('problems').replaceChildren(...problems.map((problem) => element('li', {}, problemView(problem))));
  byId('problems-of').hidden = problems.length === 0;
}

function save(name, type, text) {
  const link = element('a', { download: name });
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  say(`Saved ${count(filtered.length, 'finding')} as ${name}.`);
}

const exporters = {
  ndjson: () => save('findings.ndjson', 'application/x-ndjson', ndjson(filtered)),
  csv: () => save('findings.csv', 'text/csv', csv(filtered)),
  html: () => save('findings.html', 'text/html', html(filtered, document.querySelector('style').textContent, `Findings: ${filtered.length}`)),
};

function listen() {
  // The whole page takes drops: what misses a box would make the browser leave the page.
  let depth = 0;
  const mark = (by) => {
    depth = Math.max(depth + by, 0);
    byId('drop').classList.toggle('over', depth > 0);
  };
  document.addEventListener('dragenter', () => mark(1));
  document.addEventListener('dragleave', () => mark(-1));
  document.addEventListener('dragover', (event) => event.preventDefault());
  document.addEventListener('drop', async (event) => {
    event.preventDefault();
    mark(-depth);
    read(await dropped(event.dataTransfer));
  });
  for (const id of ['files', 'folder']) {
    byId(id).addEventListener('change', ({ target }) => {
      read(chosen(target));
      target.value = '';
    });
    byId(`choose-${id}`).addEventListener('click', () => byId(id).click());
  }
  byId('filters').addEventListener('submit', (event) => event.preventDefault());
  byId('stop').addEventListener('click', () => worker.postMessage({ tag: 'stop' }));
  for (const id of ['again', 'apply']) {
    byId(id).addEventListener('click', () => {
      document.body.dataset.state = 'loading';
      reset();
    });
  }
  byId('more').addEventListener('click', more);
  for (const id of ['text', 'severity', 'rule', 'identity', 'from', 'to']) byId(id).addEventListener('input', renderFindings);
  for (const [id, run] of Object.entries(exporters)) byId(`export-${id}`).addEventListener('click', run);
  for (const open of [true, false]) {
    byId(open ? 'open-all' : 'close-all').addEventListener('click', () => {
      for (const view of document.querySelectorAll('#list > li > details')) view.open = open;
    });
  }
}

listen();
reset();

import { duration, placeOf, timeOf } from './finding.js';
import { count, element, visible } from './text.js';

/** A finding with its timeline, closed at first. */
export function findingView(finding) {
  const summary = element(
    'summary',
    {},
    badge(finding),
    element('span', { class: 'title' }, finding.title),
    element('span', { class: 'who' }, finding.identity),
    element('span', { class: 'where' }, [finding.provider, finding.account, finding.region].filter(Boolean).join(' ')),
    element('time', { datetime: new Date(finding.first).toISOString() }, timeOf(finding.first)),
  );
  const view = element('details', { class: 'finding' }, summary);
  // Most are never opened.
  view.addEventListener('toggle', () => view.childElementCount === 1 && view.append(...body(finding)));
  return view;
}

function badge({ severity, severityId }) {
  return element('span', { class: `badge severity-${severityId}` }, severity);
}

function body(finding) {
  return [
    finding.description && element('p', { class: 'description' }, finding.description),
    element(
      'p',
      { class: 'techniques' },
      element('code', {}, finding.rule),
      ...finding.attacks.map(({ uid, name }) => element('span', { class: 'chip' }, `${uid} ${name}`)),
    ),
    timeline(finding),
    finding.resources.length > 0 &&
      element(
        'section',
        { class: 'links' },
        element('h3', {}, finding.isChain ? 'Ids that link the steps' : 'Resources'),
        element(
          'ul',
          {},
          ...finding.resources.map(({ uid, type }) =>
            element('li', {}, element('code', {}, uid), element('span', { class: 'faint' }, type)),
          ),
        ),
      ),
    element('p', { class: 'faint' }, 'Completed by ', element('span', {}, placeOf(finding.record))),
    raw('The record', finding.record.text),
    raw('The finding as OCSF', JSON.stringify(JSON.parse(finding.body), undefined, 2)),
  ].filter(Boolean);
}

function raw(title, text) {
  return element('details', { class: 'raw' }, element('summary', {}, title), element('pre', { tabindex: 0 }, ...lines(text)));
}

/** Text whose line feeds stay. */
function lines(text) {
  return text.split('\n').flatMap((line, at) => [at ? document.createTextNode('\n') : '', line]);
}

/** The calls of a finding in the order of their times: who, from where, with which agent. What differs from the call before is marked. */
export function timeline({ events, first, last, title }) {
  const ordered = [...events].sort((one, other) => one.time - other.time);
  const span = Math.max(last - first, 1);
  const items = ordered.map((event, at) => {
    const before = ordered[at - 1];
    const differs = (name) => before !== undefined && name !== 'uid' && before[name] !== event[name] && Boolean(event[name]);
    const fact = (label, name) =>
      event[name] &&
      element(
        'div',
        {},
        element('dt', {}, label),
        element('dd', { class: differs(name) ? 'changed' : undefined }, event[name], differs(name) && element('span', { class: 'note' }, ' changed')),
      );
    return element(
      'li',
      {},
      element('div', { class: 'when' }, timeOf(event.time), before && element('span', { class: 'gap' }, `+${duration(event.time - before.time)}`)),
      element(
        'div',
        { class: 'call' },
        element('strong', {}, event.operation),
        element('span', { class: 'faint' }, ` ${event.service}`),
        event.status === 'Failure' && element('span', { class: 'note' }, ' failed'),
        element('dl', {}, fact('who', 'actor'), fact('from', 'address'), fact('agent', 'agent'), fact('event', 'uid')),
      ),
    );
  });
  const marks = ordered.map(({ time, operation }, at) => mark(((time - first) / span) * 100, operation, at));
  return element(
    'section',
    { class: 'timeline' },
    element('h3', {}, events.length > 1 ? `Timeline: ${count(events.length, 'call')} in ${duration(last - first)}` : 'The call'),
    events.length > 1 && scale(marks, title),
    element('ol', {}, ...items),
  );
}

const SVG = 'http://www.w3.org/2000/svg';

/** The times of the calls along a line. The list below says the same in words. */
function scale(marks, title) {
  const svg = document.createElementNS(SVG, 'svg');
  const attributes = { viewBox: '0 0 1000 24', preserveAspectRatio: 'none', class: 'scale', 'aria-hidden': 'true' };
  for (const [name, value] of Object.entries(attributes)) svg.setAttribute(name, value);
  const line = document.createElementNS(SVG, 'line');
  for (const [name, value] of Object.entries({ x1: 8, x2: 992, y1: 12, y2: 12 })) line.setAttribute(name, value);
  const label = document.createElementNS(SVG, 'title');
  label.textContent = visible(title);
  svg.append(label, line, ...marks);
  return svg;
}

function mark(percent, operation, at) {
  const made = document.createElementNS(SVG, 'rect');
  const x = 8 + (percent / 100) * 976;
  for (const [name, value] of Object.entries({ x, y: 2, width: 8, height: 20, rx: 2, class: `step-${at % 6}` })) made.setAttribute(name, value);
  const label = document.createElementNS(SVG, 'title');
  label.textContent = visible(operation);
  made.append(label);
  return made;
}

/** A table with a caption; nothing if it has no rows. */
export function table(caption, headings, rows) {
  if (rows.length === 0) return [];
  const cell = (value) => element('td', { class: typeof value === 'number' ? 'number' : undefined }, typeof value === 'number' ? value.toLocaleString('en') : value);
  return [
    element(
      'table',
      {},
      element('caption', {}, caption),
      element('thead', {}, element('tr', {}, ...headings.map((heading) => element('th', { scope: 'col' }, heading)))),
      element('tbody', {}, ...rows.map((row) => element('tr', {}, ...row.map(cell)))),
    ),
  ];
}

/** Something that was not read or not recognised, with its record. */
export function problemView({ kind, code, place, line, detail, text }) {
  const what = {
    failed: 'cannot be read',
    skipped: 'skipped',
    unknown: 'not a record of a known cloud',
    'names-action': 'names an action of a rule, but is not a record of a known cloud',
  };
  const title = element(
    'summary',
    {},
    element('span', { class: 'badge' }, kind === 'rejected' ? `rejected: ${code}` : (what[code] ?? code)),
    element('span', { class: 'title' }, line === undefined ? place : placeOf({ place, line })),
    detail && element('span', { class: 'faint' }, detail),
  );
  if (text === undefined) return element('p', { class: 'problem' }, ...title.childNodes);
  return element('details', { class: 'problem' }, title, element('pre', { tabindex: 0 }, ...lines(text)));
}

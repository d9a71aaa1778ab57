import { timeOf } from './finding.js';
import { findingView } from './view.js';
import { visible } from './text.js';

/** The findings as they are, one OCSF object a line. */
export function ndjson(findings) {
  return findings.map(({ body }) => `${body}\n`).join('');
}

const COLUMNS = {
  first: ({ first }) => timeOf(first),
  last: ({ last }) => timeOf(last),
  severity: ({ severity }) => severity,
  title: ({ title }) => title,
  rule: ({ rule }) => rule,
  techniques: ({ attacks }) => attacks.map(({ uid }) => uid).join(' '),
  identity: ({ identity }) => identity,
  provider: ({ provider }) => provider,
  account: ({ account }) => account,
  region: ({ region }) => region,
  operations: ({ events }) => events.map(({ operation }) => operation).join(' '),
  addresses: ({ events }) => distinct(events.map(({ address }) => address)).join(' '),
  agents: ({ events }) => distinct(events.map(({ agent }) => agent)).join(' | '),
  resources: ({ resources }) => resources.map(({ uid }) => uid).join(' '),
  file: ({ record }) => record.place,
  line: ({ record }) => String(record.line),
  id: ({ id }) => id,
};

/** A table (RFC 4180, with a byte order mark, by which Excel knows UTF-8). */
export function csv(findings) {
  const rows = findings.map((finding) => Object.values(COLUMNS).map((of) => cell(of(finding))));
  return `\ufeff${[Object.keys(COLUMNS), ...rows].map((row) => `${row.join(',')}\r\n`).join('')}`;
}

/** A cell that no spreadsheet takes for a formula: whoever makes a call chooses its user agent. */
function cell(text) {
  const safe = /^[\s]*[=+\-@]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function distinct(list) {
  return [...new Set(list.filter(Boolean))];
}

/** A report that opens anywhere: no script, nothing to load. */
export function html(findings, style, title) {
  const report = document.implementation.createHTMLDocument(title);
  report.documentElement.lang = 'en';
  const meta = (attributes) => Object.assign(report.createElement('meta'), attributes);
  const policy = meta({ httpEquiv: 'Content-Security-Policy', content: "default-src 'none'; style-src 'unsafe-inline'" });
  const encoding = report.createElement('meta');
  encoding.setAttribute('charset', 'utf-8');
  const sheet = report.createElement('style');
  sheet.textContent = style;
  report.head.prepend(encoding, policy, meta({ name: 'viewport', content: 'width=device-width' }));
  report.head.append(sheet);
  const main = report.createElement('main');
  const heading = report.createElement('h1');
  heading.textContent = visible(title);
  main.append(heading);
  for (const finding of findings) {
    const view = findingView(finding);
    view.open = true;
    // It has no listeners there.
    view.dispatchEvent(new Event('toggle'));
    main.append(report.importNode(view, true));
  }
  report.body.append(main);
  return `<!DOCTYPE html>\n${report.documentElement.outerHTML}\n`;
}

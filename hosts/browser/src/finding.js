import { visible } from './text.js';

export const SEVERITIES = ['', 'Informational', 'Low', 'Medium', 'High', 'Critical'];

/**
 * What the page shows of a finding, from its OCSF body.
 *
 * @typedef {{place: string, line: number, text: string}} Source
 */
export class Finding {
  /** @param {{id: string, rule: string, severityId: number, body: string, record: Source}} given */
  constructor({ id, rule, severityId, body, record }) {
    const ocsf = JSON.parse(body);
    this.id = id;
    this.rule = rule;
    this.severityId = severityId;
    this.severity = SEVERITIES[severityId] ?? String(severityId);
    this.body = body;
    this.record = record;
    this.title = ocsf.finding_info.title;
    this.description = ocsf.finding_info.desc ?? '';
    this.first = ocsf.start_time ?? ocsf.time;
    this.last = ocsf.end_time ?? ocsf.time;
    this.attacks = (ocsf.finding_info.attacks ?? []).map(({ technique, sub_technique: sub }) => sub ?? technique);
    this.provider = ocsf.cloud?.provider ?? '';
    this.account = ocsf.cloud?.account?.uid ?? '';
    this.region = ocsf.cloud?.region ?? '';
    this.resources = (ocsf.resources ?? []).map(({ uid, type }) => ({ uid, type: type ?? '' }));
    const related = ocsf.finding_info.related_events ?? [];
    const evidences = ocsf.evidences ?? [];
    this.events = related.map((event, at) => step(event, evidences[at] ?? {}));
    this.identity = ocsf.unmapped?.identity ?? this.events.find(({ actor }) => actor)?.actor ?? '';
    this.haystack = `${body}\n${record.place}`.toLowerCase();
  }

  /** Whether more than one call led to it. */
  get isChain() {
    return this.events.length > 1;
  }
}

/** One call of a finding. */
function step({ uid, title, first_seen_time: time, status }, { actor, api, src_endpoint: from, http_request: http }) {
  return {
    uid,
    step: title,
    time,
    status: status ?? '',
    operation: api?.operation ?? title,
    service: api?.service?.name ?? '',
    actor: actor?.user?.uid ?? actor?.user?.name ?? '',
    address: from?.ip ?? from?.domain ?? from?.name ?? '',
    agent: http?.user_agent ?? '',
  };
}

/** Findings by id. A later one with the same id is an update. */
export class Findings {
  #all = new Map();

  add(given) {
    for (const one of given) this.#all.set(one.id, new Finding(one));
  }

  get size() {
    return this.#all.size;
  }

  /** The values that filters offer, with their numbers of findings. */
  choices(of) {
    const counts = new Map();
    for (const finding of this.#all.values()) counts.set(of(finding), (counts.get(of(finding)) ?? 0) + 1);
    return [...counts].sort(([one], [other]) => (one < other ? -1 : 1));
  }

  /** Those that a filter lets through: the severest first, then by time. */
  matching({ text = '', severity = 0, rule = '', identity = '', from = -Infinity, to = Infinity }) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const isWanted = (finding) =>
      finding.severityId >= severity &&
      (!rule || finding.rule === rule) &&
      (!identity || finding.identity === identity) &&
      finding.last >= from &&
      finding.first <= to &&
      words.every((word) => finding.haystack.includes(word));
    const found = [...this.#all.values()].filter(isWanted);
    return found.sort((one, other) => other.severityId - one.severityId || one.first - other.first || (one.id < other.id ? -1 : 1));
  }
}

/** A time as people write it, in UTC. */
export function timeOf(milliseconds) {
  return new Date(milliseconds).toISOString().replace('T', ' ').replace(/\.?0*Z$/, 'Z');
}

/** How long something took. */
export function duration(milliseconds) {
  const seconds = Math.round(milliseconds / 1000);
  const parts = [
    [Math.floor(seconds / 86400), 'd'],
    [Math.floor(seconds / 3600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'min'],
    [seconds % 60, 's'],
  ].filter(([count]) => count > 0);
  return parts.slice(0, 2).map(([count, unit]) => `${count} ${unit}`).join(' ') || '0 s';
}

/** Where the record is that completed a finding. */
export function placeOf({ place, line }) {
  return `${visible(place)}, line ${line}`;
}

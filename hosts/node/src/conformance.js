// Answers the questions of the conformance kit, in Node and in browsers. Not a part of the package's interface.

import { CatenaError, Fault, Trapped } from './index.js';

/** A question in a line of the kit, with the content of the file that it names: a browser reads none. */
export function withFile(line, read) {
  const question = JSON.parse(line);
  return question.file === undefined ? question : { ...question, batch: read(question.file) };
}

/** A function that answers questions about a component. */
export function answers(component) {
  const correlators = new Map();
  return (question) => {
    try {
      return { ok: answered(question, component, correlators) ?? null };
    } catch (error) {
      if (error instanceof Fault) return { fault: { kind: error.kind, path: error.path, message: error.reason } };
      if (error instanceof Trapped) return { trap: error.message };
      throw error;
    }
  };
}

function answered(question, component, correlators) {
  const { ask, config } = question;
  const correlator = correlators.get(question.on);
  switch (ask) {
    case 'describe':
      return component.instance().describe();
    case 'open':
      correlators.set(question.as, component.open(config));
      return null;
    case 'resume': {
      const checkpoint = question.form === 'base64' ? question.checkpoint : bytesOf(question.checkpoint);
      correlators.set(question.as, component.open(config, { checkpoint }));
      return null;
    }
    case 'join_annotations':
      return component.open().joinAnnotations(question.texts);
    case 'process':
      return outcome(correlator.process(batch(question), { nowMs: number(question.now_ms) }));
    case 'route':
      return correlator
        .route(batch(question), question.partitions)
        .map(({ start, end, records, partitions }) => [start, end, records, partitions]);
    case 'time': {
      // The drivers read the file.
      const text = batch({ form: 'bytes', ...question });
      const began = performance.now();
      for (let time = 0; time < question.times; time += 1) {
        for (let at = 0; at < text.length; ) {
          const from = Math.min(at + question.batch_bytes, text.length) - 1;
          const end = text.indexOf(0x0a, from) + 1 || text.length;
          correlator.process(text.subarray(at, end), { nowMs: null }).output();
          at = end;
        }
      }
      return performance.now() - began;
    }
    case 'checkpoint':
      return base64Of(correlator.checkpoint());
    case 'metrics':
      return correlator.metrics().map(({ name, kind, labels, value }) => [name, kind, labels, value]);
    case 'batch_limit':
      return correlator.batchLimit;
    case 'close':
      return correlator.close();
    default:
      throw new CatenaError(`the kit asks for ${ask}`);
  }
}

/** Nanoseconds are beyond the whole numbers of JavaScript, and refused all the same. */
function number(now) {
  return now === null || Number.isSafeInteger(now) ? now : BigInt(now);
}

function batch(question) {
  const { form } = question;
  const given = question.batch_base64 === undefined ? question.batch : bytesOf(question.batch_base64);
  if (form === 'bytes') return typeof given === 'string' ? new TextEncoder().encode(given) : given;
  if (typeof given === 'string') return given;
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(given);
  } catch {
    // Text that is no UTF-8 has no form in JavaScript but half a character.
    return '\ud800';
  }
}

function outcome(outcome) {
  const bytes = outcome.output();
  let output;
  try {
    output = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    output = { base64: base64Of(bytes) };
  }
  const decoder = new TextDecoder();
  return {
    records: outcome.records,
    matched: outcome.matched,
    dropped: outcome.dropped,
    edits: outcome.edits.map(({ start, end, text }) => [start, end, decoder.decode(text)]),
    output,
    findings: outcome.findings.map((finding) => ({
      id: finding.id,
      rule: finding.rule,
      severity_id: finding.severityId,
      first_seen_ms: finding.firstSeenMs,
      last_seen_ms: finding.lastSeenMs,
      start: finding.start,
      end: finding.end,
      body: finding.body,
      extra: finding.extra ?? null,
    })),
    rejections: outcome.rejections.map(({ start, end, code, detail }) => [start, end, code, detail]),
    unrecognised: outcome.unrecognised.map(({ start, end, code }) => [start, end, code]),
    extra: outcome.extra ?? null,
  };
}

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

function base64Of(bytes) {
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

import { Correlator } from './correlator.js';
import { Trapped } from './errors.js';
import { Outcome } from './outcome.js';

/** The code of rejections of records on which the component fails. */
export const POISON = 'poison';

/** After this many poison lines in one batch, the rest of it is rejected as poison too. */
const MAX_POISON = 16;

const LF = 0x0a;

/**
 * A {@link Correlator} that is replaced when it fails.
 *
 * After a trap, a new instance resumes from the last checkpoint and processes the batches since again, whose outcomes are known
 * already. Then the failed batch is bisected down to the line at fault. That line is rejected with the code `poison`; all others
 * are processed.
 */
export class Supervisor {
  #component;
  #correlator;
  #checkpoint;
  #replay = [];
  #replayBytes = 0;
  #replayLimit;
  #removes;

  /**
   * @param {import('./component.js').Component} component
   * @param {object | string} [config]
   * @param {{checkpoint?: Uint8Array | string, replayBytes?: number}} [options] a checkpoint is taken when the batches since the
   *   last have `replayBytes`, 64 MiB unless given
   */
  constructor(component, config = {}, { checkpoint, replayBytes = 64 << 20 } = {}) {
    this.#component = component;
    this.#checkpoint = checkpoint;
    this.#replayLimit = replayBytes;
    this.#correlator = new Correlator(component, config, { checkpoint });
    this.config = this.#correlator.config;
    const settings = this.config.trim() ? JSON.parse(this.config) : {};
    this.#removes = (settings.mode ?? 'enrich') !== 'enrich';
    /** Failures since the start: instances replaced, poison lines, and restarts that lost state. */
    this.health = { restarts: 0, poison: 0, stateLost: 0 };
  }

  get batchLimit() {
    return this.#correlator.batchLimit;
  }

  /** Processes a batch as {@link Correlator.process} does, and recovers from a trap. */
  process(batch, { nowMs = Date.now() } = {}) {
    const bytes = typeof batch === 'string' && batch.isWellFormed() ? new TextEncoder().encode(batch) : batch;
    let outcome;
    try {
      outcome = this.#attempt(bytes, nowMs);
    } catch (error) {
      if (!(error instanceof Trapped)) throw error;
      this.#replace();
      outcome = nothing(bytes);
      this.#bisect(bytes, 0, bytes.length, nowMs, error, outcome, this.health.poison + MAX_POISON);
    }
    if (this.#replayBytes >= this.#replayLimit) this.checkpoint();
    return outcome;
  }

  /** Takes a checkpoint, from which the next instance resumes after a trap. */
  checkpoint() {
    let checkpoint;
    try {
      checkpoint = this.#correlator.checkpoint();
    } catch (error) {
      if (!(error instanceof Trapped)) throw error;
      this.#replace();
      checkpoint = this.#correlator.checkpoint();
    }
    this.#checkpoint = checkpoint;
    this.#replay = [];
    this.#replayBytes = 0;
    return checkpoint;
  }

  metrics() {
    return this.#correlator.metrics();
  }

  close() {
    this.#correlator.close();
  }

  #attempt(batch, nowMs) {
    const outcome = this.#correlator.process(batch, { nowMs });
    // The caller may use its memory again.
    this.#replay.push([batch.slice(), nowMs]);
    this.#replayBytes += batch.length;
    return outcome;
  }

  #bisect(batch, start, end, nowMs, error, merged, most) {
    const middle = middleOf(batch, start, end);
    if (middle === undefined || this.health.poison >= most) {
      this.#quarantine(batch, start, end, error, merged);
      return;
    }
    for (const [from, to] of [[start, middle], [middle, end]]) {
      try {
        add(merged, from, this.#attempt(batch.subarray(from, to), nowMs));
      } catch (again) {
        if (!(again instanceof Trapped)) throw again;
        this.#replace();
        this.#bisect(batch, from, to, nowMs, again, merged, most);
      }
    }
  }

  #quarantine(batch, start, end, error, merged) {
    while (start < end) {
      const lineFeed = batch.subarray(start, end).indexOf(LF);
      const lineEnd = lineFeed < 0 ? end : start + lineFeed + 1;
      let textEnd = lineEnd;
      while (textEnd > start && batch[textEnd - 1] <= 0x20) textEnd -= 1;
      if (textEnd > start) {
        this.health.poison += 1;
        merged.records += 1;
        merged.rejections.push({ start, end: textEnd, code: POISON, detail: error.message });
      }
      if (this.#removes) merged.edits.push({ start, end: lineEnd, text: new Uint8Array() });
      start = lineEnd;
    }
  }

  #replace() {
    this.health.restarts += 1;
    try {
      this.#correlator = new Correlator(this.#component, this.config, { checkpoint: this.#checkpoint });
      for (const [batch, nowMs] of this.#replay) this.#correlator.process(batch, { nowMs });
    } catch (error) {
      if (!(error instanceof Trapped)) throw error;
      this.health.stateLost += 1;
      this.#replay = [];
      this.#replayBytes = 0;
      this.#correlator = new Correlator(this.#component, this.config, { checkpoint: this.#checkpoint });
    }
  }
}

function nothing(batch) {
  const edits = { places: [], text: '' };
  return new Outcome(batch, { records: 0, matched: 0, dropped: 0, edits, findings: [], rejections: [], unrecognised: [] });
}

/** The end of a line near the middle, with bytes on both sides of it. */
function middleOf(batch, start, end) {
  const half = (start + end) >> 1;
  let at = batch.subarray(start, half).lastIndexOf(LF);
  at = at < 0 ? batch.subarray(half, end).indexOf(LF) + half : at + start;
  return at >= start && batch[at] === LF && at + 1 < end ? at + 1 : undefined;
}

/** Adds the outcome of a part of the batch that begins at `offset`. */
function add(merged, offset, part) {
  const moved = (one) => ({ ...one, start: one.start + offset, end: one.end + offset });
  merged.records += part.records;
  merged.matched += part.matched;
  merged.dropped += part.dropped;
  merged.edits.push(...part.edits.map(moved));
  merged.findings.push(...part.findings.map(moved));
  merged.rejections.push(...part.rejections.map(moved));
  const known = new Set(merged.unrecognised.map((one) => one.code));
  merged.unrecognised.push(...part.unrecognised.filter((one) => !known.has(one.code)).map(moved));
}

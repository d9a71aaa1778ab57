import { CatenaError } from './errors.js';

const encoder = new TextEncoder();

/** The result of processing a batch. */
export class Outcome {
  /**
   * @param {Uint8Array} batch
   * @param {object} answer the component's answer
   */
  constructor(batch, answer) {
    this.batch = batch;
    this.records = answer.records;
    this.matched = answer.matched;
    this.dropped = answer.dropped;
    this.edits = edits(answer.edits, batch.length);
    this.findings = answer.findings.map(finding);
    this.rejections = answer.rejections;
    this.unrecognised = answer.unrecognised;
    this.extra = answer.extra;
  }

  /** The number of records that were read and stay in the stream. */
  get passed() {
    return this.records - this.dropped - this.rejections.length;
  }

  /** The output in pieces, most of which share the memory of the batch. */
  *pieces() {
    let at = 0;
    for (const { start, end, text } of this.edits) {
      if (start > at) yield this.batch.subarray(at, start);
      if (text.length) yield text;
      at = end;
    }
    if (at < this.batch.length) yield this.batch.subarray(at);
  }

  /** The output stream: the batch with the edits made. */
  output() {
    return concatenated([...this.pieces()]);
  }
}

/** Some arrays of bytes as one. */
export function concatenated(pieces) {
  if (pieces.length === 1) return pieces[0];
  const whole = new Uint8Array(pieces.reduce((length, piece) => length + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

/** Takes the flat edits of the contract apart, and checks them before a batch is cut by them. */
function edits({ places, text }, length) {
  const bytes = encoder.encode(text);
  const list = [];
  let [at, last, fits] = [0, 0, places.length % 3 === 0];
  for (let place = 0; fits && place < places.length; place += 3) {
    const [start, end, size] = [places[place], places[place + 1], places[place + 2]];
    fits = last <= start && start <= end && end <= length && at + size <= bytes.length;
    list.push({ start, end, text: bytes.subarray(at, at + size) });
    at += size;
    last = end;
  }
  if (!fits || at !== bytes.length) {
    throw new CatenaError("the component's answer violates its contract: its edits do not fit the batch");
  }
  return list;
}

/** Times as numbers: milliseconds of any year with four digits are exact. */
function finding({ firstSeenMs, lastSeenMs, ...rest }) {
  return { ...rest, firstSeenMs: Number(firstSeenMs), lastSeenMs: Number(lastSeenMs) };
}

import { concatenated } from './outcome.js';

const LF = 0x0a;

/** Cuts what arrives into batches of whole lines. */
export class Lines {
  #rest = [];

  /** The whole lines so far, `undefined` if there are none; the rest waits for its end. */
  add(chunk) {
    const end = chunk.lastIndexOf(LF) + 1;
    if (end === 0) {
      this.#rest.push(chunk);
      return undefined;
    }
    const batch = concatenated([...this.#rest, chunk.subarray(0, end)]);
    this.#rest = end < chunk.length ? [chunk.subarray(end)] : [];
    return batch;
  }

  /** The last line, if nothing ends it. */
  end() {
    const rest = this.#rest;
    this.#rest = [];
    return rest.length ? concatenated(rest) : undefined;
  }
}

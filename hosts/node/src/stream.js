import { Transform } from 'node:stream';

import { Lines } from './lines.js';

/**
 * A Node stream: records in, the filtered and enriched stream out.
 *
 * ```js
 * const correlate = new CorrelateTransform(component.supervise({ mode: 'filter' }));
 * correlate.on('finding', (finding) => console.error(finding.body));
 * await pipeline(createReadStream('audit.ndjson'), correlate, createWriteStream('out.ndjson'));
 * ```
 *
 * Events: `finding`, `rejection` and `unrecognised`, each with the batch as second argument, and `outcome`.
 */
export class CorrelateTransform extends Transform {
  #correlator;
  #lines = new Lines();
  #now;

  /**
   * @param {import('./correlator.js').Correlator | import('./supervisor.js').Supervisor} correlator
   * @param {{nowMs?: () => number | null}} [options] the time of each batch: the clock's unless given
   */
  constructor(correlator, { nowMs = Date.now, ...options } = {}) {
    super(options);
    this.#correlator = correlator;
    this.#now = nowMs;
  }

  _transform(chunk, _encoding, done) {
    this.#pass(this.#lines.add(chunk), done);
  }

  _flush(done) {
    this.#pass(this.#lines.end(), done);
  }

  #pass(batch, done) {
    try {
      if (batch !== undefined) {
        const outcome = this.#correlator.process(batch, { nowMs: this.#now() });
        outcome.findings.forEach((finding) => this.emit('finding', finding, outcome.batch));
        outcome.rejections.forEach((rejection) => this.emit('rejection', rejection, outcome.batch));
        outcome.unrecognised.forEach((record) => this.emit('unrecognised', record, outcome.batch));
        this.emit('outcome', outcome);
        for (const piece of outcome.pieces()) this.push(piece);
      }
    } catch (error) {
      done(error);
      return;
    }
    done();
  }
}

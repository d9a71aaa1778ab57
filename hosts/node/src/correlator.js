import { CatenaError, Fault, Trapped } from './errors.js';
import { Outcome } from './outcome.js';

const encoder = new TextEncoder();

/** The correlation of one stream, with its state, in an instance of its own. */
export class Correlator {
  #interface;
  #handle;
  /** Why no call can be made any more. */
  #ended;
  #limit;

  /**
   * @param {import('./component.js').Component} component
   * @param {object | string} [config] settings, or JSON text
   * @param {{checkpoint?: Uint8Array | string}} [options] a checkpoint of any host, as bytes or in base64
   */
  constructor(component, config = {}, { checkpoint } = {}) {
    this.config = typeof config === 'string' ? config : JSON.stringify(config);
    this.#interface = component.instance();
    const { Correlator: opened } = this.#interface;
    if (checkpoint === undefined) {
      this.#handle = this.#call(() => opened.open(this.config));
    } else {
      const given = typeof checkpoint === 'string' ? { tag: 'base64', val: checkpoint } : { tag: 'bytes', val: checkpoint };
      this.#handle = this.#call(() => opened.resume(this.config, given));
    }
    this.#limit = this.#call(() => this.#handle.batchLimit());
  }

  /** The length in bytes of the longest batch. */
  get batchLimit() {
    return this.#limit;
  }

  /**
   * Processes a whole batch or, with an exception, none of it.
   *
   * @param {Uint8Array | string} batch
   * @param {{nowMs?: number | bigint | null}} [options] the time in milliseconds since 1970, by which records dated in the
   *   future are recognised: the clock's unless given; `null`: no date is too far ahead
   * @returns {Outcome}
   */
  process(batch, { nowMs = Date.now() } = {}) {
    const val = this.#bytes(batch);
    const now = nowMs === null ? undefined : milliseconds(nowMs);
    return new Outcome(val, this.#call(() => this.#handle.process({ tag: 'bytes', val }, now)));
  }

  /** Splits a batch into runs, each for the correlators of some partitions, see `route` in the contract. */
  route(batch, partitions) {
    if (!Number.isInteger(partitions) || partitions < 0 || partitions > 0xffff_ffff) {
      throw new Fault('invalid-argument', 'partitions', `expected a number of 32 bits, not ${partitions}`);
    }
    const val = this.#bytes(batch);
    const routes = this.#call(() => this.#handle.route({ tag: 'bytes', val }, partitions));
    return routes.map((route) => ({ ...route, partitions: [...route.partitions] }));
  }

  /** Everything that it takes to continue from here, in any host, as bytes. */
  checkpoint() {
    return this.#call(() => this.#handle.checkpoint('bytes')).val;
  }

  /** All counters and gauges; the component's description has their units and meanings. */
  metrics() {
    const metrics = this.#call(() => this.#handle.metrics());
    return metrics.map(({ labels, value, ...rest }) => ({
      ...rest,
      labels: Object.fromEntries(labels),
      value: Number(value),
    }));
  }

  /** Joins what the correlators of several partitions insert into one record. */
  joinAnnotations(texts) {
    return this.#call(() => this.#interface.joinAnnotations(texts));
  }

  /** Frees the state. Closing again does nothing. */
  close() {
    if (!this.#ended) this.#end(new CatenaError('the correlator is closed'));
  }

  [Symbol.dispose ?? Symbol.for('dispose')]() {
    this.close();
  }

  #bytes(batch) {
    if (typeof batch === 'string') {
      // An encoder would replace half a character silently.
      if (!batch.isWellFormed()) {
        throw new Fault('invalid-argument', 'batch', 'expected text that UTF-8 can encode: it has half a surrogate pair');
      }
      batch = encoder.encode(batch);
    }
    if (batch.length > this.#limit) {
      throw new Fault('limit-exceeded', 'batch', `the batch has ${batch.length} bytes, the limit is ${this.#limit}`);
    }
    return batch;
  }

  #call(call) {
    if (this.#ended) throw this.#ended;
    try {
      return call();
    } catch (error) {
      // Bindings throw a fault as it is, or as the payload of an error.
      const fault = error?.payload ?? error;
      if (fault?.kind && !(fault instanceof Error)) throw new Fault(fault.kind, fault.path, fault.message);
      // Some bindings let a broken instance be called on: this one is discarded.
      const trapped = new Trapped(`the component failed: ${error?.message ?? error}`, { cause: error });
      this.#end(new Trapped(`the correlator was discarded: ${trapped.message}`));
      throw trapped;
    }
  }

  #end(why) {
    this.#ended = why;
    this.#handle = this.#interface = undefined;
  }
}

function milliseconds(now) {
  if (typeof now === 'number' && (!Number.isSafeInteger(now) || now < 0)) {
    throw new Fault('invalid-argument', 'now-ms', `expected whole milliseconds since 1970, not ${now}`);
  }
  return BigInt(now);
}

import type * as contract from '../component/interfaces/catena-pipeline-correlation.js';

/** Any error of this package. */
export class CatenaError extends Error {}

/** The component refused a call. Nothing was consumed, no state has changed, and the correlator remains usable. */
export class Fault extends CatenaError {
  readonly kind: contract.FaultKind;
  /** The place of the problem: the path in a configuration, or an argument. */
  readonly path: string;
  /** The problem in words, with what was expected. */
  readonly reason: string;
}

/** The component failed. Its correlator is no longer usable. */
export class Trapped extends CatenaError {}

/** A match of a rule; times are milliseconds since 1970. */
export type Finding = Omit<contract.Finding, 'firstSeenMs' | 'lastSeenMs'> & {
  firstSeenMs: number;
  lastSeenMs: number;
};
export type Rejection = contract.Rejection;
export type Unrecognised = contract.Unrecognised;
export type Route = Omit<contract.Route, 'partitions'> & { partitions: number[] };
export interface Metric {
  name: string;
  kind: contract.MetricKind;
  labels: Record<string, string>;
  value: number;
}

/** Bytes `start` to `end` of the batch are replaced by `text`. */
export interface Edit {
  start: number;
  end: number;
  text: Uint8Array;
}

/** The result of processing a batch. */
export class Outcome {
  readonly batch: Uint8Array;
  records: number;
  matched: number;
  dropped: number;
  /** In ascending order, without overlap. */
  edits: Edit[];
  findings: Finding[];
  rejections: Rejection[];
  unrecognised: Unrecognised[];
  extra?: string;
  /** The number of records that were read and stay in the stream. */
  readonly passed: number;
  /** The output in pieces, most of which share the memory of the batch. */
  pieces(): Generator<Uint8Array>;
  /** The output stream: the batch with the edits made. */
  output(): Uint8Array;
}

/** Settings, or JSON text; see docs/configuration.md. */
export type Config = Record<string, unknown> | string;

/** The time in milliseconds since 1970: the clock's unless given; `null`: no date is too far ahead. */
export interface Now {
  nowMs?: number | bigint | null;
}

/** The correlation of one stream, with its state, in an instance of its own. */
export class Correlator {
  constructor(component: Component, config?: Config, options?: { checkpoint?: Uint8Array | string });
  readonly config: string;
  /** The length in bytes of the longest batch. */
  readonly batchLimit: number;
  /** Processes a whole batch or, with an exception, none of it. */
  process(batch: Uint8Array | string, options?: Now): Outcome;
  /** Splits a batch into runs, each for the correlators of some partitions. */
  route(batch: Uint8Array | string, partitions: number): Route[];
  /** Everything that it takes to continue from here, in any host. */
  checkpoint(): Uint8Array;
  metrics(): Metric[];
  /** Joins what the correlators of several partitions insert into one record. */
  joinAnnotations(texts: string[]): string;
  close(): void;
}

/** A correlator that is replaced when it fails. */
export class Supervisor {
  constructor(
    component: Component,
    config?: Config,
    options?: { checkpoint?: Uint8Array | string; replayBytes?: number },
  );
  readonly config: string;
  readonly batchLimit: number;
  readonly health: { restarts: number; poison: number; stateLost: number };
  process(batch: Uint8Array | string, options?: Now): Outcome;
  checkpoint(): Uint8Array;
  metrics(): Metric[];
  close(): void;
}

/** The code of rejections of records on which the component fails. */
export const POISON: 'poison';

/** A compiled component, from which correlators are opened. */
export class Component {
  /** Compiles the built-in component, in Node or in a browser. Keep the result. */
  static load(options?: {
    from?: { instantiate: Function; base: URL | string; modules?: string[] };
  }): Promise<Component>;
  open(config?: Config, options?: { checkpoint?: Uint8Array | string }): Correlator;
  supervise(config?: Config, options?: { checkpoint?: Uint8Array | string; replayBytes?: number }): Supervisor;
  /** What the component says of itself, see `describe` in the contract. */
  describe(): Record<string, unknown>;
}

/** Cuts what arrives into batches of whole lines. */
export class Lines {
  add(chunk: Uint8Array): Uint8Array | undefined;
  end(): Uint8Array | undefined;
}

import { Transform, type TransformOptions } from 'node:stream';
import type { Correlator, Finding, Outcome, Rejection, Supervisor, Unrecognised } from './index.js';

/** A Node stream: records in, the filtered and enriched stream out. */
export class CorrelateTransform extends Transform {
  constructor(correlator: Correlator | Supervisor, options?: TransformOptions & { nowMs?: () => number | null });
  on(event: 'finding', listener: (finding: Finding, batch: Uint8Array) => void): this;
  on(event: 'rejection', listener: (rejection: Rejection, batch: Uint8Array) => void): this;
  on(event: 'unrecognised', listener: (record: Unrecognised, batch: Uint8Array) => void): this;
  on(event: 'outcome', listener: (outcome: Outcome) => void): this;
  on(event: string, listener: (...values: any[]) => void): this;
}

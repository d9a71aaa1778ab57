/**
 * Finds attack chains in streams of cloud audit records, in Node and in browsers.
 *
 * ```js
 * import { Component } from 'catena-correlation';
 *
 * const component = await Component.load();
 * const correlator = component.open({ mode: 'filter' });
 * const outcome = correlator.process(batch);
 * for (const finding of outcome.findings) console.log(finding.rule, finding.body);
 * ```
 */
export { Component } from './component.js';
export { Correlator } from './correlator.js';
export { CatenaError, Fault, Trapped } from './errors.js';
export { Lines } from './lines.js';
export { Outcome } from './outcome.js';
export { POISON, Supervisor } from './supervisor.js';

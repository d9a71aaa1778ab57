// Compiled, not run: the types fit the use.
import { Component, Fault, type Finding } from '../src/index.js';
import { CorrelateTransform } from '../src/stream.js';

const component = await Component.load();
const correlator = component.open({ mode: 'filter' });
const outcome = correlator.process(new Uint8Array(), { nowMs: null });
const found: Finding[] = outcome.findings;
const severity: number = found[0]!.severityId + found[0]!.firstSeenMs;
const output: Uint8Array = outcome.output();
new CorrelateTransform(component.supervise()).on('finding', (finding) => finding.body.length);
try {
  component.open('nonsense');
} catch (error) {
  if (error instanceof Fault && error.kind === 'invalid-config') console.log(error.path, severity, output);
}

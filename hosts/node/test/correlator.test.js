// Batches in, edits and findings out; what a trap costs; streams.

import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { Component, Fault, Lines, POISON, Trapped } from '../src/index.js';
import { CorrelateTransform } from '../src/stream.js';
import { componentOf } from './transpiled.js';

const nowMs = 1_767_700_000_000;
const component = await Component.load();
const traps = await componentOf(fileURLToPath(new URL('../../../conformance/traps.wasm', import.meta.url)));
const encode = (text) => new TextEncoder().encode(text);
const decode = (bytes) => new TextDecoder().decode(bytes);

function call(number, eventName, requestParameters, responseElements) {
  return {
    eventVersion: '1.09',
    userIdentity: { type: 'IAMUser', arn: 'arn:aws:iam::111122223333:user/mallory' },
    eventTime: `2026-01-05T10:0${number}:00Z`,
    eventSource: 'ec2.amazonaws.com',
    eventName,
    awsRegion: 'eu-central-1',
    sourceIPAddress: '198.51.100.7',
    requestParameters,
    responseElements,
    eventID: `event-${number}`,
  };
}

const chain = [
  call(1, 'CreateVolume', { size: '8' }, { volumeId: 'vol-1' }),
  call(2, 'CreateSnapshot', { volumeId: 'vol-1' }, { snapshotId: 'snap-1' }),
  call(
    3,
    'RunInstances',
    { blockDeviceMapping: { items: [{ ebs: { snapshotId: 'snap-1' } }] } },
    { instancesSet: { items: [{ instanceId: 'i-1' }] } },
  ),
].map((record) => `${JSON.stringify(record)}\n`);
const rules = ({ findings }) => findings.map(({ rule }) => rule);

test('text and bytes give the same', () => {
  for (const batch of [chain.join(''), encode(chain.join(''))]) {
    const outcome = component.open().process(batch, { nowMs });
    assert.deepEqual(rules(outcome), ['aws-instance-created', 'aws-snapshot-staging']);
    assert.equal(decode(outcome.output()).split('"catena":{"matches":[').length, 4);
    assert.equal(outcome.passed, 3);
  }
});

test('a checkpoint continues in another correlator', () => {
  const first = component.open();
  first.process(chain[0] + chain[1], { nowMs });
  const second = component.open({}, { checkpoint: first.checkpoint() });
  assert.ok(rules(second.process(chain[2], { nowMs })).includes('aws-snapshot-staging'));
});

test('a fault leaves the correlator as it was', () => {
  assert.throws(() => component.open({ mode: 'both' }), (error) => error instanceof Fault && error.path === 'mode');
  const correlator = component.open({ limits: { batch_bytes: 30 } });
  assert.throws(() => correlator.process('{}\n'.repeat(20)), { kind: 'limit-exceeded', path: 'batch' });
  for (const seconds of [0, 1_767_700_000, 1_767_700_000_000_000, -1, 1.5, Number.NaN]) {
    assert.throws(() => correlator.process('{}\n', { nowMs: seconds }), { kind: 'invalid-argument' });
  }
  assert.throws(() => correlator.process('\ud800\n'), { kind: 'invalid-argument' });
  assert.equal(correlator.process('{}\n').records, 1);
  assert.equal(correlator.metrics().find(({ name }) => name === 'records').value, 1);
});

test('offsets count bytes', () => {
  const outcome = component.open().process('{"note":"é𝄞"}\nnonsense 𝄞\n', { nowMs });
  const [{ start, end }] = outcome.rejections;
  assert.equal(decode(outcome.batch.subarray(start, end)), 'nonsense 𝄞');
});

test('after a trap a correlator refuses every call', () => {
  const correlator = traps.open();
  assert.throws(() => correlator.process('!\n', { nowMs }), Trapped);
  assert.throws(() => correlator.process('{}\n', { nowMs }), /discarded/);
  assert.throws(() => correlator.checkpoint(), /discarded/);
});

test('poison lines are isolated and all others are processed', () => {
  const lines = Array.from({ length: 300 }, (_, number) => (number === 7 || number === 211 ? '{!}' : `{"a":${number}}`));
  const supervisor = traps.supervise();
  supervisor.process('{}\n'.repeat(4), { nowMs });
  const outcome = supervisor.process(`${lines.join('\n')}\n`, { nowMs });
  assert.deepEqual(outcome.rejections.map(({ start, end, code }) => [decode(outcome.batch.subarray(start, end)), code]), [
    ['{!}', POISON],
    ['{!}', POISON],
  ]);
  assert.equal(new DataView(supervisor.checkpoint().buffer).getUint32(0, true), 4 + 298);
  assert.equal(supervisor.health.poison, 2);
  assert.equal(supervisor.health.stateLost, 0);
});

test('a component that always traps is not restarted for every line', () => {
  const supervisor = traps.supervise({ mode: 'filter' });
  const outcome = supervisor.process('!\n'.repeat(2_000), { nowMs });
  assert.equal(outcome.rejections.length, 2_000);
  assert.equal(outcome.output().length, 0);
  assert.ok(supervisor.health.restarts < 150, `${supervisor.health.restarts}`);
});

test('a stream is cut at line ends', async () => {
  const bytes = encode(chain.join('').trimEnd());
  const pieces = Array.from({ length: Math.ceil(bytes.length / 100) }, (_, at) => bytes.subarray(100 * at, 100 * at + 100));
  const correlate = new CorrelateTransform(component.supervise({ mode: 'filter' }), { nowMs: () => nowMs });
  const found = [];
  correlate.on('finding', (finding) => found.push(finding.rule));
  const output = [];
  await pipeline(Readable.from(pieces), correlate, async (source) => {
    for await (const piece of source) output.push(piece);
  });
  assert.deepEqual(found, ['aws-instance-created', 'aws-snapshot-staging']);
  assert.equal(Buffer.concat(output).toString().split('\n').length, 3);
});

test('lines wait for their end', () => {
  const lines = new Lines();
  assert.equal(lines.add(encode('a')), undefined);
  assert.equal(decode(lines.add(encode('b\nc'))), 'ab\n');
  assert.equal(decode(lines.end()), 'c');
  assert.equal(lines.end(), undefined);
});

test('a component describes itself', () => {
  assert.equal(component.describe().contract, 'catena:pipeline@1.0.0');
});

// The driver of this host for the conformance kit, see conformance/README.md.

import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

import { answers, withFile } from './src/conformance.js';
import { componentOf } from './test/transpiled.js';

if (process.argv.length !== 4 || process.argv[2] !== '--component') {
  console.error('usage: conformance.js --component FILE');
  process.exit(2);
}
const read = (file) => readFileSync(file, 'utf8');
const answer = answers(await componentOf(process.argv[3]));
for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(answer(withFile(line, read)))}\n`);
}

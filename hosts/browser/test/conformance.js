// The driver of this host for the conformance kit: the component in headless Chromium, see conformance/README.md.

import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';

import { withFile } from '../../node/src/conformance.js';
import { transpiled } from '../../node/test/transpiled.js';
import { launch } from './chromium.js';

if (process.argv.length !== 4 || process.argv[2] !== '--component') {
  console.error('usage: conformance.js --component FILE');
  process.exit(2);
}
const folder = await transpiled(process.argv[3]);
const source = join(dirname(fileURLToPath(import.meta.url)), '../../node/src');
const { outputFiles } = await build({
  stdin: {
    resolveDir: source,
    contents: `
      import { instantiate } from ${JSON.stringify(join(folder, 'catena.js'))};
      import { Component } from './component.js';
      import { answers } from './conformance.js';
      globalThis.open = async (modules) => {
        const bytes = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
        const compiled = modules.map(async ([name, base64]) => [name, await WebAssembly.compile(bytes(base64))]);
        globalThis.answer = answers(new Component(new Map(await Promise.all(compiled)), instantiate));
      };`,
  },
  bundle: true,
  write: false,
  format: 'iife',
  external: ['node:*'],
  logOverride: { 'empty-import-meta': 'silent' },
});
const modules = readdirSync(folder)
  .filter((name) => name.endsWith('.wasm'))
  .map((name) => [name, readFileSync(join(folder, name)).toString('base64')]);

const browser = await launch();
try {
  const page = await browser.newPage();
  await page.evaluate(outputFiles[0].text);
  await page.evaluate((given) => globalThis.open(given), modules);
  for await (const line of createInterface({ input: process.stdin })) {
    // As text: what travels between the processes must not be touched.
    const question = JSON.stringify(withFile(line, (file) => readFileSync(file, 'utf8')));
    process.stdout.write(`${await page.evaluate((asked) => JSON.stringify(globalThis.answer(JSON.parse(asked))), question)}\n`);
  }
} finally {
  await browser.close();
}

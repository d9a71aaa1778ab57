// Transpiles the component to an ES module, in `component/`: npm run build [-- FILE]. No package is needed to run the result.

import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { transpileBytes } from '@bytecodealliance/jco-transpile';
import { $init, generateTypes } from '@bytecodealliance/jco-transpile/component';

const here = dirname(fileURLToPath(import.meta.url));

/**
 * Writes the ES module of a component to a folder, all of it or nothing: `NAME.js`, its core modules, and the types of the
 * contract unless it has another one.
 */
export async function build(wasm, to, { name = 'catena', types: isContract = true } = {}) {
  const { files } = await transpileBytes(readFileSync(wasm), { name, instantiation: 'async', minify: true });
  if (isContract) Object.assign(files, await types());
  mkdirSync(dirname(to), { recursive: true });
  const made = mkdtempSync(`${to}-`);
  for (const [file, bytes] of Object.entries(files)) {
    mkdirSync(dirname(join(made, file)), { recursive: true });
    writeFileSync(join(made, file), bytes);
  }
  rmSync(to, { recursive: true, force: true });
  renameSync(made, to);
}

/** The types, from the contract: a component does not keep the documentation of its interfaces. */
async function types() {
  await $init;
  return Object.fromEntries(
    generateTypes('catena', {
      wit: { tag: 'source', val: readFileSync(join(here, '../../wit/catena.wit'), 'utf8') },
      world: 'catena',
      instantiation: { tag: 'async' },
      tlaCompat: false,
      features: { tag: 'list', val: [] },
      guest: false,
      flagsAsBigint: false,
      variantsInlineCases: false,
      useNamespaceObjects: false,
      enumValuesScreamingSnakeCase: false,
    }),
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await build(process.argv[2] ?? join(here, '../../target/catena.wasm'), join(here, 'component'));
}

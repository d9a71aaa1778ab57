// Other components for tests: transpiled once, to a temporary folder that is kept for the next run.

import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

import { build } from '../build.js';
import { Component } from '../src/index.js';

const root = join(dirname(fileURLToPath(import.meta.url)), '../../..');

/** The folder of a transpiled component. The built-in one is in the package. */
export async function transpiled(file) {
  const wasm = readFileSync(file);
  const builtIn = join(root, 'target/catena.wasm');
  if (existsSync(builtIn) && readFileSync(builtIn).equals(wasm)) return join(root, 'hosts/node/component');
  const digest = createHash('sha256').update(wasm).digest('hex').slice(0, 32);
  const folder = join(tmpdir(), `catena-transpiled-${process.getuid?.() ?? 0}-${digest}`);
  if (!existsSync(folder)) await build(file, folder);
  return folder;
}

/** The component in a file. */
export async function componentOf(file) {
  const folder = await transpiled(file);
  const base = pathToFileURL(`${folder}/`);
  const { instantiate } = await import(new URL('catena.js', base));
  const modules = readdirSync(folder).filter((name) => name.endsWith('.wasm'));
  return Component.load({ from: { instantiate, base, modules } });
}

// Builds the page: one HTML file with the script, the worker and both components in it, which opens from a disk, a mail or any
// static server. npm run build [-- COMPONENT READER OUTPUT]

import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

import { build as bundle } from 'esbuild';

import { build as transpile } from '../node/build.js';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '../..');

/** The core modules of a transpiled component by name: gzip, in base64. */
function modulesOf(folder) {
  const names = readdirSync(folder).filter((name) => name.endsWith('.wasm'));
  return Object.fromEntries(
    names.map((name) => [name, gzipSync(readFileSync(join(folder, name)), { level: 9 }).toString('base64')]),
  );
}

/** A script with all that it imports. */
async function script(entry, options = {}) {
  const { outputFiles } = await bundle({
    entryPoints: [join(here, 'src', entry)],
    bundle: true,
    write: false,
    format: 'iife',
    target: 'es2022',
    minify: true,
    // What the transpiled components and the Node package ask for outside of browsers.
    external: ['node:*'],
    logLevel: 'warning',
    // The modules are embedded: nothing is looked for beside the script.
    logOverride: { 'empty-import-meta': 'silent' },
    ...options,
  });
  return outputFiles[0].text;
}

/** Text that can stand in a `script` element. */
function embedded(text) {
  return text.replaceAll('</', '<\\/').replaceAll('<!--', '<\\!--');
}

function hash(text) {
  return `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
}

/** Writes the page around a component and a reader of files. */
export async function page(component, reader, output) {
  const folders = { catena: join(here, '../node/component'), reader: join(here, 'component') };
  await transpile(component, folders.catena);
  await transpile(reader, folders.reader, { name: 'reader', types: false });
  const worker = await script('worker.js', {
    define: { MODULES: JSON.stringify({ ...modulesOf(folders.catena), ...modulesOf(folders.reader) }) },
  });
  const app = embedded(await script('app.js', { define: { WORKER: JSON.stringify(worker) } }));
  const style = readFileSync(join(here, 'src/style.css'), 'utf8');
  // Nothing can be fetched from, or sent to, anywhere.
  const policy = [
    "default-src 'none'",
    `script-src ${hash(app)} 'wasm-unsafe-eval'`,
    `style-src ${hash(style)}`,
    // The icon, which is none.
    'img-src data:',
    'worker-src blob:',
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ');
  const html = readFileSync(join(here, 'src/index.html'), 'utf8')
    .replace('POLICY', () => policy)
    .replace('STYLE', () => style)
    .replace('SCRIPT', () => app);
  mkdirSync(dirname(output), { recursive: true });
  writeFileSync(output, html);
  return html.length;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [
    component = join(root, 'target/catena.wasm'),
    reader = join(root, 'target/wasm32-unknown-unknown/release/catena_reader.wasm'),
    output = join(here, 'dist/catena.html'),
  ] = process.argv.slice(2);
  console.log(`${output}: ${await page(component, reader, output)} bytes`);
}

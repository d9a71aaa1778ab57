// A headless Chromium with the page in it, opened from the disk.

import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

import puppeteer from 'puppeteer-core';

/** The folder with the built page. */
const built = join(dirname(fileURLToPath(import.meta.url)), '../dist/catena.html');

const executablePath = [
  process.env.CHROMIUM,
  '/usr/bin/chromium-headless-shell',
  '/usr/bin/chromium',
  '/usr/bin/google-chrome',
].find((path) => path && existsSync(path));

export async function launch() {
  if (!executablePath) throw new Error('no Chromium found: install chromium-headless-shell, or set CHROMIUM');
  return puppeteer.launch({
    executablePath,
    headless: true,
    // In a container, root has no sandbox.
    args: process.getuid?.() === 0 ? ['--no-sandbox'] : [],
    protocolTimeout: 600_000,
  });
}

/** A page, and all that it says or does against its policy. */
export async function open(browser, { scheme = 'light', url = pathToFileURL(built).href } = {}) {
  const page = await browser.newPage();
  await page.setViewport({ width: 1280, height: 900 });
  await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
  const said = [];
  page.on('console', (message) => said.push(`${message.type()}: ${message.text()}`));
  page.on('pageerror', (error) => said.push(`error: ${error.message}`));
  const requests = [];
  page.on('request', (request) => requests.push(request.url()));
  await page.goto(url);
  await reached(page, 'ready');
  return { page, said, requests };
}

export async function reached(page, state) {
  await page.waitForFunction((wanted) => [wanted, 'failed'].includes(document.body.dataset.state), { timeout: 300_000 }, state);
  const now = await page.evaluate(() => document.body.dataset.state);
  if (now !== state) throw new Error(await page.$eval('#status', (status) => status.textContent));
}

/** Drops files and folders, as the operating system does. */
export async function drop(page, paths) {
  const session = await page.createCDPSession();
  const box = await (await page.$('#drop')).boundingBox();
  const at = { x: box.x + box.width / 2, y: box.y + box.height / 2 };
  const data = { items: [], files: paths, dragOperationsMask: 1 };
  for (const type of ['dragEnter', 'dragOver', 'drop']) {
    await session.send('Input.dispatchDragEvent', { type, ...at, data });
  }
  await session.detach();
}

/** Drops, and waits until all is read. */
export async function analyse(page, paths) {
  await drop(page, paths);
  await page.waitForFunction(() => document.body.dataset.state === 'reading' || document.body.dataset.state === 'done');
  await reached(page, 'done');
}

/** A folder that is removed after the tests. */
export function temporary() {
  const path = mkdtempSync(join(tmpdir(), 'catena-page-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

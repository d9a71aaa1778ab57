// Times the page on some hundred MB of gzip in headless Chromium: npm run measure [-- MEGABYTES]

import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

import { drop, launch, open, reached, temporary } from './test/chromium.js';
import { program } from './test/records.js';

const megabytes = Number(process.argv[2] ?? 200);
const folder = temporary();
const browser = await launch();
try {
  let compressed = 0;
  let plain = 0;
  for (let seed = 1; compressed < megabytes * 1e6; seed += 1) {
    const given = ['sample', '--records', '100000', '--of-interest', '150', '--seed', String(seed)];
    const records = execFileSync(program, given, { maxBuffer: 1 << 30 });
    const path = join(folder.path, `${String(seed).padStart(3, '0')}.ndjson.gz`);
    writeFileSync(path, gzipSync(records, { level: 1 }));
    compressed += statSync(path).size;
    plain += records.length;
  }
  const { page } = await open(browser);
  const before = peak();
  const began = performance.now();
  await drop(page, [folder.path]);
  await page.waitForFunction(() => document.body.dataset.state === 'reading');
  await reached(page, 'done');
  const seconds = (performance.now() - began) / 1000;
  console.log(
    JSON.stringify({
      gzip_mb: Math.round(compressed / 1e6),
      text_mb: Math.round(plain / 1e6),
      seconds: Number(seconds.toFixed(1)),
      text_mb_per_s: Math.round(plain / 1e6 / seconds),
      // The largest process of the browser is that of the page.
      memory_mb: { before, after: peak() },
      status: await page.$eval('#status', (status) => status.textContent),
    }),
  );
} finally {
  await browser.close();
  folder.remove();
}

/** The most memory that a process of the browser had, in MB. */
function peak() {
  const all = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  const of = (pid) => {
    try {
      if (!isOfBrowser(pid)) return 0;
      return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
    } catch {
      return 0;
    }
  };
  return Math.round(Math.max(...all.map(of)) / 1000);
}

function isOfBrowser(pid) {
  for (let at = pid; at !== '1' && at !== '0'; ) {
    if (at === String(browser.process().pid)) return true;
    at = /PPid:\s+(\d+)/.exec(readFileSync(`/proc/${at}/status`, 'utf8'))[1];
  }
  return false;
}

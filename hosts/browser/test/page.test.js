import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';

import { analyse, drop, launch, open, reached, temporary } from './chromium.js';
import { chain, file, idsOf, lines, program, zip } from './records.js';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

let browser;
let folder;

before(async () => {
  browser = await launch();
  folder = temporary();
});

after(async () => {
  await browser?.close();
  folder?.remove();
});

/** A page that must say nothing, ask for nothing and keep its policy. */
async function quiet(run, options) {
  const { page, said, requests } = await open(browser, options);
  await page.evaluate(() => {
    window.violations = [];
    document.addEventListener('securitypolicyviolation', ({ violatedDirective }) => window.violations.push(violatedDirective));
  });
  await run(page);
  assert.deepEqual(said, []);
  assert.deepEqual(await page.evaluate(() => window.violations), []);
  const beyond = requests.filter((url) => !/^(file|blob|data):/.test(url));
  assert.deepEqual(beyond, []);
  await page.close();
}

const text = (page, selector) => page.$eval(selector, (element) => element.textContent);
const titles = (page) => page.$$eval('#list .title', (all) => all.map((one) => one.textContent));

let downloads = 0;

/** Saves the shown findings and returns the file's text. */
async function exported(page, kind) {
  const session = await browser.target().createCDPSession();
  const path = join(folder.path, `downloads-${(downloads += 1)}`);
  mkdirSync(path);
  await session.send('Browser.setDownloadBehavior', { behavior: 'allow', downloadPath: path, eventsEnabled: true });
  // The file is there before its content is.
  const completed = new Promise((resolve, reject) => {
    session.on('Browser.downloadProgress', ({ state }) => state === 'completed' && resolve());
    setTimeout(() => reject(new Error(`findings.${kind} was not saved`)), 30_000).unref();
  });
  await page.click(`#export-${kind}`);
  await completed;
  await session.detach();
  return readFileSync(join(path, `findings.${kind}`), 'utf8');
}

test('a drop of plain, compressed, archived and pretty-printed files finds what the program finds', async () => {
  const [cloudtrail, plain] = [join(folder.path, 'cloudtrail'), join(folder.path, 'plain')];
  mkdirSync(join(cloudtrail, '2026/01'), { recursive: true });
  mkdirSync(plain);
  file(join(cloudtrail, '2026/01'), 'a.json.gz', gzipSync(JSON.stringify({ Records: chain('in-gzip') })));
  file(join(cloudtrail, '2026/01'), 'notes.txt', 'not records');
  const [volume, snapshot, instance] = chain('in-members');
  // Two members, as `cat` makes them.
  const members = file(folder.path, 'members.ndjson.gz', Buffer.concat([gzipSync(lines([volume, snapshot])), gzipSync(lines([instance]))]));
  const pretty = file(folder.path, 'pretty.json', JSON.stringify(chain('pretty'), undefined, 2));
  const utf16 = file(folder.path, 'utf16.json', Buffer.from(`\ufeff${lines(chain('in-utf16'))}`, 'utf16le'));
  const inside = [
    file(plain, 'one.json', JSON.stringify({ Records: chain('in-zip') })),
    file(plain, 'two.json.gz', gzipSync(JSON.stringify({ Records: chain('in-zip-in-gzip') }))),
  ];
  const sample = file(folder.path, 'sample.ndjson', execFileSync(program, ['sample', '--records', '3000', '--of-interest', '400'], { maxBuffer: 1 << 30 }));
  const archive = zip(join(folder.path, 'logs.zip'), inside);
  await quiet(async (page) => {
    await analyse(page, [cloudtrail, members, pretty, utf16, archive, sample]);
    const found = (await exported(page, 'ndjson')).split('\n').filter(Boolean).map((line) => JSON.parse(line).finding_info.uid);
    assert.deepEqual(found.sort(), idsOf([cloudtrail, members, pretty, utf16, ...inside, sample]));
    assert.ok(found.length > 12);
    assert.match(await text(page, '#problems'), /cloudtrail\/2026\/01\/notes\.txt.*not named like a file of records/s);
  });
});

test('a chain is a timeline of who, from where and with which agent', async () => {
  const records = chain('mallory');
  records[2].userAgent = 'Boto3/1.34';
  const path = file(folder.path, 'timeline.json', JSON.stringify({ Records: records }));
  await quiet(async (page) => {
    await analyse(page, [path]);
    assert.match(await text(page, '#status'), /^2 findings in 3 records of 1 file/);
    const first = await page.$('#list > li:first-child > details > summary');
    assert.match(await first.evaluate((summary) => summary.textContent), /^HighEBS volume created.*user\/mallory.*AWS 111122223333 us-east-1.*2026-01-05 10:01:00Z$/);
    // By keyboard.
    await first.focus();
    await page.keyboard.press('Enter');
    await page.waitForSelector('.timeline');
    const calls = await page.$$eval('.timeline li', (items) => items.map((item) => item.textContent));
    assert.equal(calls.length, 3);
    assert.match(calls[0], /^2026-01-05 10:01:00ZCreateVolume.*whoarn:aws:iam::111122223333:user\/malloryfrom198\.51\.100\.1agentaws-cli\/2\.17\.20eventmallory-1$/);
    assert.match(calls[2], /\+2 minRunInstances.*198\.51\.100\.4 changed.*Boto3\/1\.34 changed/);
    assert.deepEqual(await page.$$eval('.links code', (ids) => ids.map((id) => id.textContent)), ['vol-mallory', 'snap-mallory', 'i-mallory']);
    assert.match(await text(page, '#counts'), /Records by formcloudformrecordsawsrecord3/);
  });
});

test('a chain is found across two drops, and forgotten when starting over', async () => {
  const [volume, snapshot, instance] = chain('twice');
  const one = file(folder.path, 'first.ndjson', lines([volume, snapshot]));
  const other = file(folder.path, 'second.ndjson', lines([instance]));
  await quiet(async (page) => {
    await analyse(page, [one]);
    assert.match(await text(page, '#none'), /No rule found anything/);
    await analyse(page, [other]);
    assert.match((await titles(page)).join(), /EBS volume created/);
    await page.click('#again');
    await reached(page, 'ready');
    await analyse(page, [other]);
    assert.deepEqual(await titles(page), ['EC2 instance created']);
  });
});

test('what is not recognised, rejected or damaged is named, and what is around it is read', async () => {
  const damaged = gzipSync(lines(chain('before-damage')) + lines(Array.from({ length: 5000 }, (_, at) => ({ filler: at * 7919 }))));
  const paths = [
    file(folder.path, 'other.ndjson', '{"level":"info","message":"hello"}\n{"eventName":"RunInstances"}\n'),
    file(folder.path, 'broken.ndjson', `{"eventName":"RunInstances","eventSource":"ec2.amazonaws.com"\n${lines(chain('around'))}`),
    file(folder.path, 'cut.json.gz', damaged.subarray(0, damaged.length - 2000)),
    file(folder.path, 'table.parquet', 'PAR1\x15\x04'),
    file(folder.path, 'empty.json', ''),
  ];
  await quiet(async (page) => {
    await analyse(page, paths);
    const problems = await text(page, '#problems');
    assert.match(problems, /not a record of a known cloudother\.ndjson, line 1.*"level":"info"/);
    assert.match(problems, /names an action of a rule.*other\.ndjson, line 2/);
    assert.match(problems, /rejected: truncatedbroken\.ndjson, line 1/);
    assert.match(problems, /cannot be readtable\.parquetit is a Parquet file/);
    assert.match(problems, /cannot be readcut\.json\.gz/);
    const found = await page.$$eval('#list .who', (all) => all.map((one) => one.textContent));
    assert.deepEqual(new Set(found), new Set(['arn:aws:iam::111122223333:user/around', 'arn:aws:iam::111122223333:user/before-damage']));
    assert.match(await text(page, '#status'), /2 files not read to the end/);
  });
});

test('files can be chosen instead', async () => {
  const path = file(folder.path, 'chosen.ndjson', lines(chain('chosen')));
  await quiet(async (page) => {
    await (await page.$('#files')).uploadFile(path);
    await reached(page, 'done');
    assert.equal((await titles(page)).length, 2);
  });
});

test('filters narrow what is shown and saved', async () => {
  const path = file(folder.path, 'two.ndjson', lines([...chain('alice'), ...chain('bob')]));
  await quiet(async (page) => {
    await analyse(page, [path]);
    assert.equal((await titles(page)).length, 4);
    await page.select('#severity', '4');
    assert.equal((await titles(page)).length, 2);
    await page.type('#text', 'snap-bob');
    await page.keyboard.press('Enter');
    assert.equal(await text(page, '#heading'), 'Findings: 1 of 4');
    assert.equal((await exported(page, 'ndjson')).split('\n').filter(Boolean).length, 1);
    await page.type('#text', ' nothing-has-this');
    assert.match(await text(page, '#none'), /No finding passes the filters/);
    assert.ok(await page.$eval('#export-csv', (button) => button.disabled));
  });
});

test('what callers write is text, in the page, the report and the table', async () => {
  const agent = '=HYPERLINK("https://evil.example","x")<img src=x onerror=alert(1)>\u202etxt.exe';
  const path = file(folder.path, 'hostile.ndjson', lines(chain('<b>mallory</b>', { agent })));
  await quiet(async (page) => {
    await analyse(page, [path]);
    await page.click('#open-all');
    await page.waitForSelector('.timeline');
    assert.equal(await page.$('#results img, #results b'), null);
    assert.match(await text(page, '.timeline'), /=HYPERLINK.*<img src=x onerror=alert\(1\)>\\u\{202e\}txt\.exe/);
    const csv = await exported(page, 'csv');
    assert.match(csv, /,"'=HYPERLINK\(""https/);
    const report = file(folder.path, 'report.html', await exported(page, 'html'));
    const opened = await browser.newPage();
    await opened.setJavaScriptEnabled(false);
    await opened.goto(`file://${report}`);
    assert.equal((await opened.$$('.timeline')).length, 2);
    assert.equal(await opened.$('img, b, script'), null);
    assert.match(await text(opened, 'main'), /user\/<b>mallory<\/b>/);
    await opened.close();
  });
});

test('settings and rules of one’s own apply, and what is wrong with them is said', async () => {
  const path = file(folder.path, 'own.ndjson', lines(chain('own')));
  const rule = { id: 'own-rule', version: 1, title: 'A volume', severity: 'critical', steps: [{ id: 'v', provider: 'aws', service: 'ec2.amazonaws.com', actions: ['CreateVolume'] }] };
  const { page } = await open(browser);
  const set = async (config) => {
    await page.$eval('#settings', (settings) => (settings.open = true));
    await page.$eval('#config', (input, value) => (input.value = value), config);
    await page.click('#apply');
  };
  await set('{"rules":[{"id":1}]}');
  await page.waitForFunction(() => document.body.dataset.state === 'failed');
  assert.match(await text(page, '#status'), /^Failed: rules\[0\]/);
  await set('{');
  await page.waitForFunction(() => /settings: .*JSON/.test(document.querySelector('#status').textContent));
  await set(JSON.stringify({ rules: [rule] }));
  await reached(page, 'ready');
  await analyse(page, [path]);
  assert.equal((await titles(page))[0], 'A volume');
  await page.close();
});

test('a long read shows progress and can be stopped', async () => {
  const one = execFileSync(program, ['sample', '--records', '50000'], { maxBuffer: 1 << 30 });
  const path = file(folder.path, 'long.ndjson', Buffer.concat(Array.from({ length: 12 }, () => one)));
  await quiet(async (page) => {
    await drop(page, [path]);
    await page.waitForFunction(() => /record.*long\.ndjson/.test(document.querySelector('#doing').textContent));
    await page.click('#stop');
    await reached(page, 'done');
    assert.match(await text(page, '#status'), /^Stopped\. /);
  });
});

for (const scheme of ['light', 'dark']) {
  test(`it is accessible when ${scheme}`, async () => {
    const paths = [
      file(folder.path, 'seen.ndjson', lines(chain('seen'))),
      file(folder.path, 'unseen.ndjson', '{"level":"info"}\n'),
    ];
    const { page } = await open(browser, { scheme });
    // The policy lets no other script in: a debugger may.
    const check = async () => {
      await page.evaluate(axe);
      const { violations } = await page.evaluate(() => window.axe.run());
      assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]), []);
    };
    await check();
    await analyse(page, paths);
    await page.click('#open-all');
    await page.$$eval('details', (all) => all.forEach((one) => (one.open = true)));
    await page.waitForSelector('.timeline');
    await check();
    const shots = process.env.CATENA_SCREENSHOTS;
    if (shots) {
      mkdirSync(shots, { recursive: true });
      await page.screenshot({ path: join(shots, `page-${scheme}.png`), fullPage: true });
    }
    await page.close();
  });
}

// Audit records and files of them.

import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const START = Date.UTC(2026, 0, 5, 10);

/** The three CloudTrail records of a snapshot staging. */
export function chain(name, { agent = 'aws-cli/2.17.20' } = {}) {
  const record = (minute, eventName, eventID, requestParameters, responseElements) => ({
    eventVersion: '1.10',
    userIdentity: { type: 'IAMUser', arn: `arn:aws:iam::111122223333:user/${name}`, accountId: '111122223333', userName: name },
    eventTime: new Date(START + minute * 60_000).toISOString().replace('.000', ''),
    eventSource: 'ec2.amazonaws.com',
    eventName,
    awsRegion: 'us-east-1',
    sourceIPAddress: `198.51.100.${minute}`,
    userAgent: agent,
    requestParameters,
    responseElements,
    eventID: `${name}-${eventID}`,
    recipientAccountId: '111122223333',
  });
  const [volume, snapshot] = [`vol-${name}`, `snap-${name}`];
  return [
    record(1, 'CreateVolume', 1, { size: '8' }, { volumeId: volume }),
    record(2, 'CreateSnapshot', 2, { volumeId: volume }, { snapshotId: snapshot, volumeId: volume }),
    record(
      4,
      'RunInstances',
      3,
      { blockDeviceMapping: { items: [{ ebs: { snapshotId: snapshot } }] } },
      { instancesSet: { items: [{ instanceId: `i-${name}` }] } },
    ),
  ];
}

/** Records one on a line. */
export function lines(records) {
  return records.map((record) => `${JSON.stringify(record)}\n`).join('');
}

/** Writes a file and returns its path. */
export function file(folder, name, content) {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

/** Packs files into a zip archive. */
export function zip(path, files) {
  const script = 'import sys, zipfile\nwith zipfile.ZipFile(sys.argv[1], "w", zipfile.ZIP_DEFLATED) as archive:\n    for file in sys.argv[2:]: archive.write(file, "logs/" + file.rsplit("/", 1)[1])';
  execFileSync('python3', ['-c', script, path, ...files]);
  return path;
}

/** The program, whose findings are the measure. */
export const program = join(dirname(fileURLToPath(import.meta.url)), '../../../target/release/catena');

/** The ids of the findings that the program has in these files. */
export function idsOf(paths) {
  const out = execFileSync(program, ['run', '--quiet', '--mode', 'findings', '--unrecognised', 'ignore', ...paths], {
    stdio: ['ignore', 'pipe', 'ignore'],
    maxBuffer: 1 << 30,
  });
  const ids = out.toString().split('\n').filter(Boolean).map((line) => JSON.parse(line).finding_info.uid);
  return [...new Set(ids)].sort();
}

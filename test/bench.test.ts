import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { testServer } from './support/servers.ts';

const root = join(import.meta.dirname, '..');
const run = promisify(execFile);
const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';

test('every line of the bench runs, and its types are sound', { timeout: 600_000 }, async () => {
  await run(npm, ['ci', '--prefix', 'bench', '--no-audit', '--no-fund'], { cwd: root });
  await run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '--noEmit', '-p', 'bench'], {
    cwd: root,
  });
  const { stdout } = await run(process.execPath, ['bench/run.ts', '--smoke'], {
    cwd: root,
    env: {
      ...process.env,
      CHANGEOVER_TEST_POSTGRES_URL: testServer('postgres').url,
      CHANGEOVER_TEST_MONGODB_URL: testServer('mongodb').url,
      CHANGEOVER_TEST_DYNAMODB_URL: testServer('dynamodb').url,
    },
  });
  const table = stdout.split('\n').filter((line) => line.startsWith('| '));
  for (const line of [
    'routing decision, against LaunchDarkly',
    'routing decision, garbage',
    'get at off',
    'put at shadow',
    'put while the new store hangs, p99',
    'structural hash of a record',
    'dial to last acknowledgement, 2 processes, SQLite',
    'dial to last acknowledgement, 2 processes, PostgreSQL',
    'handover of 1 % under 1000 writes/s, SQLite',
    'handover of 1 % under 1000 writes/s, PostgreSQL',
    'backfill, SQLite to SQLite',
    'backfill, PostgreSQL to MongoDB',
    'backfill, MongoDB to PostgreSQL',
    'second backfill, MongoDB to PostgreSQL',
    'backfill, MongoDB to DynamoDB',
    'preload and backfill, MongoDB to DynamoDB',
    'backfill in transactions, MongoDB to DynamoDB',
    'backfill by two workers, MongoDB to PostgreSQL',
    'verify, SQLite and SQLite, by SQLite itself',
    'verify, PostgreSQL and PostgreSQL, by digests of the server',
    'verify, PostgreSQL and MongoDB',
    'verify beside reladiff',
  ]) {
    const row = table.find((one) => one.startsWith(`| ${line}`));
    expect(row, `${line}: ${stdout}`).toBeDefined();
    // reladiff needs a Python with pip, which is no part of the project.
    if (line !== 'verify beside reladiff') expect(row).not.toContain('not measured');
  }
});

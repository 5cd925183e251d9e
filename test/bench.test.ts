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
  for (const line of [
    'routing decision',
    'get at off',
    'put at shadow',
    'while the new store hangs',
    'hash of a record',
    'dial to last acknowledgement',
    'handover of 1 %',
    'backfill',
    'preload and backfill',
    'backfill by two workers',
    'verify',
  ]) {
    expect(stdout).toContain(line);
  }
});

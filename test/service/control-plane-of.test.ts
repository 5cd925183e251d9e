import { execFile } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';

const run = promisify(execFile);
const script = new URL('../support/control-loader.ts', import.meta.url).pathname;

/** What opening a control plane comes to in a process of its own, and what that loads. */
async function opened(
  control: string,
  missing: readonly string[] = [],
): Promise<{ readonly outcome: Record<string, unknown> | null; readonly loaded: readonly string[] }> {
  const args = ['--disable-warning=ExperimentalWarning', script, control, missing.join(',')];
  return JSON.parse((await run(process.execPath, args)).stdout);
}

const NOBODY_THERE = 'postgres://nobody:s3cret@127.0.0.1:1/nothing';

describe('the control plane of a configuration', () => {
  test('loads knex and the driver for a postgres URL, and for nothing else', async () => {
    const memory = await opened('memory');
    expect(memory.outcome).toBeNull();
    expect(memory.loaded).not.toContain('knex');
    const postgres = await opened(NOBODY_THERE);
    expect(postgres.loaded).toEqual(expect.arrayContaining(['knex', 'pg']));
    expect(postgres.loaded).not.toContain('better-sqlite3');
    expect(memory.loaded).not.toContain('pg');
  });

  test.each(['postgres', 'postgresql'])('is what a %s URL leads to', async (scheme) => {
    const { outcome } = await opened(NOBODY_THERE.replace('postgres', scheme));
    expect(outcome).toMatchObject({ code: 'CONTROL_UNAVAILABLE', retryable: true });
    expect(JSON.stringify(outcome)).not.toContain('s3cret');
  });

  test.each(['knex', 'pg'])('says what to install where %s is missing', async (name) => {
    const { outcome } = await opened(NOBODY_THERE, [name]);
    expect(outcome).toMatchObject({ code: 'INVALID_CONFIGURATION', remedy: 'npm install knex pg' });
    expect(JSON.stringify(outcome)).not.toContain('s3cret');
  });

  test.each(['knex', 'better-sqlite3'])('says what to install where a SQLite file finds no %s', async (name) => {
    const { outcome } = await opened(`sqlite:${join(tmpdir(), 'changeover-none', 'control.db')}`, [name]);
    expect(outcome).toMatchObject({ code: 'INVALID_CONFIGURATION', remedy: 'npm install knex better-sqlite3' });
  });

  test('names the schemes that there are for another one, and keeps the rest to itself', async () => {
    const { outcome } = await opened('mysql://u:s3cret@host/db');
    expect(outcome).toMatchObject({ code: 'INVALID_CONFIGURATION' });
    expect(outcome?.['expected']).toContain('postgres://');
    expect(JSON.stringify(outcome)).not.toContain('s3cret');
  });
});

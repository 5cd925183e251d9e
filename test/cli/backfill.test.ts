import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { bucketOf } from '../../src/core/bucket.ts';
import { Project } from './project.ts';

const WHY = ['--reason', 'OPS-1'] as const;
const RECORDS = 4_000;

interface Status {
  readonly coverage: { readonly new: number };
  readonly replay: { readonly scanned: number } | null;
}

async function mirrored(): Promise<Project> {
  const project = Project.create();
  project.seed(RECORDS);
  for (const args of [
    ['prepare', 'events'],
    ['set', 'events', 'no-outside-writers', 'yes', ...WHY],
    ['set', 'events', 'dual-write', '100', ...WHY],
  ]) {
    expect((await project.run(...args)).code).toBe(0);
  }
  return project;
}

const status = async (project: Project): Promise<Status> => (await project.json<Status>('status', 'events')).data;

/** Waits until a checkpoint says that the replay is further than it was, or its process has ended. */
async function movedOn(project: Project, child: ChildProcess, from = 0): Promise<void> {
  while (child.exitCode === null && ((await status(project)).replay?.scanned ?? 0) <= from) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test('a backfill that is killed with -9 again and again leaves nothing out and counts everything once', {
  timeout: 900_000,
}, async () => {
  await using project = await mirrored();
  let before = 0;
  // Slow, so that it does not end while a loaded machine asks how far it is.
  for (const rate of ['100', '140']) {
    const child = project.start('backfill', 'events', '--rate', rate, ...WHY);
    await movedOn(project, child, before);
    child.kill('SIGKILL');
    await once(child, 'exit');
    const { replay, coverage } = await status(project);
    expect(replay?.scanned).toBeGreaterThan(before);
    expect(coverage.new).toBe(0);
    before = replay?.scanned ?? 0;
  }
  const resumed = await project.json<{ scanned: number; applied: number; skipped: number }>(
    'backfill',
    'events',
    '--rate',
    'none',
    ...WHY,
  );
  expect(resumed).toMatchObject({ code: 0, data: { resumed: true, rejected: 0, scanned: RECORDS } });
  // What was put after the last checkpoint of a run is there already for the next one.
  expect(resumed.data.applied + resumed.data.skipped).toBe(RECORDS);
  expect(await status(project)).toMatchObject({ coverage: { new: 100 }, replay: null });
  expect(await project.json('verify', 'events')).toMatchObject({ code: 0, data: { counts: { equal: RECORDS } } });
});

test('SIGINT ends a backfill in good order, and a plain line shows progress meanwhile', {
  timeout: 900_000,
}, async () => {
  await using project = await mirrored();
  const child = project.start('backfill', 'events', '--rate', '100', ...WHY, '--json');
  const output = Promise.all([text(child.stdout!), text(child.stderr!)]);
  let said = '';
  await new Promise<void>((resolve) => {
    child.stderr?.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      // On a busy machine the first line may say that nothing is done yet.
      if (/backfill events: \d+ % {2}[1-9]/.test(said)) resolve();
    });
  });
  child.kill('SIGINT');
  const [code] = (await once(child, 'exit')) as [number];
  const [stdout, stderr] = await output;
  expect(code).toBe(2);
  expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'INTERRUPTED' } });
  expect(stderr).toMatch(/backfill events: \d+ % {2}[\d,]+ of about 4,000/);
  expect((await status(project)).replay?.scanned).toBeGreaterThan(0);
});

test('a backfill that somebody else is running is left alone, and can be cancelled', { timeout: 900_000 }, async () => {
  await using project = await mirrored();
  const child = project.start('backfill', 'events', '--rate', '50', ...WHY);
  const ended = once(child, 'exit');
  await movedOn(project, child);
  const second = await project.run('backfill', 'events', ...WHY);
  expect(second.code).toBe(1);
  expect(second.stderr).toContain('[BUSY]');
  expect(await project.json('backfill', 'events', '--cancel', ...WHY)).toMatchObject({
    code: 0,
    data: { changed: true },
  });
  const [code] = (await ended) as [number];
  expect(code).toBe(2);
  expect((await status(project)).replay).toBeNull();
});

test('a backfill is paused, resumed and given another rate while somebody else’s process runs it', {
  timeout: 900_000,
}, async () => {
  await using project = await mirrored();
  const child = project.start('backfill', 'events', '--rate', '60', ...WHY);
  const ended = once(child, 'exit');
  await movedOn(project, child);
  const paused = await project.json('backfill', 'events', '--pause', ...WHY);
  expect(paused).toMatchObject({ code: 0, data: { changed: true } });
  // What is on its way when the pause is seen still arrives; then nothing moves.
  let standing = -1;
  for (let now = 0; standing !== now; ) {
    standing = now;
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    now = (await status(project)).replay?.scanned ?? -2;
  }
  expect(await status(project)).toMatchObject({ replay: { paused: true, rate: 0, etaMs: null } });
  expect(child.exitCode).toBeNull();
  expect((await project.run('status', 'events')).stdout).toContain('; paused');
  expect(await project.json('backfill', 'events', '--pause', ...WHY)).toMatchObject({ data: { changed: false } });
  expect((await project.run('set', 'events', 'replay-rate', 'none', ...WHY)).code).toBe(0);
  expect(await project.json('backfill', 'events', '--resume', ...WHY)).toMatchObject({ data: { changed: true } });
  const [code] = (await ended) as [number];
  expect(code).toBe(0);
  expect(await status(project)).toMatchObject({ coverage: { new: 100 }, replay: null });
  expect((await project.run('backfill', 'events', '--resume', ...WHY)).stdout).toContain('no backfill is under way');
});

test('a backfill of canaries and a part of the line covers just that, and is not resumed as another', {
  timeout: 900_000,
}, async () => {
  await using project = await mirrored();
  expect((await project.run('cohort', 'events', 'u7', 'canary', ...WHY)).code).toBe(0);
  expect(await project.run('cohort', 'events', 'u7', 'canary', ...WHY)).toMatchObject({
    code: 0,
    stdout: 'u7 stands there already; nothing changed\n',
  });
  expect((await project.run('cohort', 'events', 'u7', 'canary', '--dry-run')).stdout).toContain('stands there already');
  const part = ['backfill', 'events', '--positions', 'canary, 0-40%'] as const;
  const child = project.start(...part, '--rate', '20', ...WHY);
  await movedOn(project, child);
  child.kill('SIGINT');
  await once(child, 'exit');
  const other = await project.run('backfill', 'events', '--positions', '0-50', ...WHY);
  expect(other.code).not.toBe(0);
  expect(other.stderr).toContain('is about canary, 0–40 %');
  const dry = await project.run('backfill', 'events', '--positions', '0-50', '--dry-run');
  expect([dry.code, dry.stderr]).toEqual([other.code, other.stderr]);
  expect((await project.run(...part, '--dry-run')).stdout).toContain('would go on with the replay of canary, 0–40 %');
  const done = await project.json<{ scanned: number; applied: number; skipped: number }>(
    ...part,
    '--rate',
    'none',
    ...WHY,
  );
  expect(done).toMatchObject({ code: 0, data: { resumed: true, covered: [[-1, 40_000]] } });
  expect(done.data.scanned).toBe(RECORDS);
  const keys = (side: 'old' | 'new'): [unit: string, id: string][] =>
    project.database(side).prepare<[], [string, string]>('SELECT userKey, id FROM events ORDER BY 1, 2').raw().all();
  expect(bucketOf('events', 'u7'), 'it is there as a canary only').toBeGreaterThanOrEqual(40_000);
  expect(keys('new')).toEqual(keys('old').filter(([unit]) => unit === 'u7' || bucketOf('events', unit) < 40_000));
  expect(await status(project)).toMatchObject({ coverage: { new: 40 } });
  const nothing = await project.run('backfill', 'events', '--positions', 'kept-back', ...WHY);
  expect(nothing.stdout).toContain('nothing of kept-back is mirrored to the new store');
  const wrong = await project.run('backfill', 'events', '--positions', '40-0', ...WHY);
  expect(wrong.stderr).toMatch(/"40-0" names no positions/);
  const both = await project.run('backfill', 'events', '--pause', '--cancel', ...WHY);
  expect(both.stderr).toContain('--pause and --cancel do not go together');
});

import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
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

/** Waits until a checkpoint says that the replay is some way in, or its process has ended. */
async function someWayIn(project: Project, child: ChildProcess): Promise<void> {
  while (child.exitCode === null && ((await status(project)).replay?.scanned ?? 0) < 500) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test('a backfill that was killed with -9 is gone on with from its checkpoint', { timeout: 120_000 }, async () => {
  await using project = await mirrored();
  const child = project.start('backfill', 'events', '--rate', '1000', ...WHY);
  await someWayIn(project, child);
  child.kill('SIGKILL');
  await once(child, 'exit');
  const { replay, coverage } = await status(project);
  expect(replay?.scanned).toBeGreaterThan(0);
  expect(coverage.new).toBe(0);

  const resumed = await project.json<{ scanned: number; applied: number; skipped: number }>(
    'backfill',
    'events',
    '--rate',
    'none',
    ...WHY,
  );
  expect(resumed).toMatchObject({ code: 0, data: { resumed: true, rejected: 0 } });
  // The page during which it was killed may be scanned, and counted, twice; nothing is left out.
  expect(resumed.data.scanned).toBeGreaterThanOrEqual(RECORDS);
  expect(await status(project)).toMatchObject({ coverage: { new: 100 }, replay: null });
  expect(await project.json('verify', 'events')).toMatchObject({ code: 0, data: { counts: { equal: RECORDS } } });
});

test('SIGINT ends a backfill in good order, and a plain line shows progress meanwhile', {
  timeout: 120_000,
}, async () => {
  await using project = await mirrored();
  const child = project.start('backfill', 'events', '--rate', '500', ...WHY, '--json');
  const output = Promise.all([text(child.stdout!), text(child.stderr!)]);
  await new Promise<void>((resolve) => {
    child.stderr?.on('data', (chunk: Buffer) => {
      if (chunk.toString().includes('backfill events:')) resolve();
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

test('a backfill that somebody else is running is left alone, and can be cancelled', { timeout: 120_000 }, async () => {
  await using project = await mirrored();
  const child = project.start('backfill', 'events', '--rate', '200', ...WHY);
  const ended = once(child, 'exit');
  await someWayIn(project, child);
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

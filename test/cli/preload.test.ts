import { once } from 'node:events';
import { expect, test } from 'vitest';
import { Project } from './project.ts';

const WHY = ['--reason', 'OPS-1'] as const;
const RECORDS = 3_000;

interface Gate {
  readonly gate: string;
  readonly passed: boolean;
  readonly remedy: string | null;
}

interface Refused {
  readonly error: { readonly code: string; readonly gates: readonly Gate[] };
}

async function prepared(): Promise<Project> {
  const project = Project.create();
  project.seed(RECORDS);
  expect((await project.run('prepare', 'events')).code).toBe(0);
  return project;
}

const confirm = (project: Project) => project.run('set', 'events', 'no-outside-writers', 'yes', ...WHY);

const failed = ({ error }: Refused): string[] => error.gates.flatMap(({ gate, passed }) => (passed ? [] : [gate]));

test('a preload fills the new store before dual-write, and the backfill after it skips what is there', {
  timeout: 900_000,
}, async () => {
  await using project = await prepared();
  const refused = await project.json<Refused>('backfill', 'events', '--preload', ...WHY);
  expect([refused.code === 0, failed(refused.data)]).toEqual([false, ['outside-writers']]);
  await confirm(project);

  const dry = await project.json('backfill', 'events', '--preload', '--dry-run', ...WHY);
  expect(dry).toMatchObject({ code: 0, data: { dryRun: true, allowed: true, stamping: true } });
  const preload = await project.json('backfill', 'events', '--preload', ...WHY);
  expect(preload).toMatchObject({ code: 0, data: { scanned: RECORDS, applied: RECORDS, rejected: 0, resumed: false } });
  expect(await project.json('status', 'events')).toMatchObject({
    data: { coverage: { new: 0 }, dials: { dualWrite: 0 }, replay: null },
  });

  expect((await project.run('set', 'events', 'dual-write', '100', ...WHY)).code).toBe(0);
  const late = await project.json<Refused>('backfill', 'events', '--preload', ...WHY);
  expect(failed(late.data)).toEqual(['mirror-off']);
  expect(await project.json('backfill', 'events', ...WHY)).toMatchObject({
    code: 0,
    data: { scanned: RECORDS, applied: 0, skipped: RECORDS },
  });
  expect(await project.json('verify', 'events')).toMatchObject({ code: 0, data: { counts: { equal: RECORDS } } });
  const nonsense = await project.json<Refused>('backfill', 'events', '--preload', '--to', 'old', ...WHY);
  expect(nonsense).toMatchObject({ data: { error: { code: 'INVALID_ARGUMENT' } } });
});

test('a preload that was killed with -9 keeps dual-write down until it has gone on', { timeout: 900_000 }, async () => {
  await using project = await prepared();
  await confirm(project);
  // Slow, so that it does not end while a loaded machine asks how far it is.
  const child = project.start('backfill', 'events', '--preload', '--rate', '100', ...WHY);
  const scanned = async (): Promise<number> =>
    (await project.json<{ readonly replay: { readonly scanned: number } | null }>('status', 'events')).data.replay
      ?.scanned ?? 0;
  while (child.exitCode === null && (await scanned()) === 0) await new Promise((resolve) => setTimeout(resolve, 20));
  child.kill('SIGKILL');
  await once(child, 'exit');

  const refused = await project.json<Refused>('set', 'events', 'dual-write', '100', ...WHY);
  expect(failed(refused.data)).toEqual(['preload']);
  const { remedy } = refused.data.error.gates.find(({ gate }) => gate === 'preload')!;
  expect(remedy).toMatch(/changeover backfill events --preload --cancel/);
  const resumed = await project.json<{ readonly scanned: number }>(
    ...['backfill', 'events', '--preload', '--rate', 'none', ...WHY],
  );
  expect(resumed).toMatchObject({ code: 0, data: { resumed: true, rejected: 0 } });
  expect(resumed.data.scanned).toBeGreaterThanOrEqual(RECORDS);
  // By then the lease of the killed one has ended, and with it, or soon after, whatever it may have sent.
  while ((await project.run('set', 'events', 'dual-write', '100', ...WHY)).code !== 0) {
    const still = await project.json<Refused>('set', 'events', 'dual-write', '100', '--dry-run', ...WHY);
    if (still.code !== 0) expect(failed(still.data)).toEqual(['preload']);
  }
  expect(await project.json('backfill', 'events', ...WHY)).toMatchObject({ code: 0, data: { applied: 0 } });
  expect(await project.json('verify', 'events')).toMatchObject({ code: 0, data: { counts: { equal: RECORDS } } });
});

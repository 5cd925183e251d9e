import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openSqliteControl } from '../../src/control/sqlite-control.ts';
import { thisProcess } from '../../src/service/process-identity.ts';
import { expectFailure } from './expect-failure.ts';
import { CONFIG, Project } from './project.ts';

const WHY = ['--reason', 'OPS-1'] as const;
const RECORDS = 300;

interface Verified {
  readonly verdict: string;
  readonly counts: { readonly old: number; readonly equal: number };
  readonly reasons: readonly string[];
  readonly positions: readonly (readonly [number, number])[];
  readonly scanned: { readonly byDigests: number };
}

async function copied(): Promise<Project> {
  const project = Project.create();
  project.seed(RECORDS);
  for (const args of [
    ['prepare', 'events'],
    ['set', 'events', 'no-outside-writers', 'yes', ...WHY],
    ['set', 'events', 'dual-write', '100', ...WHY],
    ['backfill', 'events', ...WHY],
  ]) {
    expect((await project.run(...args)).code).toBe(0);
  }
  return project;
}

/** How many records of a store's table nobody seeded. */
function strangers(project: Project, side: 'old' | 'new'): number {
  const database = project.database(side);
  try {
    const rows = database.prepare(`SELECT count(*) AS n FROM events WHERE id NOT LIKE 'seed-%'`).all();
    return Number((rows[0] as { readonly n: number }).n);
  } finally {
    database.close();
  }
}

const verify = (project: Project, ...args: string[]) => project.json<Verified>('verify', 'events', ...args);

describe('of stores that nobody writes', { timeout: 240_000 }, () => {
  let project: Project;
  beforeAll(async () => {
    project = await copied();
  });
  afterAll(() => project?.[Symbol.asyncDispose]());

  test('a part of the records is verified, and the verdict says which', async () => {
    const range = await verify(project, '--positions', '0-50');
    expect(range).toMatchObject({ code: 0, data: { verdict: 'consistent', positions: [[0, 50_000]] } });
    expect(range.data.counts.old).toBeGreaterThan(0);
    expect(range.data.counts.old).toBeLessThan(RECORDS);
    const unit = await project.run('verify', 'events', '--unit', 'u4');
    expect(unit.code).toBe(0);
    expect(unit.stdout).toContain('only the unit u4');
    expect(unit.stdout).toMatch(/^ {2}(\d+) old, \1 new, \1 equal$/m);
    const sample = await verify(project, '--sample', '40%');
    expect(sample).toMatchObject({ code: 0, data: { verdict: 'consistent', sample: 0.4 } });
    expect(sample.data.counts.equal).toBe(sample.data.counts.old);
    for (const [option, text] of [
      ['--sample', '101'],
      ['--positions', 'kept-back'],
    ] as const) {
      expect((await project.run('verify', 'events', option, text)).code, `${option} ${text}`).toBe(3);
    }
  });

  test('what it could not do is no difference: 2 beside another proof, 4 where a store is away', async () => {
    const plane = await openSqliteControl({ path: join(project.folder, '.changeover/control.db') });
    const holder = { migration: 'events', runner: 'here', process: thisProcess('test', '1'), actor: 'eve' };
    expect(await plane.holdProof({ ...holder, leaseMs: 600_000, instead: null })).toBeNull();
    await plane.close();
    expectFailure(await project.run('verify', 'events', '--prove'), 2, 'BUSY');
    expect([strangers(project, 'old'), strangers(project, 'new')]).toEqual([0, 0]);

    const nobody = `sql({ client: 'pg', connection: 'postgres://nobody@127.0.0.1:1/none', table: 'events', document: 'body' })`;
    const away = project.write('away.config.ts', CONFIG.replace("new: events('new.db')", `new: ${nobody}`));
    expectFailure(await project.run('verify', 'events', '--config', away), 4, 'STORE_FAULT');
  });
});

test('at dual-write 100 the databases compare themselves, as long as no unit is kept back', {
  timeout: 240_000,
}, async () => {
  await using project = await copied();
  const everything = { verdict: 'consistent', positions: [[-1, 100_000]], counts: { old: RECORDS, equal: RECORDS } };
  expect(await verify(project)).toMatchObject({ code: 0, data: { ...everything, scanned: { byDigests: RECORDS } } });
  expect((await project.run('cohort', 'events', 'u5', 'kept-back', ...WHY)).code).toBe(0);
  const held = Math.ceil((RECORDS - 5) / 97);
  const others = await verify(project);
  expect(others).toMatchObject({ code: 0, data: { ...everything, counts: { old: RECORDS - held } } });
  expect(others.data.scanned.byDigests).toBe(0);
  // A canary is mirrored as all buckets are.
  expect((await project.run('cohort', 'events', 'u5', 'none', ...WHY)).code).toBe(0);
  expect((await project.run('backfill', 'events', ...WHY)).code).toBe(0);
  expect((await project.run('cohort', 'events', 'u7', 'canary', ...WHY)).code).toBe(0);
  expect(await verify(project)).toMatchObject({ code: 0, data: { ...everything, scanned: { byDigests: RECORDS } } });
  const buckets = await verify(project, '--positions', '0-100');
  expect(buckets.data.scanned.byDigests).toBe(0);
  expect(buckets.data.counts.old).toBeLessThan(RECORDS);
});

test('a proof that was killed with -9 leaves nothing behind once the next has run', { timeout: 180_000 }, async () => {
  await using project = await copied();
  // Where it was past that moment before it could be killed, once more.
  for (;;) {
    const child = project.start('verify', 'events', '--prove');
    const ended = once(child, 'exit');
    while (child.exitCode === null && strangers(project, 'new') < 9) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    child.kill('SIGKILL');
    await ended;
    if (strangers(project, 'new') === 9) break;
    expect(await verify(project, '--prove')).toMatchObject({ code: 0 });
  }
  const plain = await verify(project);
  expect(plain).toMatchObject({ code: 2, data: { verdict: 'inconclusive', counts: { old: RECORDS, equal: RECORDS } } });
  expect(plain.data.reasons[0]).toContain('planted record(s)');
  const proven = await verify(project, '--prove');
  expect(proven).toMatchObject({
    code: 0,
    data: { verdict: 'consistent', counts: { old: RECORDS }, proof: { planted: 12, missed: [], refused: null } },
  });
  expect([strangers(project, 'old'), strangers(project, 'new')]).toEqual([0, 0]);
});

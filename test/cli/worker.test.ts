import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ControlDatabase } from '../support/control-database.ts';
import { freshDatabase, testServer } from '../support/servers.ts';
import { Project } from './project.ts';
import { mirrored, postgresProject, until, WHY, WorkerProcess } from './worker-process.ts';

const { missing } = testServer('postgres');
const RECORDS = 6_000;
const KILLS = 6;
/** The same numbers for the same seed (mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

describe.skipIf(missing !== undefined)('workers of a control plane on PostgreSQL', () => {
  let database: ControlDatabase;
  beforeAll(async () => {
    database = await ControlDatabase.create(await freshDatabase('postgres'));
  });
  afterAll(() => database?.drop());

  /** A project on PostgreSQL, everything mirrored, and how its leases stand. */
  async function projectOn(name: string) {
    const { project, schema, done } = await postgresProject(database, name);
    await database.query(
      `insert into ${name}_old.events select 'u' || i % 97, 'seed-' || i, jsonb_build_object('n', i) from generate_series(1, ${RECORDS}) i`,
    );
    await mirrored(done);
    const partitions = async (): Promise<readonly Partition[]> =>
      (
        await database.query(
          `select p.id, p.done, p.scanned, p.runner from ${schema}.replay_partitions p
           where p.replay = (select max(id) from ${schema}.replays where kind = 'backfill') order by p.id`,
        )
      ).map((row) => ({ ...row, id: Number(row['id']), scanned: Number(row['scanned']) }) as Partition);
    const heldBy = async (worker: WorkerProcess): Promise<readonly number[]> =>
      (await partitions()).filter((one) => !one.done && worker.has(one)).map(({ id }) => id);
    const counts = async () => {
      const count = async (side: string) =>
        Number((await database.query(`select count(*) as n from ${name}_${side}.events`))[0]?.['n']);
      return { old: await count('old'), new: await count('new') };
    };
    const isDone = async (): Promise<boolean> => {
      const states = await database.query(
        `select state from ${schema}.replays where kind = 'backfill' order by id desc`,
      );
      return states[0]?.['state'] === 'done';
    };
    /** What the history says of each backfill that ended. */
    const ends = async (): Promise<readonly Ended[]> => {
      const { data } = await project.json<{ summary: string }[]>('history', 'events', '--limit', '100');
      return data.flatMap(({ summary }) => {
        const counts = /^backfill .* ended: (\S+) scanned, (\S+) applied, (\S+) there already, (\S+) rejected$/.exec(
          summary,
        );
        if (counts === null) return [];
        const [scanned = 0, applied = 0, there = 0, rejected = 0] = counts
          .slice(1)
          .map((count) => Number(count.replaceAll(',', '')));
        return [{ scanned, applied, there, rejected }];
      });
    };
    return { project, done, partitions, heldBy, counts, isDone, ends };
  }

  test('finish a backfill exactly, whoever of them is killed or stands still', { timeout: 900_000 }, async () => {
    const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
    console.log(`killing workers by seed ${seed}`);
    const random = randomOf(seed);
    const { project, done, partitions, heldBy, counts, isDone, ends } = await projectOn('killed');
    await using _ = project;
    const service = await project.service();
    let begun = 0;
    /** Slow enough to be killed in the middle, again and again. */
    const begin = async (): Promise<void> => {
      await done('set', 'events', 'replay-rate', '600', ...WHY);
      expect(await done('backfill', 'events', '--detach', ...WHY)).toContain('for the workers');
      begun += 1;
    };
    /** Until a worker has something to lose; where all was done before it came, there is more to do. */
    const holds = (worker: WorkerProcess): Promise<void> =>
      until(
        async () => {
          if (await isDone()) await begin();
          return (await heldBy(worker)).length > 0;
        },
        () => `nothing is held by: ${worker.stderr}`,
      );
    await begin();
    const workers = [new WorkerProcess(project), new WorkerProcess(project, '--concurrency', '2')];
    for (let kill = 0; kill < KILLS; kill += 1) {
      const at = Math.floor(random() * workers.length);
      const victim = workers[at] as WorkerProcess;
      await holds(victim);
      await pause(random() * 600);
      await victim.end('SIGKILL');
      workers[at] = new WorkerProcess(project, '--concurrency', String(1 + Math.floor(random() * 3)));
      // What it held is somebody else's, or nobody's.
      await until(
        async () => (await heldBy(victim)).length === 0,
        () => `a dead worker keeps partitions; the others said ${workers.map(({ stderr }) => stderr).join('\n')}`,
      );
    }

    const sleeper = workers[0] as WorkerProcess;
    for (;;) {
      await holds(sleeper);
      sleeper.child.kill('SIGSTOP');
      const held = await heldBy(sleeper);
      await done('set', 'events', 'replay-rate', 'none', ...WHY);
      await until(isDone, () => (workers[1] as WorkerProcess).stderr);
      const anothers = (await partitions()).filter((one) => held.includes(one.id) && !sleeper.has(one));
      // It comes back to partitions that were others' meanwhile, and are done.
      sleeper.child.kill('SIGCONT');
      // What it had finished at that very moment, nobody had to take.
      if (anothers.length === 0) continue;
      for (const { id } of anothers)
        await sleeper.says(`partition ${id} lost: it is over, or somebody else has it now`);
      break;
    }
    for (const worker of workers) expect(await worker.end('SIGTERM')).toBe(0);

    const { failures, written } = await service.stop();
    expect(failures).toEqual([]);
    await done('repair', 'events', ...WHY);
    expect(await project.json('verify', 'events')).toMatchObject({ code: 0, data: { verdict: 'consistent' } });
    const inAll = RECORDS + Object.keys(written).length;
    expect(await counts()).toEqual({ old: inAll, new: inAll });
    expect(await project.json('status', 'events')).toMatchObject({
      data: { coverage: { old: 100, new: 100 }, replay: null, dirty: { ranges: 0, rejected: 0 } },
    });
    const ended = await ends();
    expect(ended).toHaveLength(begun);
    for (const { scanned, applied, there, rejected } of ended) {
      // Nothing was left out and nothing was counted twice, however often a partition changed hands.
      expect([applied + there, rejected]).toEqual([scanned, 0]);
      expect(scanned).toBeGreaterThanOrEqual(RECORDS);
      expect(scanned).toBeLessThanOrEqual(inAll);
    }
  });

  test('refuse another mapping, give back what they have when they are told to stop, and are joined by the command', {
    timeout: 900_000,
  }, async () => {
    const { project, done, partitions, heldBy, counts, isDone, ends } = await projectOn('joined');
    await using _ = project;
    // So slow that there is something left for the command at the end.
    await done('set', 'events', 'replay-rate', '250', ...WHY);
    await done('backfill', 'events', '--detach', ...WHY);
    const config = project.write('other.config.ts', '');
    const { readFile, writeFile } = await import('node:fs/promises');
    const text = await readFile(`${project.folder}/changeover.config.ts`, 'utf8');
    await writeFile(config, text.replace('/* more */', ", compare: { ignore: ['n'] }"));
    const other = new WorkerProcess(project, '--config', config);
    await other.says('refused: the backfill of events was begun under another mapping');
    expect(await heldBy(other)).toEqual([]);
    expect(await other.end('SIGTERM')).toBe(0);
    const refused = await project.run('--config', config, 'backfill', 'events', ...WHY);
    expect(refused).toMatchObject({ code: 3 });
    expect(refused.stderr).toContain('begun under another mapping');

    const worker = new WorkerProcess(project, '--json', '--concurrency', '3');
    await until(
      async () => (await heldBy(worker)).length === 3,
      () => worker.stderr,
    );
    await until(
      async () => (await partitions()).some(({ scanned }) => scanned > 0),
      () => worker.stderr,
    );
    const held = await heldBy(worker);
    expect(await worker.end('SIGTERM')).toBe(0);
    expect(await heldBy(worker)).toEqual([]);
    for (const partition of held) expect(worker.stderr).toMatch(new RegExp(`partition ${partition} (given back|done)`));
    // What it did of partitions that it gave back is counted too: nobody else has done anything yet.
    const scanned = (await partitions()).reduce((sum, one) => sum + one.scanned, 0);
    const totals = JSON.parse(worker.stdout) as Totals;
    expect(totals).toMatchObject({ lost: 0, failed: 0, rejected: 0, scanned });
    expect(totals.applied + totals.skipped).toBe(scanned);
    expect(
      (await partitions()).some((one) => !one.done && one.scanned > 0),
      'it was told in the middle',
    ).toBe(true);

    // Nobody but the command itself, and then a second one beside it.
    const first = project.json<Backfilled>('backfill', 'events', ...WHY);
    await until(
      async () => (await partitions()).some(({ done: over, runner }) => !over && runner !== null),
      () => 'the command takes no part',
    );
    const second = project.json<Backfilled>('backfill', 'events', ...WHY);
    await done('set', 'events', 'replay-rate', 'none', ...WHY);
    expect(await first).toMatchObject({ code: 0, data: { resumed: true, scanned: RECORDS, rejected: 0 } });
    // It joined the same one, or came too late and did it all again.
    expect(await second).toMatchObject({ code: 0, data: { scanned: RECORDS, rejected: 0 } });
    expect(await isDone()).toBe(true);
    expect((await ends()).length).toBeLessThanOrEqual(2);
    expect(await counts()).toEqual({ old: RECORDS, new: RECORDS });
    expect(await project.json('verify', 'events')).toMatchObject({ code: 0, data: { verdict: 'consistent' } });
  });
});

test('a worker without a control plane on PostgreSQL says what it needs', async () => {
  await using project = Project.create();
  const { code, stderr } = await project.run('worker');
  expect(code).toBe(3);
  expect(stderr).toContain('workers need a control plane on PostgreSQL');
});

interface Partition {
  readonly id: number;
  readonly done: boolean;
  readonly scanned: number;
  readonly runner: string | null;
}

interface Ended {
  readonly scanned: number;
  readonly applied: number;
  readonly there: number;
  readonly rejected: number;
}

interface Totals {
  readonly applied: number;
  readonly skipped: number;
}

interface Backfilled {
  readonly scanned: number;
  readonly resumed: boolean;
}

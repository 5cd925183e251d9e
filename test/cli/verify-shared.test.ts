import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { VerifyReport } from '../../verify/verify-report.ts';
import { ControlDatabase } from '../support/control-database.ts';
import { freshDatabase, testServer } from '../support/servers.ts';
import { mirrored, postgresProject, until, WorkerProcess } from './worker-process.ts';

const { missing } = testServer('postgres');
/** Twelve partitions a store: the verifier has four of them in hand at once, so that there is something to share. */
const RECORDS = 120_000;
/** A worker is killed in the middle; where it had nothing in hand just then, or the other had no part, once more. */
const TRIES = 10;

/** What a report says of the data; times and memory are the run's own. */
const saidOf = ({ verdict, counts, divergences, reasons, truncated, scanned }: VerifyReport) => ({
  verdict,
  counts,
  divergences: divergences.map(({ ageMs: _, ...line }) => line),
  reasons,
  truncated,
  records: { old: scanned.old.records, new: scanned.new.records },
  bytes: { old: scanned.old.bytes, new: scanned.new.bytes },
});

describe.skipIf(missing !== undefined)('a verification with workers', () => {
  let database: ControlDatabase;
  beforeAll(async () => {
    database = await ControlDatabase.create(await freshDatabase('postgres'));
  });
  afterAll(() => database?.drop());

  test('says what it says alone, though one of them is killed, and leaves nothing behind', {
    timeout: 900_000,
  }, async () => {
    const { project, schema, done } = await postgresProject(database, 'shared');
    await using _ = project;
    const rows = (from: number, to: number, of: string): string =>
      `select 'u' || i % 97, 'r-' || i, jsonb_build_object('n', ${of}) from generate_series(${from}, ${to}) i`;
    // In another notation, servers cannot compare it by digests: there is something to scan.
    await database.query('alter table shared_new.events alter column body type json');
    await database.query(`insert into shared_old.events ${rows(1, RECORDS, 'i')}`);
    await database.query(
      `insert into shared_new.events ${rows(1, RECORDS, 'case when i % 9001 = 0 then 0 else i end')}`,
    );
    await database.query(`insert into shared_new.events ${rows(RECORDS + 1, RECORDS + 5, 'i')}`);
    await database.query(`delete from shared_new.events where id in ('r-7', 'r-50000', 'r-119999')`);
    for (const side of ['old', 'new']) await database.query(`analyze shared_${side}.events`);
    await mirrored(done);
    // The same stores under a control plane that has no workers.
    const text = await readFile(`${project.folder}/changeover.config.ts`, 'utf8');
    const onSqlite = text.replace(/control: '[^']*'/, "control: 'sqlite:.changeover/control.db'");
    const alone = ['--config', project.write('alone.config.ts', onSqlite)] as const;
    await mirrored((...args) => done(...alone, ...args));
    const expected = saidOf((await project.json<VerifyReport>(...alone, 'verify', 'events')).data);
    expect(expected).toMatchObject({
      verdict: 'divergent',
      counts: { missing: 3, extra: 5, different: 13 },
      records: { old: RECORDS, new: RECORDS + 2 },
    });

    const held = async (worker: WorkerProcess): Promise<readonly number[]> => {
      const [there] = await database.query(`select to_regclass('${schema}.scan_chunks') as made`);
      if (there?.['made'] === null) return [];
      const partitions = await database.query(
        `select id, runner from ${schema}.scan_partitions where not done and lease_until > clock_timestamp() order by id`,
      );
      return partitions.filter((row) => worker.has(row as { runner: string })).map(({ id }) => Number(id));
    };
    const left = async (): Promise<number> => {
      const [row] = await database.query(
        `select (select count(*) from ${schema}.scans) + (select count(*) from ${schema}.scan_partitions)
           + (select count(*) from ${schema}.scan_chunks) as n`,
      );
      return Number(row?.['n']);
    };
    const other = new WorkerProcess(
      project,
      '--config',
      project.write('other.config.ts', text.replace('/* more */', ", compare: { ignore: ['n'] }")),
    );
    const survivor = new WorkerProcess(project, '--json');
    await other.says('ready for');
    await survivor.says('ready for');

    let killed = 0;
    const enough = (): boolean => killed > 0 && survivor.stderr.includes(' done');
    for (let attempt = 1; !enough() && attempt <= TRIES; attempt += 1) {
      const victim = new WorkerProcess(project);
      await victim.says('ready for');
      const verification = project.json<VerifyReport>('verify', 'events');
      await until(
        async () => (await held(victim)).length > 0 || (await Promise.race([verification, false])) !== false,
        () => `nothing is held by: ${victim.stderr}`,
      );
      // Nobody gets on while this is held, so that it is in the middle of what it has.
      await database.query('begin');
      await database.query('lock table shared_new.events, shared_old.events in access exclusive mode');
      killed += (await held(victim)).length;
      await victim.end('SIGKILL');
      await database.query('commit');
      const { data } = await verification;
      expect(saidOf(data)).toEqual(expected);
      expect(await left()).toBe(0);
    }
    expect(enough(), survivor.stderr).toBe(true);
    expect(other.stderr).toContain('refused: the verification of events was begun under another mapping');
    expect(other.stderr).not.toContain('taken');
    expect(await other.end('SIGTERM')).toBe(0);

    // Interrupted, it takes everything with it; killed, it leaves what the workers remove.
    for (const signal of ['SIGINT', 'SIGKILL'] as const) {
      const child = project.start('verify', 'events');
      const ended = once(child, 'close');
      await until(
        async () => (await left()) > 0 || child.exitCode !== null,
        () => 'the verification does not begin',
      );
      child.kill(signal);
      await ended;
      if (signal === 'SIGINT') expect(await left()).toBe(0);
    }
    await until(
      async () => (await left()) === 0,
      () => 'what a dead verifier left stays',
    );
    expect(await survivor.end('SIGTERM')).toBe(0);
    const { partitions, verified, scanned, failed } = JSON.parse(survivor.stdout) as Record<string, number>;
    expect({ scanned, failed }).toEqual({ scanned: 0, failed: 0 });
    expect(partitions).toBeGreaterThan(0);
    expect(verified).toBeGreaterThan(0);
  });
});

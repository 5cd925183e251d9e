import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { PartitionJobs } from '../../src/replay/partition-jobs.ts';
import { type FreshDatabase, freshDatabase, testServer } from '../support/servers.ts';

const { missing } = testServer('postgres');
const of = { migration: 'events', mapping: '0123456789abcdef0123456789abcdef', work: 'replay' } as const;
const job = (partition: number) => ({ ...of, of: 1, partition });

describe.skipIf(missing !== undefined)('partitions as jobs', () => {
  let database: FreshDatabase;
  let schemas = 0;
  beforeAll(async () => {
    database = await freshDatabase('postgres');
  });
  afterAll(() => database?.drop());

  const open = (schema = `jobs_${schemas}`): PartitionJobs => {
    const errors: unknown[] = [];
    const onError = (error: unknown): void => void errors.push(error);
    const jobs = new PartitionJobs({ connectionString: database.url, schema, label: 'the test database', onError });
    onTestFinished(async () => {
      await jobs.close();
      expect(errors).toEqual([]);
    });
    return jobs;
  };

  test('reach one taker each, once, however often they are offered', { timeout: 240_000 }, async () => {
    schemas += 1;
    // Both make the tables of pg-boss, at the same time.
    const [one, two] = [open(), open()];
    await Promise.all([one.offer([job(1), job(2), job(3)]), two.offer([job(1), job(2), job(3)])]);
    await one.offer([job(3)]);
    const [first, second] = await Promise.all([one.take(of, 2), two.take(of, 2)]);
    const partitions = [...first, ...second].map(({ partition, of: replay }) => ({ partition, replay }));
    expect(partitions.toSorted((a, b) => a.partition - b.partition)).toEqual(
      [1, 2, 3].map((partition) => ({ partition, replay: 1 })),
    );
    expect(await one.take(of, 5)).toEqual([]);
    // One that somebody has may be offered again: its holder may have died.
    await one.offer([job(1)]);
    const [again] = await two.take(of, 5);
    expect(again).toMatchObject({ partition: 1 });
    for (const taken of [...first, ...second]) {
      await taken.touch();
      await taken.settle();
      // Settled is settled.
      await taken.settle();
    }
    await again?.settle();
    expect(await one.take(of, 5)).toEqual([]);
  });

  test('are not heard of by whoever has another mapping', { timeout: 240_000 }, async () => {
    schemas += 1;
    const jobs = open();
    await jobs.offer([job(1)]);
    expect(await jobs.take({ ...of, mapping: 'f'.repeat(32) }, 5)).toEqual([]);
    expect(await jobs.take({ ...of, migration: 'orders' }, 5)).toEqual([]);
    expect(await jobs.take(of, 5)).toHaveLength(1);
  });

  test('say that the database cannot be reached, without its password', { timeout: 240_000 }, async () => {
    const url = new URL(database.url);
    url.port = '1';
    url.password = 'pa55-w0rd-of-nobody';
    const label = 'the control database';
    const jobs = new PartitionJobs({ connectionString: url.href, schema: 'jobs', label, onError: () => {} });
    const failure = await jobs.offer([job(1)]).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'CONTROL_UNAVAILABLE', message: `the jobs in ${label} cannot be reached` });
    expect(JSON.stringify(failure)).not.toContain('pa55');
    await jobs.close();
  });
});

import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { ControlPlane } from '../../src/control/control-plane.ts';
import type { ControlStorage } from '../../src/control/storage.ts';
import type { DirtReport } from '../../src/core/control-client.ts';
import { ALL, NOBODY } from '../../src/core/dial.ts';
import { STAMP_MIN } from '../../src/core/stamp.ts';
import { FreshStorages, STORAGES } from '../support/fresh-storages.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const storages = new FreshStorages();
let storage: ControlStorage | undefined;
afterEach(() => storage?.close());
afterAll(() => storages[Symbol.asyncDispose]());

const WHY = { actor: 'ada', reason: 'test' };
const node = { host: 'h', pid: 1, processId: 'p', version: '1', name: 'svc' };

async function fleet(kind: (typeof STORAGES)[number]) {
  const kept = await storages.open(kind);
  storage = kept;
  const plane = new ControlPlane(kept, new VirtualClock(1_750_000_000_000));
  const limits = { deadlineLimit: 1, stampLimit: STAMP_MIN };
  const { incarnation } = await plane.join({ session: 's', attempt: 1, node, migrations: ['events'], ...limits });
  await kept.transaction(async (tx) => {
    const [row] = await tx.select('migrations', { name: 'events' });
    const dials = { dualWrite: ALL, shadowRead: NOBODY, cutover: NOBODY, retireOld: false };
    const document = { ...row!.document, stamping: 'on' as const, dials };
    await tx.update('migrations', { name: 'events' }, { document });
  });
  const report = (dirt: readonly Partial<DirtReport>[]) =>
    plane.report({
      ...{ incarnation, acknowledged: {}, divergences: [], shadow: [], ...limits },
      dirt: dirt.map((line) => ({
        ...{ migration: 'events', target: 'new', kind: 'lost', position: 0, key: null, revision: 1 },
        ...{ cause: 'test', notBefore: null, ...line },
      })),
      health: {
        ...{ mirrorQueue: 0, shed: 0, operations: 0, errors: 0, memoryBytes: 0, aheadMs: 0 },
        highWater: STAMP_MIN,
      },
    });
  const lines = async () =>
    (await kept.read((tx) => tx.select('dirt', { migration: 'events' }, { orderBy: 'id' }))).map(
      ({ target, kind, fromPosition, toPosition, key, cause }) =>
        `${target} ${kind} ${toPosition - fromPosition === 1 ? fromPosition : '?'} ${key === null ? '' : key['id']} ${cause}`,
    );
  const begin = () =>
    plane.beginReplay({
      ...{ migration: 'events', kind: 'repair', target: 'new', positions: [[NOBODY, ALL]], mapping: 'm', runner: 'r' },
      ...{ leaseMs: 1_000, estimate: null, sourceTime: 0, partitions: [], ...WHY },
    });
  return { plane, report, lines, begin };
}

const upTo = (n: number) => Array.from({ length: n }, (_, i) => i);

describe.each(STORAGES)('dirt, kept in %s', (kind) => {
  test('is one line a position however often it is reported, and one a key that was named', async () => {
    const { report, lines } = await fleet(kind);
    for (const cause of ['a', 'b', 'c']) {
      await report(upTo(1_200).map((position) => ({ position, cause })));
      await report([{ position: 5, target: 'old', cause }]);
      await report([{ position: 5, key: { id: cause }, cause }]);
      await report([{ position: 5, notBefore: 7, cause }]);
    }
    const all = await lines();
    expect(all).toHaveLength(1_200 + 1 + 3 + 3);
    expect(all.filter((line) => /^\w+ lost 5 /.test(line)).sort()).toEqual(
      [
        'new lost 5 a a',
        'new lost 5 b b',
        'new lost 5 c c',
        'new lost 5  a',
        'new lost 5  b',
        'new lost 5  c',
        'new lost 5  c',
        'old lost 5  c',
      ].sort(),
    );
  });

  test('that is reported again while a replay runs is not cleared by it', async () => {
    const { plane, report, lines, begin } = await fleet(kind);
    await report(upTo(30).map((position) => ({ position, cause: 'before' })));
    const { replay } = await begin();
    await report(upTo(60).flatMap((position) => (position % 2 === 0 ? [{ position, cause: 'meanwhile' }] : [])));
    expect(await plane.endReplay(replay.id, 'r')).toMatchObject({ cleared: 15 });
    expect(await lines()).toEqual(upTo(30).map((n) => `new lost ${2 * n}  meanwhile`));
    const again = await begin();
    expect(await plane.endReplay(again.replay.id, 'r')).toMatchObject({ cleared: 30 });
    expect(await lines()).toEqual([]);
  });

  test('is cleared whole, be it more than is read at once', async () => {
    const { plane, report, lines, begin } = await fleet(kind);
    const many = 12_345;
    for (let at = 0; at < many; at += 3_000) {
      await report(
        upTo(Math.min(3_000, many - at)).map((i) => ({ position: (at + i) % 100, key: { id: `${at + i}` } })),
      );
    }
    await report([{ position: 3, kind: 'rejected', key: { id: 'x' } }]);
    const { replay } = await begin();
    await report([{ position: 3, key: { id: 'later' } }]);
    expect(await plane.endReplay(replay.id, 'r')).toMatchObject({ cleared: many });
    expect(await lines()).toEqual(['new rejected 3 x test', 'new lost 3 later test']);
  });
});

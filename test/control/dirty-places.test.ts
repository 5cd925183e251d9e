import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { ControlPlane } from '../../src/control/control-plane.ts';
import { dirtIn } from '../../src/control/dirt.ts';
import { unitPosition } from '../../src/control/publish.ts';
import type { ControlStorage } from '../../src/control/storage.ts';
import type { DirtReport } from '../../src/core/control-client.ts';
import { ALL, CANARY_POSITION, KEPT_BACK_POSITION, NOBODY, WHOLE_LINE } from '../../src/core/dial.ts';
import { type Intervals, overlaps } from '../../src/core/intervals.ts';
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
  const ids = async () =>
    (await kept.read((tx) => tx.select('dirt', { migration: 'events' }, { orderBy: 'id' }))).map(({ id }) => id);
  const begin = (positions: Intervals = WHOLE_LINE) =>
    plane.beginReplay({
      ...{ migration: 'events', kind: 'repair', target: 'new', positions, mapping: 'm', runner: 'r' },
      ...{ leaseMs: 1_000, estimate: null, sourceTime: 0, partitions: [], ...WHY },
    });
  return { plane, report, lines, ids, begin };
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
        'new lost 5  a',
        'old lost 5  a',
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

  test('that is reported again keeps its line while no replay has looked at it', async () => {
    const { plane, report, ids, begin } = await fleet(kind);
    const both = () => report([{ position: 3 }, { position: 4, target: 'old' }]);
    await both();
    const first = await ids();
    await both();
    expect(await ids()).toEqual(first);
    await begin();
    await both();
    const [old, later] = await ids();
    expect(old).toBe(first[1]);
    expect(later).toBeGreaterThan(Math.max(...first));
    await both();
    expect(await ids()).toEqual([old, later]);
    await plane.cancelReplay('events', 'repair', 'new', WHY);
    await both();
    expect(await ids()).toEqual([old, later]);
  });

  test('of a key is one new line each time: somebody may just have looked at the old one', async () => {
    const { report, ids } = await fleet(kind);
    const both = () =>
      report([
        { position: 3, kind: 'rejected', key: { id: 'x' } },
        { position: 3, key: { id: 'x' } },
        { position: 3, key: { id: 'x' }, target: 'old' },
        { position: 3, key: { id: 'x' }, notBefore: 7 },
      ]);
    await both();
    const first = await ids();
    expect(first).toHaveLength(4);
    // As where the answer was lost.
    await both();
    const second = await ids();
    expect(second).toHaveLength(4);
    expect(Math.min(...second)).toBeGreaterThan(Math.max(...first));
  });

  test('goes along with a unit that moves to another position, all of it, and stays where it was', async () => {
    const { plane, report, lines } = await fleet(kind);
    const at = unitPosition(await plane.ruleset('events'), 'ada');
    const dirty = [
      { position: at, key: { id: 'x' } },
      { position: at, key: { id: 'y' }, kind: 'rejected' as const },
      { position: at, cause: 'many' },
      { position: at, target: 'old' as const, notBefore: 9 },
    ];
    await report([...dirty, { position: (at + 1) % 100_000 }, { position: (at + 99_999) % 100_000 }]);
    const of = async (position: number) =>
      (await lines()).flatMap((line) => (line.includes(` ${position} `) ? [line.replace(` ${position} `, ' ')] : []));
    const all = ['new lost x test', 'new rejected y test', 'new lost  many', 'old lost  test'].sort();
    expect((await of(at)).sort()).toEqual(all);
    expect((await plane.changeCohort('events', 'ada', 'kept-back', WHY)).next).toBe('done');
    expect((await of(KEPT_BACK_POSITION)).sort()).toEqual(all);
    expect((await of(at)).sort()).toEqual(all);
    await plane.changeCohort('events', 'ada', 'canary', WHY);
    expect((await of(CANARY_POSITION)).sort()).toEqual(all);
    expect(await lines()).toHaveLength(3 * all.length + 2);
  });

  test('is found in any of several ranges of positions, and nowhere else', async () => {
    const { report } = await fleet(kind);
    await report([{ position: 12 }, { position: 31, target: 'old', kind: 'rejected', key: { id: 'x' } }]);
    const found = async (positions: Intervals) =>
      ((await storage?.read((tx) => dirtIn(tx, 'events', positions))) ?? []).map(({ range: [from] }) => from);
    for (const [positions, expected] of [
      [[[0, 12]], []],
      [[[0, 13]], [12]],
      [
        [
          [0, 5],
          [12, 13],
        ],
        [12],
      ],
      [
        [
          [0, 5],
          [13, 31],
          [32, 99],
        ],
        [],
      ],
      [
        [
          [12, 14],
          [20, 21],
          [30, 32],
        ],
        [12, 31],
      ],
    ] as const) {
      expect(await found(positions), JSON.stringify(positions)).toEqual(expected);
    }
  });

  test('is given by positions too, in the order of its lines', async () => {
    const { plane, report } = await fleet(kind);
    await report(upTo(40).map((n) => ({ position: 39 - n, key: { id: `${n}` } })));
    const of = async (within: Intervals | null, after = 0, limit = 100) =>
      (await plane.dirtOf('events', 'new', null, after, limit, within)).map(({ key }) => Number(key?.['id']));
    expect(await of(null)).toEqual(upTo(40));
    expect(await of([[10, 13]])).toEqual([27, 28, 29]);
    expect(
      await of([
        [10, 13],
        [30, 31],
      ]),
    ).toEqual([9, 27, 28, 29]);
    expect(
      await of(
        [
          [10, 13],
          [30, 31],
        ],
        0,
        2,
      ),
    ).toEqual([9, 27]);
    const [, last] = await plane.dirtOf('events', 'new', null, 0, 2, [
      [10, 13],
      [30, 31],
    ]);
    expect(
      await of(
        [
          [10, 13],
          [30, 31],
        ],
        last?.id,
      ),
    ).toEqual([28, 29]);
    expect(await of([[50, 60]])).toEqual([]);
    expect(await plane.dirt('events', null, 10, 0, 'rejected')).toEqual([]);
    await report([{ position: 3, kind: 'rejected', key: { id: 'x' } }]);
    expect(await plane.dirt('events', null, 10, 0, 'rejected')).toMatchObject([{ key: { id: 'x' } }]);
  });

  test('of every other position is replayed like any other, and named in short', async () => {
    const { plane, report, lines, begin } = await fleet(kind);
    const many = 12_000;
    for (let at = 0; at < many; at += 2_000) await report(upTo(2_000).map((n) => ({ position: 2 * (at + n) })));
    const positions = upTo(many).map((n) => [2 * n, 2 * n + 1] as const);
    await begin(positions);
    const { replay, resumed } = await begin(positions);
    expect(resumed).toBe(true);
    const drawn = (await plane.line('events')).dirty.new;
    expect(drawn.length).toBeLessThan(1_000);
    expect(positions.filter((range) => !overlaps(drawn, [range]))).toEqual([]);
    expect(await plane.endReplay(replay.id, 'r')).toMatchObject({ cleared: many });
    expect(await lines()).toEqual([]);
    for (const { summary } of await plane.history('events', { limit: 10 })) expect(summary.length).toBeLessThan(500);
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

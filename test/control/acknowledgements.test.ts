import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { ControlPlane } from '../../src/control/control-plane.ts';
import { stampCeiling } from '../../src/control/fleet-desk.ts';
import type { ControlStorage } from '../../src/control/storage.ts';
import type { NodeReport } from '../../src/core/control-client.ts';
import { makeStamp, STAMP_MIN } from '../../src/core/stamp.ts';
import { FreshStorages, STORAGES } from '../support/fresh-storages.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const storages = new FreshStorages();
let storage: ControlStorage | undefined;
afterEach(() => storage?.close());
afterAll(() => storages[Symbol.asyncDispose]());

const WHY = { actor: 'ada', reason: 'test' };
const node = { host: 'h', pid: 1, processId: 'p', version: '1', name: 'svc' };
const stamp = (ms: number) => makeStamp(ms, 0, 1);

const reportOf = (incarnation: number, revision: number, ms: number): NodeReport => ({
  ...{ incarnation, acknowledged: { events: revision }, dirt: [], divergences: [], shadow: [] },
  ...{ deadlineLimit: ms, stampLimit: stamp(ms) },
  health: {
    ...{ mirrorQueue: 0, shed: 0, operations: 0, errors: 0, memoryBytes: ms, aheadMs: 0 },
    highWater: stamp(ms),
  },
});

async function fleet(kind: (typeof STORAGES)[number]) {
  storage = await storages.open(kind);
  const kept = storage;
  const plane = new ControlPlane(kept, new VirtualClock(1_750_000_000_000));
  const join = async (session: string): Promise<number> => {
    const request = { session, attempt: 1, node, migrations: ['events'], deadlineLimit: 1, stampLimit: STAMP_MIN };
    return (await plane.join(request)).incarnation;
  };
  const rowOf = async (id: number) => {
    const [row] = await kept.read((tx) => tx.select('nodes', { id }));
    const [line] = await kept.read((tx) => tx.select('acknowledgements', { node: id }));
    return { ...row, acknowledged: line?.revision };
  };
  return { plane, join, rowOf, ceiling: () => kept.read((tx) => stampCeiling(tx)) };
}

/** The same report with dirt, which is not made at once. */
const dirty = (report: NodeReport): NodeReport => ({
  ...report,
  dirt: [
    {
      ...{ migration: 'events', target: 'new', kind: 'lost', position: 5, key: null, revision: 1 },
      ...{ cause: 'test', notBefore: null },
    },
  ],
});

describe.each(STORAGES)('acknowledgements, kept in %s', (kind) => {
  test.each([
    ['at once', (report: NodeReport) => report],
    ['with dirt', dirty],
  ])('are not lowered by a report that was overtaken, nor is what they stand on (R17), %s', async (_, late) => {
    const { plane, join, rowOf, ceiling } = await fleet(kind);
    const a = await join('a');
    expect((await plane.report(reportOf(a, 5, 900))).standing).toBe('member');
    expect((await plane.report(late(reportOf(a, 4, 800)))).standing).toBe('member');
    expect(await rowOf(a)).toMatchObject({
      ...{ acknowledged: 5, deadlineLimit: 900, stampLimit: stamp(900), highWater: stamp(900) },
    });
    expect(await ceiling()).toBe(stamp(900));
    await plane.report(late(reportOf(a, 6, 1_000)));
    expect(await rowOf(a)).toMatchObject({
      ...{ acknowledged: 6, deadlineLimit: 1_000, stampLimit: stamp(1_000), highWater: stamp(1_000) },
    });
  });

  test('are nobody’s who was buried or has left: nothing of such a report is kept (R9)', async () => {
    const { plane, join, rowOf } = await fleet(kind);
    const [dead, gone] = [await join('a'), await join('b')];
    await plane.bury({ incarnation: dead, deadlineLimit: 0, notBefore: null, ...WHY });
    await plane.leave(reportOf(gone, 2, 5));
    for (const id of [dead, gone]) {
      const before = await rowOf(id);
      expect(await plane.report(reportOf(id, 9, 900))).toEqual({ standing: 'dead' });
      expect(await rowOf(id)).toEqual(before);
    }
    expect(await plane.report(reportOf(4_000_000_000, 9, 900))).toEqual({ standing: 'dead' });
  });

  test('are nobody’s who has another one’s number, as after a control plane was restored from a copy (R1)', async () => {
    const { plane, join, rowOf } = await fleet(kind);
    const id = await join('a');
    const before = await rowOf(id);
    for (const report of [reportOf(id, 9, 900), dirty(reportOf(id, 9, 900))]) {
      expect(await plane.report({ ...report, session: 'stranger' })).toEqual({ standing: 'dead' });
      expect(await rowOf(id)).toEqual(before);
    }
    expect(await plane.report({ ...reportOf(id, 9, 900), session: 'a' })).toEqual({ standing: 'member' });
    expect(await rowOf(id)).toMatchObject({ acknowledged: 9 });
  });

  test('are waited for of those who were late, and no longer of who left or was buried meanwhile', async () => {
    const { plane, join } = await fleet(kind);
    const [a, b, c, d] = [await join('a'), await join('b'), await join('c'), await join('d')];
    const { revision } = await plane.changeSettings('events', { noOutsideWriters: true }, WHY);
    const late = (among: readonly number[] | null) =>
      plane.behind('events', revision, among).then((members) => members.map(({ incarnation }) => incarnation));
    expect(await late(null)).toEqual([a, b, c, d]);
    expect(await late([a, b, c, d])).toEqual([a, b, c, d]);
    await plane.report(reportOf(b, revision, 5));
    await plane.leave(reportOf(c, 1, 5));
    await plane.bury({ incarnation: d, deadlineLimit: 0, notBefore: null, ...WHY });
    expect(await late([a, b, c, d])).toEqual([a]);
    expect(await late([b, c, d])).toEqual([]);
    // Who comes now has joined under the revision.
    const e = await join('e');
    expect(await late(null)).toEqual([a]);
    expect(await late([a, e])).toEqual([a]);
    expect((await plane.behind('events', revision, [a]))[0]).toMatchObject({ incarnation: a, acknowledged: 1 });
  });
});

import { describe, expect, test } from 'vitest';
import { factsOf } from '../../src/control/facts.ts';
import { ensureMigration, join, report } from '../../src/control/fleet-desk.ts';
import { memoryStorage } from '../../src/control/memory-storage.ts';
import { COHORT_CHANGE, carried, publish } from '../../src/control/publish.ts';
import type { DirtRow, Transaction } from '../../src/control/storage.ts';
import { ALL, EVERY_BUCKET, KEPT_BACK_POSITION, NOBODY, WHOLE_LINE } from '../../src/core/dial.ts';
import { type Intervals, intervals } from '../../src/core/intervals.ts';
import { initialRuleset, Ruleset, type RulesetDocument } from '../../src/core/ruleset.ts';
import { makeStamp, StampClock, stampMs } from '../../src/core/stamp.ts';
import { acknowledgeable, Epoch, type InFlightWrite } from '../../src/repository/epoch.ts';
import { MIGRATION } from '../simulation/world.ts';
import { forced, keyOf, record, scenario, why } from './fleet.ts';

/** Runs a story in one transaction on a fresh control database with one migration. */
function transaction<T>(story: (tx: Transaction) => Promise<T>): Promise<T> {
  return memoryStorage().transaction(async (tx) => {
    await ensureMigration(tx, MIGRATION, 0);
    return story(tx);
  });
}

const rowOf = async (tx: Transaction) => (await factsOf(tx, MIGRATION, 0)).row;
const change = async (tx: Transaction, patch: Partial<RulesetDocument>, kind = 'move'): Promise<RulesetDocument> =>
  publish(tx, await rowOf(tx), patch, { ...why, kind, summary: kind }, 0);

/** What a process says that has nothing to tell. */
const node = { host: 'h', pid: 1, processId: '1', version: '0', name: 'n' };
const limits = { deadlineLimit: 1, stampLimit: makeStamp(1, 0, 0) };
const counts = { mirrorQueue: 0, shed: 0, operations: 0, errors: 0, memoryBytes: 0, aheadMs: 0 };
const health = { ...counts, highWater: makeStamp(0, 0, 0) };
const silent = { acknowledged: {}, dirt: [], divergences: [], shadow: [], health, ...limits };

describe('acknowledgeable (R7)', () => {
  const write: InFlightWrite = { unit: 'ada', abandon: () => {}, markMirror: () => {} };
  /** `5w` is revision 5 with a write in flight, `5r` with a read, `5d` one that drains reads. */
  const epochOf = (text: string): Epoch => {
    const document = {
      ...initialRuleset(MIGRATION),
      revision: Number.parseInt(text, 10),
      drainReads: text.includes('d'),
    };
    const epoch = new Epoch(new Ruleset(document));
    if (text.includes('w')) epoch.writes.add(write);
    if (text.includes('r')) epoch.reads = 1;
    return epoch;
  };
  test.each([
    ['nothing before the first revision', '', 0],
    ['the one revision there is', '5', 5],
    ['it too while its own writes are in flight', '5w', 5],
    ['the newest when nothing is in flight', '5 6 7', 7],
    ['no revision after one with a write in flight', '5w 6 7', 5],
    ['up to the first revision with a write in flight', '5 6w 7', 6],
    ['the first of several with writes in flight', '5w 6w 7w', 5],
    ['the newest in spite of reads', '5r 6r 7', 7],
    ['no revision that drains reads while an earlier read goes on', '5r 6 7d', 6],
    ['nor any after it', '5r 6d 7', 5],
    ['a revision that drains reads once they have ended', '5 6 7d', 7],
    ['a revision that drains reads in spite of its own', '5 6 7rd', 7],
    ['writes before reads', '5w 6r 7d', 5],
    ['reads of the revision that a write holds up', '5r 6w 7d', 6],
  ])('says %s', (_, epochs, expected) => {
    expect(acknowledgeable(epochs.split(' ').filter(Boolean).map(epochOf))).toBe(expected);
  });
});

scenario(
  'an acknowledgement waits until the last line of too much dirt for one report is handed over (R7)',
  async (fleet) => {
    const [a] = await fleet.start();
    await fleet.dualWrite();
    const heal = fleet.cut(a!, (method) => method === 'report');
    const session = a!.session.migration(MIGRATION);
    const before = session.epoch.revision;
    for (let n = 0; n < 4_500; n += 1) {
      const line = { target: 'new', kind: 'lost', cause: 'test', notBefore: null } as const;
      session.markDirty({ ...line, position: n, key: keyOf('ada', String(n)), revision: before });
    }
    await fleet.plane.changeSettings(MIGRATION, { breakerFailures: 6 }, why);
    const { revision } = await fleet.document();
    await fleet.until(() => session.acknowledgeable() === revision);
    fleet.reports.length = 0;
    heal();
    await fleet.settled();
    const own = fleet.reports.filter(({ from }) => from === a!.process.name).map(({ report }) => report);
    const lines = own.map(({ dirt }) => dirt.length);
    expect([lines[0], lines[1], lines[2]]).toEqual([2_000, 2_000, 500]);
    expect(own.map(({ acknowledged }) => acknowledged[MIGRATION]).slice(0, 3)).toEqual([
      undefined,
      undefined,
      revision,
    ]);
  },
);

describe('stamps above a floor (R17)', () => {
  const floor = makeStamp(9_000, 7, 0xffff_ffff);
  test('every stamp is above an observed floor, whatever the clock says', () => {
    for (const now of [0, 8_999, 9_000, 9_001, 20_000]) {
      const clock = new StampClock({ now: () => now }, 1);
      clock.observe(floor);
      const first = clock.next();
      expect(first > floor).toBe(true);
      expect(clock.next() > first).toBe(true);
    }
  });
  test('a floor below what was issued changes nothing', () => {
    const clock = new StampClock({ now: () => 10_000 }, 1);
    const before = clock.next();
    clock.observe(floor);
    const after = clock.next();
    expect([stampMs(after), after > before]).toEqual([10_000, true]);
  });
  scenario(
    'nodes observe the floor with the revision that brings it, and report that they may go above it',
    async (fleet) => {
      const [a] = await fleet.start();
      await fleet.dualWrite();
      const { membership } = a!.session.migration(MIGRATION);
      // The control plane itself knows nothing of that revision.
      fleet.cut(a!, (method) => method === 'rulesets');
      const high = makeStamp(fleet.world.clock.now() + 500_000_000, 3, 9);
      a!.session.migration(MIGRATION).apply({ ...(await fleet.document()), revision: 1_000, stampFloor: high });
      expect(membership.stamps.next() > high).toBe(true);
      await fleet.sleep(1_000);
      await a!.repository.put(record('ada', 'first'));
      expect(fleet.entry('old', 'ada')!.stamp! > high).toBe(true);
      expect((await fleet.plane.fleet('alive'))[0]!.node.stampLimit > fleet.entry('old', 'ada')!.stamp!).toBe(true);
    },
  );
});

describe('dirt of units that changed their cohort (R18)', () => {
  const at = (position: number): Intervals => [[position, position + 1]];
  const story = transaction(async (tx) => {
    const bucket = new Ruleset(initialRuleset(MIGRATION)).position('ada');
    const [other] = ['bob', 'cyd'].map((unit) => new Ruleset(initialRuleset(MIGRATION)).position(unit));
    const first = await change(tx, { cohorts: { canary: ['ada'], keptBack: [] } }, COHORT_CHANGE);
    const second = await change(tx, { cohorts: { canary: [], keptBack: ['ada'] } }, COHORT_CHANGE);
    const since = (revision: number, positions: Intervals) => carried(tx, MIGRATION, positions, revision);
    return {
      bucket,
      beforeBoth: await since(first.revision - 1, at(bucket)),
      between: await since(first.revision, at(-1)),
      bucketBetween: await since(first.revision, at(bucket)),
      afterBoth: await since(second.revision, at(KEPT_BACK_POSITION)),
      others: await since(first.revision - 1, at(other as number)),
      otherPosition: other as number,
    };
  });
  test('counts at every position that the unit has taken since', async () => {
    const { bucket, beforeBoth, between } = await story;
    expect(beforeBoth).toEqual(
      intervals([
        [-1, 0],
        [bucket, bucket + 1],
        [KEPT_BACK_POSITION, ALL],
      ]),
    );
    expect(between).toEqual(
      intervals([
        [-1, 0],
        [KEPT_BACK_POSITION, ALL],
      ]),
    );
  });
  test('stays where it is when the unit had left before, and for other units', async () => {
    const { bucket, bucketBetween, afterBoth, others, otherPosition } = await story;
    expect(bucketBetween).toEqual(at(bucket));
    expect(afterBoth).toEqual(at(KEPT_BACK_POSITION));
    expect(others).toEqual(at(otherPosition));
  });
  test('each line of a report from its own revision on', async () => {
    const rows = await transaction(async (tx) => {
      const member = { session: 's', attempt: 1, node, migrations: [MIGRATION], ...limits };
      const { incarnation } = await join(tx, member, 0);
      const bucket = new Ruleset(initialRuleset(MIGRATION)).position('ada');
      const first = await change(tx, { cohorts: { canary: ['ada'], keptBack: [] } }, COHORT_CHANGE);
      const second = await change(tx, { cohorts: { canary: [], keptBack: ['ada'] } }, COHORT_CHANGE);
      const line = { migration: MIGRATION, target: 'new', kind: 'lost', notBefore: null } as const;
      const dirt = [
        { ...line, cause: 'now', key: { id: '1' }, position: KEPT_BACK_POSITION, revision: second.revision },
        { ...line, cause: 'between', key: { id: '2' }, position: -1, revision: first.revision },
        { ...line, cause: 'before', key: { id: '3' }, position: bucket, revision: first.revision - 1 },
      ];
      await report(tx, { ...silent, incarnation, dirt }, 0);
      const positionsOf = async (cause: string) =>
        (await tx.select('dirt', { cause })).map(({ fromPosition }) =>
          fromPosition === bucket ? 'its' : fromPosition,
        );
      return {
        now: await positionsOf('now'),
        between: await positionsOf('between'),
        before: await positionsOf('before'),
      };
    });
    expect(rows.now).toEqual([KEPT_BACK_POSITION]);
    expect(rows.between.sort()).toEqual([-1, KEPT_BACK_POSITION].sort());
    expect(new Set(rows.before)).toEqual(new Set(['its', -1, KEPT_BACK_POSITION]));
  });
});

describe('a replay clears what was dirty before it began, and no more (R10)', () => {
  const line = (from: number, to: number): DirtRow => ({
    id: 0,
    migration: MIGRATION,
    target: 'new',
    kind: 'lost',
    fromPosition: from,
    toPosition: to,
    keyId: null,
    key: null,
    cause: 'test',
    at: 0,
    revision: 1,
    notBefore: null,
  });
  scenario(
    'later dirt, dirt outside of its range, of the other direction, rejected and not yet ripe dirt stay',
    async (fleet) => {
      await fleet.start();
      await fleet.dualWrite();
      const dirty = (kind: 'lost' | 'rejected', target: 'old' | 'new', position: number, notBefore: number | null) => ({
        migration: MIGRATION,
        target,
        kind,
        position,
        key: null,
        revision: 1,
        cause: 'test',
        notBefore,
      });
      const [a] = fleet.world.nodes;
      // Whoever reported last is another session.
      const { session: _, ...last } = fleet.reports.at(-1)!.report;
      const report = (dirt: readonly ReturnType<typeof dirty>[]) =>
        fleet.plane.report({
          ...last,
          incarnation: a!.session.incarnation!,
          dirt,
          divergences: [],
          shadow: [],
        });
      const ripe = fleet.world.databases.old.now();
      await report([
        dirty('lost', 'new', 10, null),
        dirty('lost', 'new', 11, ripe),
        dirty('lost', 'new', 12, ripe + 60_000),
        dirty('lost', 'new', 60_000, null),
        dirty('lost', 'old', 13, null),
        dirty('rejected', 'new', 14, null),
      ]);
      const { replay, partitions } = await fleet.plane.beginReplay({
        migration: MIGRATION,
        kind: 'repair',
        target: 'new',
        positions: [[0, 50_000]],
        mapping: 'sim',
        runner: 'test',
        leaseMs: 10_000,
        estimate: null,
        sourceTime: ripe,
        partitions: [{ id: 'all' }],
        ...why,
      });
      await report([dirty('lost', 'new', 15, null)]);
      const done = { cursor: null, done: true, scanned: 0, applied: 0, skipped: 0, rejected: 0 };
      await fleet.plane.checkpoint(replay.id, 'test', 10_000, 0, [{ partition: partitions[0]!.id, ...done }]);
      expect(await fleet.plane.endReplay(replay.id, 'test')).toEqual({ covered: [], cleared: 2 });
      expect((await fleet.dirtLines()).sort()).toEqual([
        'new lost 12–13',
        'new lost 15–16',
        'new lost 60000–60001',
        'new rejected 14–15',
        'old lost 13–14',
      ]);
    },
  );
  test('a line that reaches beyond the range keeps its rest', async () => {
    const { replays } = { replays: await import('../../src/control/replays.ts') };
    const left = await transaction(async (tx) => {
      await change(tx, { stamping: 'on', dials: { ...initialRuleset(MIGRATION).dials, dualWrite: ALL } });
      await tx.insert('dirt', line(100, 300));
      const { replay } = await replays.beginReplay(
        tx,
        {
          migration: MIGRATION,
          kind: 'repair',
          target: 'new',
          positions: [[150, 200]],
          mapping: 'm',
          runner: 'r',
          leaseMs: 1,
          estimate: null,
          sourceTime: 0,
          partitions: [],
          ...why,
        },
        0,
      );
      await (await import('../../src/control/replay-end.ts')).endReplay(tx, replay.id, 'r', 0);
      return tx.select('dirt', { migration: MIGRATION });
    });
    expect(left.map(({ fromPosition, toPosition }) => [fromPosition, toPosition])).toEqual([
      [100, 150],
      [200, 300],
    ]);
  });
});

describe('coverage goes with the mirror, in the same transaction (R11)', () => {
  const dials = (dualWrite: number, cutover = NOBODY, retireOld = false) => ({
    dualWrite,
    shadowRead: NOBODY,
    cutover,
    retireOld,
  });
  const coverage = async (tx: Transaction) => {
    const { coverageOld, coverageNew } = await rowOf(tx);
    return { old: coverageOld, new: coverageNew };
  };
  const covered = async (tx: Transaction, before: ReturnType<typeof dials>) => {
    await change(tx, { stamping: 'on', dials: before });
    await tx.update(
      'migrations',
      { name: MIGRATION },
      { coverageOld: WHOLE_LINE, coverageNew: [[-1, before.dualWrite]] },
    );
  };
  test.each([
    ['dual-write down', dials(ALL), dials(50_000), { old: WHOLE_LINE, new: [[-1, 50_000]] }],
    ['dual-write to nobody', dials(ALL), dials(NOBODY), { old: WHOLE_LINE, new: [] }],
    [
      'dual-write down above the cutover',
      dials(ALL, 20_000),
      dials(30_000, 20_000),
      { old: WHOLE_LINE, new: [[-1, 30_000]] },
    ],
    ['retire-old', dials(ALL, ALL), dials(ALL, ALL, true), { old: [], new: WHOLE_LINE }],
    ['cutover alone', dials(ALL), dials(ALL, ALL), { old: WHOLE_LINE, new: WHOLE_LINE }],
    ['dual-write up', dials(EVERY_BUCKET), dials(ALL), { old: WHOLE_LINE, new: [[-1, EVERY_BUCKET]] }],
  ])('%s', async (_, before, after, expected) => {
    const found = await transaction(async (tx) => {
      await covered(tx, before);
      await change(tx, { dials: after });
      return coverage(tx);
    });
    expect(found).toEqual(expected);
  });
  test('a running replay does not cover what lost its mirror meanwhile, even if it is on again', async () => {
    const coverable = await transaction(async (tx) => {
      const { beginReplay } = await import('../../src/control/replays.ts');
      await change(tx, { stamping: 'on', dials: dials(ALL) });
      const { replay } = await beginReplay(
        tx,
        {
          migration: MIGRATION,
          kind: 'backfill',
          target: 'new',
          positions: null,
          mapping: 'm',
          runner: 'r',
          leaseMs: 1,
          estimate: null,
          sourceTime: 0,
          partitions: [],
          ...why,
        },
        0,
      );
      await change(tx, { dials: dials(40_000) });
      await change(tx, { dials: dials(ALL) });
      return (await tx.select('replays', { id: replay.id }))[0]!.coverable;
    });
    expect(coverable).toEqual([[-1, 40_000]]);
  });
});

describe('stamping (R16)', () => {
  test('each step waits until all have acknowledged the one before', async () => {
    const { localControlPlane } = await import('../../src/control/control-plane.ts');
    const storage = memoryStorage();
    const plane = localControlPlane(storage, { now: () => 0, monotonic: () => 0, after: () => ({ cancel: () => {} }) });
    await plane.ensureMigration(MIGRATION);
    const { incarnation } = await storage.transaction((tx) =>
      join(tx, { session: 's', attempt: 1, node, migrations: [MIGRATION], ...limits }, 0),
    );
    await plane.changeSettings(MIGRATION, { noOutsideWriters: true }, why);
    const acknowledge = async () => {
      const { revision } = await plane.ruleset(MIGRATION);
      const acknowledged = { [MIGRATION]: revision };
      await plane.report({ ...silent, incarnation, acknowledged });
    };
    const stamping = async () => (await plane.ruleset(MIGRATION)).stamping;
    const mirrorOn = async () => {
      const evidence = { prepared: { old: true, new: true }, findings: { old: [], new: [] }, mapping: 'm' };
      const answer = await plane.move({
        migration: MIGRATION,
        move: { dial: 'dual-write', to: ALL },
        evidence,
        dryRun: false,
        ifRevision: null,
        ...forced,
      });
      return answer.next;
    };
    // It has not even acknowledged the settings.
    expect((await plane.advanceStamping(MIGRATION, why))?.waitingFor).toMatchObject([{ incarnation }]);
    expect([await stamping(), await mirrorOn()]).toEqual(['off', 'stamping']);
    await acknowledge();
    await plane.advanceStamping(MIGRATION, why);
    expect([await stamping(), await mirrorOn()]).toEqual(['starting', 'stamping']);
    expect((await plane.advanceStamping(MIGRATION, why))?.waitingFor).toMatchObject([{ incarnation }]);
    expect([await stamping(), await mirrorOn()]).toEqual(['starting', 'stamping']);
    expect((await plane.ruleset(MIGRATION)).dials.dualWrite).toBe(NOBODY);
    await acknowledge();
    await plane.advanceStamping(MIGRATION, why);
    // `starting` is acknowledged: the mirror may go on with, or after, the revision that sets `on`.
    expect([await stamping(), await mirrorOn()]).toEqual(['on', 'done']);
    expect(await plane.advanceStamping(MIGRATION, why)).toBeNull();
  });
});

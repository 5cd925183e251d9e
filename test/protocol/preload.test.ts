import { expect } from 'vitest';
import type { ControlStorage, Transaction } from '../../src/control/storage.ts';
import { ALL } from '../../src/core/dial.ts';
import { FleetTimeout, GatesRefused } from '../../src/core/errors.ts';
import type { RulesetDocument } from '../../src/core/ruleset.ts';
import { STAMP_MIN } from '../../src/core/stamp.ts';
import { MIGRATION } from '../simulation/world.ts';
import { type Fleet, failure, forced, keyOf, record, SETTINGS, scenario, why } from './fleet.ts';

const on = { dial: 'dual-write', to: ALL } as const;
const mirrorOff = (fleet: Fleet): Promise<void> => fleet.set('dual-write', -1);

/** The gates by which an attempt is refused, with what they say. */
async function refusal(attempt: Promise<unknown>): Promise<Readonly<Record<string, string>>> {
  const error = await failure(attempt);
  expect(error).toBeInstanceOf(GatesRefused);
  const failed = (error as GatesRefused).gates.filter(({ passed }) => !passed);
  return Object.fromEntries(failed.map(({ gate, evidence }) => [gate, evidence]));
}

/** A look at the row of the preload, past the control plane. */
function peeking() {
  let rows: ControlStorage | undefined;
  return {
    storage: (real: ControlStorage): ControlStorage => {
      rows = real;
      return real;
    },
    row: async () => (await rows!.read((tx) => tx.select('replays', { kind: 'preload' }))).at(-1)!,
  };
}
const [killed, resumed] = [peeking(), peeking()];

/** Both stores hold the same values; what was written plainly has a stamp of its own only in the new one. */
function expectSame(fleet: Fleet): void {
  const [old, fresh] = (['old', 'new'] as const).map((side) =>
    fleet.world.databases[side].snapshot().map(({ id, stamp, value }) => ({ id, stamp: stamp ?? STAMP_MIN, value })),
  );
  expect(fresh).toStrictEqual(old);
}

/** A batch of a preload that has no answer, is sent again, and arrives once more after `lateMs`. */
async function preloadedLate(fleet: Fleet, lateMs: number) {
  const [a] = await fleet.start();
  await a!.repository.put(record('ada', 'first'));
  await a!.repository.put(record('bob', 'first'));
  const { controller, process } = await fleet.operator();
  const late = fleet.strike([{ process }, 'new', 'load'], { kind: 'late', lateMs, caller: 'unknown' }, 2);
  const summary = await controller.preload(why);
  expect(late.count).toBeGreaterThan(0);
  late.stop();
  expect([summary.applied, fleet.held('new', 'ada')]).toEqual([2, 'first']);
  return { a: a!, controller };
}

/** What comes after a preload: dual-write, newer writes, the backfill that makes coverage. */
async function goOn(fleet: Fleet, { a, controller }: Awaited<ReturnType<typeof preloadedLate>>): Promise<void> {
  await controller.set(on, forced);
  await a.repository.put(record('ada', 'second'));
  await a.repository.delete(keyOf('bob'));
  await controller.backfill(why);
  expect((await fleet.coverage()).new).toBe(100);
}

scenario(
  'does not let dual-write rise before a batch without an answer can arrive no more (scenario 38)',
  async (fleet) => {
    const scene = await preloadedLate(fleet, 600);
    const before = await fleet.document();
    expect(await refusal(scene.controller.set(on, forced))).toEqual({
      preload: expect.stringMatching(/^a batch of the preload had no answer and may arrive for another 1 s$/),
    });
    expect(await fleet.document()).toEqual(before);
    await fleet.sleep(SETTINGS.putTimeoutMs! + 500);
    await goOn(fleet, scene);
    await fleet.sleep(5_000);
    expectSame(fleet);
    expect([fleet.held('new', 'ada'), fleet.held('new', 'bob')]).toEqual(['second', null]);
  },
);

scenario(
  'waits as much longer as a store may be late that looks at no deadline (scenario 38)',
  async (fleet) => {
    const scene = await preloadedLate(fleet, 9_000);
    for (const waitMs of [SETTINGS.putTimeoutMs! + 500, 7_000]) {
      await fleet.sleep(waitMs);
      expect(Object.keys(await refusal(scene.controller.set(on, forced)))).toEqual(['preload']);
    }
    await fleet.sleep(12_000 - 7_000);
    await goOn(fleet, scene);
    await fleet.sleep(20_000);
    expectSame(fleet);
    expect([fleet.held('new', 'ada'), fleet.held('new', 'bob')]).toEqual(['second', null]);
  },
  { capabilities: { lateBoundMs: 12_000 } },
);

scenario(
  'lets it rise at once where every batch was definite, and the backfill puts only what differs',
  async (fleet) => {
    const [a] = await fleet.start();
    for (const unit of ['ada', 'bob', 'eve', 'mia']) await a!.repository.put(record(unit, 'first'));
    const { controller } = await fleet.operator();
    const summary = await controller.preload(why);
    expect(summary).toMatchObject({ kind: 'preload', scanned: 4, applied: 4, covered: [], clearedDirt: 0 });
    expect(await fleet.document()).toMatchObject({ stamping: 'on', dials: { dualWrite: -1 } });
    expect((await fleet.coverage()).new).toBe(0);
    await a!.repository.put(record('ada', 'second'));
    expect(fleet.held('new', 'ada'), 'nothing is mirrored yet').toBe('first');
    await controller.set(on, forced);
    expect(await controller.backfill(why)).toMatchObject({ scanned: 4, applied: 1, skipped: 3 });
    await fleet.set('cutover', ALL);
    expectSame(fleet);
  },
);

/** A control plane that does not know of preloads when a dial is moved: the rule is gone. */
const withoutTheGate = (real: ControlStorage): ControlStorage => {
  const blind = (tx: Transaction): Transaction => ({
    insert: (table, row) => tx.insert(table, row),
    insertMany: (table, rows) => tx.insertMany(table, rows),
    count: (table, where) => tx.count(table, where),
    update: (table, where, change, options) => tx.update(table, where, change, options),
    remove: (table, where) => tx.remove(table, where),
    select: (async (table: 'replays', where: { readonly kind?: string; readonly state?: string }, page: undefined) =>
      table === 'replays' && where.kind === 'preload' && where.state === undefined
        ? []
        : tx.select(table, where as never, page)) as Transaction['select'],
  });
  return {
    transaction: (body) => real.transaction((tx) => body(blind(tx))),
    read: (body) => real.read((tx) => body(blind(tx))),
    transactionAtOnce: (body) => real.transactionAtOnce((tx) => body(blind(tx))),
    readAtOnce: (body) => real.readAtOnce((tx) => body(blind(tx))),
    watch: (changed, options) => real.watch(changed, options),
    prepare: () => real.prepare(),
    close: () => real.close(),
  };
};

scenario(
  'sabotaged: without its gate, the late batch goes over a newer mirror write and a delete',
  async (fleet) => {
    const scene = await preloadedLate(fleet, 600);
    await goOn(fleet, scene);
    expectSame(fleet);
    await fleet.sleep(5_000);
    expect([fleet.held('old', 'ada'), fleet.held('new', 'ada')]).toEqual(['second', 'first']);
    expect([fleet.held('old', 'bob'), fleet.held('new', 'bob')]).toEqual([null, 'first']);
    expect(await fleet.dirtLines(), 'and nobody knows').toEqual([]);
  },
  { storage: withoutTheGate },
);

scenario('carries a delete from between the preload and dual-write over (scenario 39)', async (fleet) => {
  const [a] = await fleet.start();
  await a!.repository.put(record('ada', 'first'));
  const { controller } = await fleet.operator();
  await controller.preload(why);
  expect(await a!.repository.delete(keyOf('ada'))).toBe(true);
  expect(fleet.held('old', 'ada'), 'a tombstone').toBeNull();
  expect(fleet.held('new', 'ada')).toBe('first');
  await controller.set(on, forced);
  await controller.backfill(why);
  expectSame(fleet);
  expect(fleet.held('new', 'ada')).toBeNull();
});

scenario(
  'waits for the bound of a preloader that was killed, cancelled or taken over (scenario 40)',
  async (fleet) => {
    const [a] = await fleet.start();
    await a!.repository.put(record('ada', 'first'));
    const { controller, process } = await fleet.operator();
    const sent = fleet.holdUp([{ process }, 'new', 'load']);
    fleet.begin(controller.preload(why));
    await sent.hit;
    const { deadline } = fleet.sent.findLast(({ op }) => op === 'load')!;
    process.kill();
    const { controller: other } = await fleet.operator();
    expect(await refusal(other.set(on, forced))).toEqual({ preload: 'a preload of the new store is under way' });
    expect(await fleet.plane.cancelReplay(MIGRATION, 'preload', 'new', why)).toBe(true);
    expect(Object.keys(await refusal(other.set(on, forced)))).toEqual(['preload']);
    const { deadlineLimit, looseUntil } = await killed.row();
    expect(looseUntil).toBe(deadlineLimit);
    expect(deadlineLimit).toBeGreaterThanOrEqual(deadline!);
    await fleet.until(() => fleet.world.databases.new.now() > deadlineLimit + 1_000);
    await other.set(on, forced);
    await a!.repository.put(record('ada', 'second'));
    await other.backfill(why);
    sent.release();
    await fleet.sleep(100);
    expect(fleet.held('new', 'ada'), 'too late').toBe('second');
    expectSame(fleet);
  },
  killed,
);

scenario(
  'goes on from the checkpoints of a killed preloader, whose bound then counts too',
  async (fleet) => {
    const [a] = await fleet.start();
    for (const unit of ['ada', 'bob', 'eve']) await a!.repository.put(record(unit, 'first'));
    const { controller, process } = await fleet.operator();
    const sent = fleet.holdUp([{ process }, 'new', 'load']);
    fleet.begin(controller.preload(why));
    await sent.hit;
    process.kill();
    const { looseUntil: limit } = await resumed.row();
    expect(limit).toBeGreaterThan(0);
    const { controller: other } = await fleet.operator();
    const busy = await failure(other.preload(why));
    expect(busy.code).toBe('BUSY');
    await fleet.sleep(11_000);
    expect(await other.preload(why)).toMatchObject({ resumed: true, scanned: 3 });
    expect((await resumed.row()).looseUntil, 'the new one left nothing open').toBe(limit);
    await other.set(on, forced);
    await other.backfill(why);
    expectSame(fleet);
  },
  resumed,
);

scenario('does not begin before everybody stamps (scenario 41)', async (fleet) => {
  const [a, b] = await fleet.start();
  await fleet.settled();
  await b!.repository.put(record('ada', 'first'));
  const heal = fleet.deaf(b!, (document: RulesetDocument) => document.stamping !== 'off');
  const { controller } = await fleet.operator();
  expect(await failure(controller.preload(why))).toBeInstanceOf(FleetTimeout);
  expect(await fleet.document()).toMatchObject({ stamping: 'starting' });
  const asked = {
    migration: MIGRATION,
    evidence: { prepared: { old: true, new: true }, findings: { old: [], new: [] }, mapping: 'sim' },
    ...{ mapping: 'sim', runner: 'x', leaseMs: 1, estimate: null, sourceTime: 0, partitions: [], dryRun: false },
    ...why,
  };
  expect(Object.keys(await refusal(fleet.plane.beginPreload(asked)))).toEqual(['fleet']);
  // Physically: a preload that had read it would bring it back.
  expect(await b!.repository.delete(keyOf('ada'))).toBe(true);
  expect(fleet.snapshot()).toEqual({ old: [], new: [] });
  heal();
  await a!.repository.put(record('bob', 'first'));
  expect(await controller.preload(why)).toMatchObject({ scanned: 1, applied: 1 });
  await controller.set(on, forced);
  await controller.backfill(why);
  expectSame(fleet);
});

scenario('goes over what the new store has from an earlier time of dual-write (scenario 42)', async (fleet) => {
  const [a] = await fleet.start();
  await fleet.dualWrite();
  for (const unit of ['ada', 'bob', 'eve']) await a!.repository.put(record(unit, 'first'));
  await fleet.sleep(50);
  await mirrorOff(fleet);
  await a!.repository.put(record('ada', 'second'));
  await a!.repository.delete(keyOf('bob'));
  const { controller } = await fleet.operator();
  expect(await controller.preload(why)).toMatchObject({ scanned: 3, applied: 3 });
  expectSame(fleet);
  expect((await fleet.coverage()).new).toBe(0);
  await controller.set(on, forced);
  expect(await controller.backfill(why)).toMatchObject({ applied: 0, skipped: 3 });
  expectSame(fleet);
});

scenario('does not go over what only the new store has acknowledged (scenario 43)', async (fleet) => {
  const [a] = await fleet.start();
  await fleet.live();
  const failing = fleet.strike([a!, 'old', 'putIfNewer'], { kind: 'fail' }, 50);
  await a!.repository.put(record('ada', 'only new'));
  await fleet.until(async () => (await fleet.dirt('old')).length > 0);
  failing.stop();
  const { controller } = await fleet.operator();
  await controller.emergency(forced);
  await mirrorOff(fleet);
  expect(await refusal(controller.preload(why))).toEqual({ dirty: expect.stringMatching(/dirty/) });
  expect(fleet.held('new', 'ada')).toBe('only new');
  await fleet.sleep(SETTINGS.putTimeoutMs! + 5_000);
  await controller.repair(why);
  await controller.preload(why);
  expect(fleet.held('old', 'ada')).toBe('only new');
  await controller.set(on, forced);
  await controller.backfill(why);
  expectSame(fleet);
});

scenario('is refused by its gates where others may write to the new store, and changes nothing', async (fleet) => {
  await fleet.start(1, { noOutsideWriters: false });
  const { controller } = await fleet.operator();
  const before = await fleet.document();
  expect(Object.keys(await refusal(controller.preload(why)))).toEqual(['outside-writers']);
  expect(await fleet.document()).toEqual(before);
  expect(await controller.previewPreload(why)).toMatchObject({ stamping: true });
  await fleet.plane.changeSettings(MIGRATION, { noOutsideWriters: true }, why);
  await fleet.set('dual-write', ALL);
  expect(Object.keys(await refusal(controller.preload(why)))).toEqual(['mirror-off']);
  expect(fleet.world.databases.new.calls('load')).toBe(0);
});

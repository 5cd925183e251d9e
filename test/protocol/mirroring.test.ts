import { expect } from 'vitest';
import { ALL, CANARY, EVERY_BUCKET } from '../../src/core/dial.ts';
import { GatesRefused, InvalidArgument } from '../../src/core/errors.ts';
import { MIGRATION } from '../simulation/world.ts';
import { type Fleet, failure, forced, keyOf, record, scenario, why } from './fleet.ts';

/** The gates that refused, where nothing may have changed. */
async function refusedGates(fleet: Fleet, attempt: () => Promise<unknown>): Promise<string[]> {
  const [document, stores] = [await fleet.document(), fleet.snapshot()];
  const error = await failure(attempt());
  expect(error).toBeInstanceOf(GatesRefused);
  expect(await fleet.document()).toEqual(document);
  expect(fleet.snapshot()).toEqual(stores);
  return (error as GatesRefused).gates.filter((gate) => !gate.passed && !gate.advice).map(({ gate }) => gate);
}

scenario(
  'does not acknowledge the mirror while a lead put from before it has no answer (scenario 5)',
  async (fleet) => {
    const [a, b] = await fleet.start();
    await fleet.stamped();
    const unanswered = fleet.holdUp([a!, 'old', 'putIfNewer'], 'answer');
    const put = fleet.begin(a!.repository.put(record('ada', 'first')));
    await unanswered.hit;
    const { controller } = await fleet.operator();
    const setting = fleet.begin(controller.set({ dial: 'dual-write', to: ALL }, forced));
    await fleet.until(async () => (await fleet.document()).dials.dualWrite === ALL);
    const { revision } = await fleet.document();
    await fleet.until(() => fleet.applied(a!) === revision, 'a has the revision');
    await fleet.until(async () => !(await fleet.behind(revision)).includes(b!.session.incarnation!));
    await fleet.sleep(600);
    expect(await fleet.behind(revision)).toEqual([a!.session.incarnation]);
    expect([put.state, setting.state]).toEqual(['pending', 'pending']);
    unanswered.release();
    await put.promise;
    await setting.promise;
    expect(await fleet.behind(revision)).toEqual([]);
    // It ran under the revision that it began under: a backfill brings it, no mirror.
    expect(fleet.held('old', 'ada')).toBe('first');
    expect(fleet.sentBy(a!, 'new', 'putIfNewer')).toEqual([]);
    await fleet.backfill();
    fleet.expectEqual();
  },
);

scenario('does not begin a backfill before a put from before the mirror has ended (scenario 6)', async (fleet) => {
  const [a] = await fleet.start();
  await fleet.stamped();
  const slow = fleet.holdUp([a!, 'old', 'putIfNewer']);
  const put = fleet.begin(a!.repository.put(record('ada', 'first')));
  await slow.hit;
  const { controller } = await fleet.operator();
  const setting = fleet.begin(controller.set({ dial: 'dual-write', to: ALL }, forced));
  await fleet.until(() => a!.session.migration(MIGRATION).epoch.ruleset.document.dials.dualWrite === ALL);
  const { controller: other } = await fleet.operator();
  const backfill = fleet.begin(other.backfill(why));
  await fleet.sleep(500);
  const request = { migration: MIGRATION, kind: 'backfill', target: 'new', positions: null, mapping: 'sim' } as const;
  const more = { runner: 'x', leaseMs: 1, estimate: null, sourceTime: 0, partitions: [], ...why };
  expect(await refusedGates(fleet, () => fleet.plane.beginReplay({ ...request, ...more }))).toEqual(['fleet']);
  expect(fleet.world.databases.old.calls('scan')).toBe(0);
  expect([put.state, setting.state, backfill.state]).toEqual(['pending', 'pending', 'pending']);
  expect(fleet.held('old', 'ada')).toBeUndefined();
  slow.release();
  await put.promise;
  await setting.promise;
  await backfill.promise;
  expect(fleet.held('new', 'ada')).toBe('first');
  expect((await fleet.coverage()).new).toBe(100);
  fleet.expectEqual();
});

scenario('keeps a key dirty whose mirror failed after the replay had passed it (scenario 7)', async (fleet) => {
  const [a] = await fleet.start();
  await fleet.stamped();
  await a!.repository.put(record('ada', 'first'));
  await fleet.set('dual-write', ALL);
  const { controller, process } = await fleet.operator();
  const passed = fleet.holdUp([{ process }, 'new', 'putManyIfNewer'], 'answer');
  const backfill = fleet.begin(controller.backfill(why));
  await passed.hit;
  await fleet.until(() => fleet.held('new', 'ada') === 'first');
  const failing = fleet.strike([a!, 'new', 'putIfNewer'], { kind: 'fail' }, 1_000);
  await a!.repository.put(record('ada', 'second'));
  await fleet.until(async () => (await fleet.dirt()).length > 0, 'the dirt');
  expect(backfill.state).toBe('pending');
  passed.release();
  await backfill.promise;
  expect(await fleet.dirtLines()).toEqual(['new lost ada/1']);
  expect(fleet.held('new', 'ada')).toBe('first');
  expect((await fleet.coverage()).new).toBe(100);
  const { controller: other } = await fleet.operator();
  expect(await refusedGates(fleet, () => other.set({ dial: 'cutover', to: ALL }, forced))).toEqual(['dirty']);
  failing.stop();
  await fleet.repair();
  expect(await fleet.dirtLines()).toEqual([]);
  fleet.expectEqual();
});

scenario(
  'forgets the coverage of a mirror that was turned off, so that a row deleted meanwhile stays absent (scenario 20)',
  async (fleet) => {
    const [a] = await fleet.start();
    await fleet.dualWrite();
    await a!.repository.put(record('ada', 'first'));
    await fleet.settled();
    await fleet.sleep(10);
    expect(fleet.held('new', 'ada')).toBe('first');
    await fleet.set('dual-write', -1);
    expect((await fleet.coverage()).new).toBe(0);
    expect(await a!.repository.delete(keyOf('ada'))).toBe(true);
    await fleet.set('dual-write', ALL);
    expect([fleet.held('old', 'ada'), fleet.held('new', 'ada')]).toEqual([null, 'first']);
    const { controller } = await fleet.operator();
    expect(await refusedGates(fleet, () => controller.set({ dial: 'cutover', to: ALL }, forced))).toEqual(['coverage']);
    await fleet.backfill();
    await fleet.set('cutover', ALL);
    expect(await a!.repository.get(keyOf('ada'))).toBeUndefined();
    expect(fleet.held('new', 'ada')).toBeNull();
    fleet.expectEqual();
  },
);

scenario(
  'refuses to wipe while both stores are in use, and after retire, wipe, backfill and going back the row is absent (scenario 21)',
  async (fleet) => {
    const [a, b] = await fleet.start();
    await fleet.live();
    await a!.repository.put(record('ada', 'first'));
    const { controller } = await fleet.operator();
    const stores = fleet.snapshot();
    expect(await failure(controller.finish(why))).toBeInstanceOf(InvalidArgument);
    await controller.set({ dial: 'retire-old', to: true }, forced);
    await fleet.settled();
    expect(fleet.snapshot()).toEqual(stores);
    expect((await fleet.coverage()).old).toBe(0);
    expect(await a!.repository.delete(keyOf('ada'))).toBe(true);
    expect([fleet.held('old', 'ada'), fleet.held('new', 'ada')]).toEqual(['first', null]);
    // A node that has not acknowledged keeps everything where it is, tombstones included.
    const heal = fleet.cut(b!, (method) => method === 'report');
    expect((await failure(controller.finish(why))).code).toBe('FLEET_TIMEOUT');
    expect(fleet.held('new', 'ada')).toBeNull();
    expect(await fleet.document()).toMatchObject({ stamping: 'starting', finished: false });
    heal();
    await fleet.settled();
    await controller.set({ dial: 'retire-old', to: false }, forced);
    // An end that was begun and given up leaves nothing behind.
    expect(await fleet.document()).toMatchObject({ stamping: 'on', drainReads: false });
    const back = { dial: 'cutover', to: -1 } as const;
    expect(await refusedGates(fleet, () => controller.set(back, forced))).toEqual(['coverage']);
    const { process } = await fleet.operator('wiper');
    await (await fleet.world.store(process, 'old')).wipe({});
    expect(fleet.held('old', 'ada')).toBeUndefined();
    await fleet.backfill('old');
    await controller.set(back, forced);
    await fleet.settled();
    expect(await a!.repository.get(keyOf('ada'))).toBeUndefined();
    expect(await b!.repository.get(keyOf('ada'))).toBeUndefined();
    fleet.expectEqual();
  },
);

scenario(
  'refuses to cut a unit over that was pinned to off and written meanwhile, until a replay (scenario 34)',
  async (fleet) => {
    const [a] = await fleet.start();
    await fleet.dualWrite(EVERY_BUCKET);
    await a!.repository.put(record('ada', 'first'));
    await fleet.sleep(10);
    expect(fleet.held('new', 'ada')).toBe('first');
    const { controller } = await fleet.operator();
    await controller.cohort('ada', 'kept-back', why);
    await a!.repository.put(record('ada', 'second'));
    await controller.cohort('ada', null, why);
    await fleet.settled();
    expect([fleet.held('old', 'ada'), fleet.held('new', 'ada')]).toEqual(['second', 'first']);
    expect((await fleet.coverage()).new).toBeLessThan(100);
    const move = { dial: 'cutover', to: EVERY_BUCKET } as const;
    expect(await refusedGates(fleet, () => controller.set(move, forced))).toEqual(['coverage']);
    await fleet.backfill();
    await controller.set(move, forced);
    await fleet.settled();
    expect(a!.repository.route('ada').authority).toBe('new');
    expect(await a!.repository.get(keyOf('ada'))).toEqual(record('ada', 'second'));
    fleet.expectEqual();
  },
);

scenario(
  'counts a mirror failure that is reported after its unit moved at the new position too, which is not handed over (scenario 35)',
  async (fleet) => {
    const [a] = await fleet.start();
    await fleet.dualWrite();
    const failing = fleet.strike([a!, 'new', 'putIfNewer'], { kind: 'fail' }, 1_000);
    await a!.repository.put(record('ada', 'first'));
    await failing.hit;
    const bucket = await fleet.position('ada');
    const heal = fleet.cut(a!);
    const { next } = await fleet.plane.changeCohort(MIGRATION, unitOf(fleet), 'canary', why);
    expect(next).toBe('done');
    expect(await fleet.position('ada')).toBe(-1);
    expect(await fleet.dirtLines()).toEqual([]);
    await fleet.sleep(2_000);
    heal();
    await fleet.settled();
    const dirt = await fleet.dirt('new');
    expect(dirt.map(({ fromPosition }) => fromPosition).sort((x, y) => x - y)).toEqual([-1, bucket]);
    const { controller } = await fleet.operator();
    const move = { dial: 'cutover', to: CANARY } as const;
    expect(await refusedGates(fleet, () => controller.set(move, forced))).toEqual(['dirty']);
    failing.stop();
    await fleet.sleep(2_000);
    await fleet.repair();
    expect(await fleet.dirtLines()).toEqual([]);
    await fleet.backfill();
    await controller.set(move, forced);
    await fleet.settled();
    expect(await a!.repository.get(keyOf('ada'))).toEqual(record('ada', 'first'));
    fleet.expectEqual();
  },
);

scenario(
  'does not hand over what the follower rejects until it is rewritten and accepted (scenario 36)',
  async (fleet) => {
    const [a] = await fleet.start();
    await fleet.dualWrite();
    const reject = { kind: 'reject', reason: 'constraint' } as const;
    const rejecting = fleet.strike([a!, 'new', 'putIfNewer'], reject, 1_000);
    await a!.repository.put(record('ada', 'refused'));
    await fleet.until(async () => (await fleet.dirt()).length > 0, 'the dirt');
    expect(await fleet.dirtLines()).toEqual(['new rejected ada/1']);
    expect((await fleet.coverage()).new).toBe(100);
    const { controller, process } = await fleet.operator();
    const move = { dial: 'cutover', to: ALL } as const;
    expect(await refusedGates(fleet, () => controller.set(move, forced))).toEqual(['rejected']);
    // Neither a replay that ends nor a repair that meets the same refusal clears it.
    const replayed = fleet.strike([{ process }, 'new', 'putManyIfNewer'], reject, 1_000);
    await controller.backfill(why);
    expect((await controller.repair(why)).rejected).toEqual({ old: 0, new: 1 });
    expect(replayed.count).toBeGreaterThan(1);
    expect(await fleet.dirtLines()).toEqual(['new rejected ada/1']);
    expect(await refusedGates(fleet, () => controller.set(move, forced))).toEqual(['rejected']);
    rejecting.stop();
    replayed.stop();
    await a!.repository.put(record('ada', 'accepted'));
    await fleet.until(() => fleet.held('new', 'ada') === 'accepted');
    await controller.repair(why);
    expect(await fleet.dirtLines()).toEqual([]);
    await controller.set(move, forced);
    await fleet.settled();
    expect(await a!.repository.get(keyOf('ada'))).toEqual(record('ada', 'accepted'));
    fleet.expectEqual();
  },
);

scenario(
  'does not hand over a delete that the follower refuses: what it still holds would come back (scenario 36)',
  async (fleet) => {
    const [a] = await fleet.start();
    await fleet.dualWrite();
    await fleet.backfill();
    await a!.repository.put(record('ada', 'kept'));
    await fleet.until(() => fleet.held('new', 'ada') === 'kept');
    // A record of another table points at it, say.
    const reject = { kind: 'reject', reason: 'constraint' } as const;
    const rejecting = fleet.strike([a!, 'new', 'putIfNewer'], reject, 1_000);
    await a!.repository.delete(keyOf('ada'));
    await fleet.until(async () => (await fleet.dirt()).length > 0, 'the dirt');
    expect(await fleet.dirtLines()).toEqual(['new rejected ada/1']);
    const { controller, process } = await fleet.operator();
    const move = { dial: 'cutover', to: ALL } as const;
    const replayed = fleet.strike([{ process }, 'new', 'putManyIfNewer'], reject, 1_000);
    expect((await controller.repair(why)).rejected).toEqual({ old: 0, new: 1 });
    expect(await refusedGates(fleet, () => controller.set(move, forced))).toEqual(['rejected']);
    rejecting.stop();
    replayed.stop();
    await controller.repair(why);
    expect(await fleet.dirtLines()).toEqual([]);
    await controller.set(move, forced);
    await fleet.settled();
    expect(await a!.repository.get(keyOf('ada'))).toBeUndefined();
    fleet.expectEqual();
  },
);

const unitOf = (fleet: Fleet): string => fleet.world.keys.unit({ unit: 'ada' });

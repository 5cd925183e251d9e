import { expect } from 'vitest';
import { ALL, NOBODY } from '../../src/core/dial.ts';
import { GatesRefused, HandoverInProgress, NotRegistered } from '../../src/core/errors.ts';
import { MIGRATION, type SimNode } from '../simulation/world.ts';
import { type Fleet, failure, forced, keyOf, record, scenario, why } from './fleet.ts';

const incarnation = (node: SimNode): number => node.session.incarnation as number;

/** The control plane's word on an incarnation. */
async function rowOf(fleet: Fleet, id: number) {
  return (await fleet.plane.fleet(null)).find(({ node }) => node.id === id)!.node;
}

scenario(
  'does not write under a revision that a node knows from before until it has registered (scenario 15)',
  async (fleet) => {
    await fleet.start();
    await fleet.dualWrite();
    const cached = await fleet.document();
    await fleet.set('cutover', ALL);
    const heal = fleet.cut('node-3', (method) => method === 'join');
    const starting = fleet.begin(fleet.world.startNode());
    await fleet.sleep(100);
    const joiner = fleet.world.nodes[2]!;
    expect(await failure(joiner.repository.put(record('ada', 'too early')))).toBeInstanceOf(NotRegistered);
    joiner.session.migration(MIGRATION).apply(cached);
    expect(await failure(joiner.repository.put(record('ada', 'too early')))).toBeInstanceOf(NotRegistered);
    expect(await failure(joiner.repository.update(keyOf('ada'), () => record('ada', 'too early')))).toBeInstanceOf(
      NotRegistered,
    );
    expect(starting.state).toBe('pending');
    expect(fleet.sent.filter(({ from }) => from === 'node-3')).toEqual([]);
    expect(fleet.snapshot()).toEqual({ old: [], new: [] });
    heal();
    await starting.promise;
    await joiner.repository.put(record('ada', 'first'));
    expect(fleet.sent.filter(({ from }) => from === 'node-3').map(({ side }) => side)).toEqual(['new', 'old']);
    fleet.expectEqual();
  },
);

scenario(
  'blocks the move after a crash between lead put and mirror until the deadline limit has passed and a repair is done (scenario 16)',
  async (fleet) => {
    const [a, b] = await fleet.start();
    await fleet.dualWrite();
    const unsent = fleet.strike([a!, 'new', 'putIfNewer'], { kind: 'hang', applied: false });
    await a!.repository.put(record('ada', 'first'));
    await unsent.hit;
    fleet.world.crash(a!);
    const { deadlineLimit } = await rowOf(fleet, incarnation(a!));
    const { controller } = await fleet.operator();
    const move = { dial: 'cutover', to: ALL } as const;
    expect(await failure(controller.set(move, forced))).toBeInstanceOf(HandoverInProgress);
    await fleet.sleep(3_000);
    await controller.tend(why);
    expect(await rowOf(fleet, incarnation(a!))).toMatchObject({ state: 'alive' });
    expect(await fleet.dirtLines()).toEqual([]);
    // The store that it led decides: a late mirror put brings nothing that a repair does not.
    const { old } = fleet.world.databases;
    await fleet.sleep(deadlineLimit - 10 - old.now());
    await controller.tend(why);
    expect(await rowOf(fleet, incarnation(a!))).toMatchObject({ state: 'alive' });
    await fleet.sleep(deadlineLimit + 10 - old.now());
    await controller.tend(why);
    expect(await rowOf(fleet, incarnation(a!))).toMatchObject({ state: 'dead' });
    expect(await fleet.dirtLines()).toEqual([`new lost -1–${ALL}`]);
    const refused = await failure(controller.set(move, forced));
    expect((refused as GatesRefused).gates.filter(({ passed, advice }) => !passed && !advice)).toMatchObject([
      { gate: 'dirty' },
    ]);
    expect((await fleet.document()).dials.cutover).toBe(NOBODY);
    expect(fleet.held('new', 'ada')).toBeUndefined();
    await controller.repair(why);
    await controller.set(move, forced);
    await fleet.settled();
    expect(await b!.repository.get(keyOf('ada'))).toEqual(record('ada', 'first'));
    fleet.expectEqual();
  },
  { leaseMs: 8_000, probe: () => 'unknown' },
);

scenario(
  'takes an operator’s word for the end of a node that nobody can look at, unless it is heard',
  async (fleet) => {
    const [a, b] = await fleet.start();
    await fleet.dualWrite();
    const { controller } = await fleet.operator();
    const say = (node: SimNode) => fleet.plane.declareEnded(MIGRATION, incarnation(node), why);
    expect((await failure(say(a!))).code).toBe('INVALID_ARGUMENT');
    expect((await failure(fleet.plane.declareEnded(MIGRATION, 4_711, why))).code).toBe('INVALID_ARGUMENT');
    // One is cut off and comes back after the word was given; the other has ended.
    const heal = fleet.cut(b!, (method) => method === 'report');
    fleet.world.crash(a!);
    await fleet.sleep(6_000);
    await say(a!);
    await say(b!);
    heal();
    await fleet.sleep(1_500);
    expect(await rowOf(fleet, incarnation(a!))).toMatchObject({ state: 'alive' });
    await fleet.until(async () => {
      await controller.tend(why);
      return (await rowOf(fleet, incarnation(a!))).state === 'dead';
    });
    expect(await fleet.dirtLines()).toEqual([`new lost -1–${ALL}`]);
    await fleet.sleep(3_000);
    // It was heard after the word: it is silent once more, and nobody knows why.
    fleet.cut(b!, (method) => method === 'report');
    for (let looks = 0; looks < 10; looks += 1) {
      await fleet.sleep(3_000);
      await controller.tend(why);
    }
    expect(await rowOf(fleet, incarnation(b!))).toMatchObject({ state: 'alive' });
    await controller.repair(why);
    fleet.expectEqual();
  },
  { leaseMs: 3_600_000, probe: () => 'unknown' },
);

scenario('lets a dead node’s late put expire, and repairs one that arrived in time (scenario 17)', async (fleet) => {
  const [a, b] = await fleet.start();
  await fleet.dualWrite();
  await b!.repository.put(record('ada', 'before'));
  fleet.strike([a!, 'old', 'putIfNewer'], { kind: 'late', lateMs: 20_000, caller: 'hang' });
  fleet.begin(a!.repository.put(record('ada', 'late')));
  fleet.strike([a!, 'old', 'putIfNewer'], { kind: 'late', lateMs: 500, caller: 'hang' });
  fleet.begin(a!.repository.put(record('bob', 'in time')));
  await fleet.until(() => fleet.sentBy(a!, 'old', 'putIfNewer').length === 2);
  fleet.world.crash(a!);
  await fleet.sleep(400);
  expect(fleet.held('old', 'bob')).toBeUndefined();
  const { controller } = await fleet.operator();
  await fleet.until(async () => {
    await controller.tend(why);
    return (await rowOf(fleet, incarnation(a!))).state === 'dead';
  });
  expect(fleet.held('old', 'bob')).toBe('in time');
  expect(await fleet.dirtLines()).toEqual([`new lost -1–${ALL}`]);
  await controller.repair(why);
  expect(fleet.held('new', 'bob')).toBe('in time');
  expect(fleet.world.databases.old.calls('putIfNewer')).toBe(2);
  await fleet.sleep(20_000);
  expect(fleet.world.databases.old.calls('putIfNewer')).toBe(3);
  expect(fleet.held('old', 'ada')).toBe('before');
  expect(await fleet.dirtLines()).toEqual([]);
  fleet.expectEqual();
});

scenario('repairs both directions after a crash while either store leads a part (scenario 18)', async (fleet) => {
  const [a] = await fleet.start();
  await fleet.dualWrite();
  const [x, y] = [await fleet.position('ada'), await fleet.position('bob')];
  const [low, high] = x < y ? ['ada', 'bob'] : ['bob', 'ada'];
  await fleet.set('cutover', Math.min(x, y) + 1);
  const toNew = fleet.holdUp([a!, 'new', 'putIfNewer']);
  await a!.repository.put(record(high, 'led by old'));
  await toNew.hit;
  // The caller of a write that the new store leads waits for its mirror, and dies with its node.
  const toOld = fleet.holdUp([a!, 'old', 'putIfNewer']);
  const waiting = fleet.begin(a!.repository.put(record(low, 'led by new')));
  await toOld.hit;
  fleet.world.crash(a!);
  expect([fleet.held('old', high), fleet.held('new', high)]).toEqual(['led by old', undefined]);
  expect([fleet.held('old', low), fleet.held('new', low)]).toEqual([undefined, 'led by new']);
  const { controller } = await fleet.operator();
  await fleet.until(async () => {
    await controller.tend(why);
    return (await rowOf(fleet, incarnation(a!))).state === 'dead';
  });
  const border = Math.min(x, y) + 1;
  expect((await fleet.dirtLines()).sort()).toEqual([`new lost ${border}–${ALL}`, `old lost -1–${border}`]);
  await controller.repair(why);
  expect(await fleet.dirtLines()).toEqual([]);
  expect([fleet.held('old', low), fleet.held('new', high)]).toEqual(['led by new', 'led by old']);
  fleet.expectEqual();
  expect(waiting.state).toBe('pending');
  await controller.rollback(forced);
  fleet.expectEqual();
});

scenario(
  'lets the puts of a node expire that was declared dead and is alive; it returns only as a new incarnation (scenario 19)',
  async (fleet) => {
    const [a, b] = await fleet.start();
    await fleet.dualWrite();
    await b!.repository.put(record('ada', 'before'));
    await fleet.settled();
    const before = incarnation(a!);
    const heal = fleet.cut(a!);
    const { deadlineLimit } = await rowOf(fleet, before);
    // The last put that it may send: its deadline is the limit.
    const { old } = fleet.world.databases;
    await fleet.sleep(deadlineLimit - 800 - old.now() - 1);
    const flying = fleet.holdUp([a!, 'old', 'putIfNewer']);
    const put = fleet.begin(a!.repository.put(record('ada', 'late')));
    await flying.hit;
    expect(fleet.sentBy(a!, 'old', 'putIfNewer').at(-1)!.deadline).toBeLessThanOrEqual(deadlineLimit);
    const { controller } = await fleet.operator();
    await controller.tend(why);
    expect(await rowOf(fleet, before)).toMatchObject({ state: 'alive' });
    await fleet.sleep(deadlineLimit - old.now() + 1);
    await controller.tend(why);
    expect(await rowOf(fleet, before)).toMatchObject({ state: 'dead' });
    expect(put.state).toBe('pending');
    const stores = fleet.snapshot();
    flying.release();
    expect(await failure(put.promise)).toBeInstanceOf(NotRegistered);
    const sent = fleet.sent.length;
    expect(await failure(a!.repository.put(record('ada', 'later')))).toBeInstanceOf(NotRegistered);
    expect(fleet.sent).toHaveLength(sent);
    expect(fleet.snapshot()).toEqual(stores);
    heal();
    await fleet.until(() => incarnation(a!) !== before, 'a new incarnation');
    expect(incarnation(a!)).toBeGreaterThan(incarnation(b!));
    expect(await rowOf(fleet, before)).toMatchObject({ state: 'dead' });
    await a!.repository.put(record('ada', 'after'));
    expect(await b!.repository.get(keyOf('ada'))).toEqual(record('ada', 'after'));
    await controller.repair(why);
    fleet.expectEqual();
  },
  { leaseMs: 8_000, probe: () => 'unknown' },
);

scenario(
  'does not repair before the deadline of a crashed node’s re-sent copy has passed (scenario 25)',
  async (fleet) => {
    const [a] = await fleet.start(2, { putTimeoutMs: 5_000, operationTimeoutMs: 10_000 });
    await fleet.dualWrite();
    fleet.strike([a!, 'old', 'putIfNewer'], { kind: 'lose-request', answerMs: 1_500 });
    const second = fleet.strike([a!, 'old', 'putIfNewer'], { kind: 'late', lateMs: 4_900, caller: 'hang' });
    fleet.begin(a!.repository.put(record('ada', 'first')));
    await second.hit;
    fleet.world.crash(a!);
    const [one, two] = fleet.sentBy(a!, 'old', 'putIfNewer').map(({ deadline }) => deadline!);
    const { old } = fleet.world.databases;
    const { controller } = await fleet.operator();
    const tend = async (): Promise<string> => {
      await controller.tend(why);
      return (await rowOf(fleet, incarnation(a!))).state;
    };
    while (old.now() <= one!) {
      expect(await tend()).toBe('alive');
      await fleet.sleep(100);
    }
    // Only the first deadline has passed, and the second copy is still on its way.
    expect(old.now()).toBeLessThan(two!);
    expect(fleet.held('old', 'ada')).toBeUndefined();
    expect(await tend()).toBe('alive');
    expect(await fleet.dirtLines()).toEqual([]);
    await fleet.until(async () => (await tend()) === 'dead');
    expect(old.now()).toBeGreaterThan(two!);
    expect(fleet.held('old', 'ada')).toBe('first');
    expect(await fleet.dirtLines()).toEqual([`new lost -1–${ALL}`]);
    await controller.repair(why);
    expect(await fleet.dirtLines()).toEqual([]);
    fleet.expectEqual();
  },
);

scenario(
  'keeps the dirt of a repair whose controller was killed in the middle, for a successor to go on with (scenario 33)',
  async (fleet) => {
    const [a, b] = await fleet.start();
    await fleet.dualWrite();
    const failing = fleet.strike([b!, 'new', 'putIfNewer'], { kind: 'fail' }, 1_000);
    await b!.repository.put(record('dan', 'of dan'));
    await fleet.until(async () => (await fleet.dirt()).length === 1);
    failing.stop();
    const { controller: first, process } = await fleet.operator();
    // Its key is put, and not yet cleared.
    const middle = fleet.holdUp([{ process }, 'new', 'putManyIfNewer'], 'answer');
    fleet.begin(first.repair(why));
    await middle.hit;
    await fleet.until(() => fleet.held('new', 'dan') === 'of dan');
    process.kill();
    middle.release();
    await fleet.sleep(1_000);
    expect(await fleet.dirtLines()).toEqual(['new lost dan/1']);
    fleet.strike([a!, 'new', 'putIfNewer'], { kind: 'hang', applied: false }, 10);
    for (const unit of ['ada', 'bob', 'cyd']) await a!.repository.put(record(unit, `of ${unit}`));
    fleet.world.crash(a!);
    const { controller: keeper } = await fleet.operator();
    await fleet.until(async () => {
      await keeper.tend(why);
      return (await rowOf(fleet, incarnation(a!))).state === 'dead';
    });
    const dirt = await fleet.dirtLines();
    expect(dirt.toSorted()).toEqual([`new lost -1–${ALL}`, 'new lost dan/1']);
    // A page of the range, the key in it.
    const { controller: second, process: another } = await fleet.operator();
    const scanning = fleet.holdUp([{ process: another }, 'new', 'putManyIfNewer'], 'answer');
    fleet.begin(second.repair(why));
    await scanning.hit;
    await fleet.sleep(10);
    another.kill();
    scanning.release();
    await fleet.sleep(1_000);
    expect(await fleet.plane.runningReplay(MIGRATION, 'repair', 'new')).toMatchObject({
      runner: expect.stringMatching(`^${another.name}/`),
    });
    expect(await fleet.dirtLines()).toEqual(dirt);
    const { controller } = await fleet.operator();
    expect(await failure(controller.set({ dial: 'cutover', to: ALL }, forced))).toBeInstanceOf(GatesRefused);
    // Nobody takes a replay over before its runner's lease has ended.
    expect((await failure(controller.repair(why))).code).toBe('BUSY');
    await fleet.sleep(10_000);
    await controller.repair(why);
    expect(await fleet.dirtLines()).toEqual([]);
    expect(['ada', 'bob', 'cyd', 'dan'].map((unit) => fleet.held('new', unit))).toEqual([
      'of ada',
      'of bob',
      'of cyd',
      'of dan',
    ]);
    fleet.expectEqual();
  },
);

scenario(
  'sends no mirror put with a deadline that is later than what its process promised the fleet (R9)',
  async (fleet) => {
    const [a] = await fleet.start(2, { putTimeoutMs: 200, operationTimeoutMs: 1_000, mirrorTimeoutMs: 5_000 });
    await fleet.dualWrite();
    const heal = fleet.cut(a!, (method) => method === 'report');
    const { deadlineLimit } = await rowOf(fleet, incarnation(a!));
    await fleet.sleep(deadlineLimit - 2_000 - fleet.world.databases.new.now());
    await a!.repository.put(record('ada', 'just in time'));
    await fleet.until(() => fleet.held('new', 'ada') === 'just in time');
    const [mirrored] = fleet.sentBy(a!, 'new', 'putIfNewer');
    expect(mirrored!.deadline).toBeGreaterThan(fleet.world.databases.new.now());
    expect(mirrored!.deadline).toBeLessThanOrEqual(deadlineLimit);
    expect((await rowOf(fleet, incarnation(a!))).deadlineLimit).toBe(deadlineLimit);
    heal();
    fleet.expectEqual();
  },
  { leaseMs: 8_000 },
);

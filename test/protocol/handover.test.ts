import { expect } from 'vitest';
import { ALL, NOBODY } from '../../src/core/dial.ts';
import { HandoverInProgress } from '../../src/core/errors.ts';
import { Ruleset } from '../../src/core/ruleset.ts';
import { MIGRATION, type SimNode } from '../simulation/world.ts';
import { type Fleet, failure, forced, keyOf, record, scenario, why } from './fleet.ts';

/** Steps a handover by hand until it waits or is through. */
async function step(
  fleet: Fleet,
): Promise<{ readonly state: string; readonly step: string; readonly waitingFor: number[] }> {
  const { state, step: at, waitingFor } = await fleet.plane.stepHandover(MIGRATION);
  return { state, step: at, waitingFor: waitingFor.map(({ incarnation }) => incarnation) };
}

const incarnation = (node: SimNode): number => node.session.incarnation as number;
const moved = (document: {
  readonly handover: { readonly movedAt: number | null; readonly cancelled: boolean } | null;
}): boolean => document.handover !== null && document.handover.movedAt !== null && !document.handover.cancelled;

scenario('does not acknowledge a hold while a mirror put of the range is under way (scenario 8)', async (fleet) => {
  const [a, b] = await fleet.start(2, { acknowledgeGraceMs: 60_000 });
  await fleet.dualWrite();
  const mirror = fleet.holdUp([a!, 'new', 'putIfNewer']);
  await a!.repository.put(record('ada', 'first'));
  await mirror.hit;
  const { revision } = await fleet.hold(ALL);
  await fleet.until(() => fleet.applied(a!) === revision);
  await fleet.until(async () => !(await fleet.behind(revision)).includes(incarnation(b!)));
  await fleet.sleep(600);
  expect(await fleet.behind(revision)).toEqual([incarnation(a!)]);
  expect(await step(fleet)).toEqual({ state: 'waiting', step: 'hold', waitingFor: [incarnation(a!)] });
  expect((await fleet.document()).dials.cutover).toBe(NOBODY);
  mirror.release();
  await fleet.until(async () => (await fleet.behind(revision)).length === 0);
  expect(await fleet.dirtLines()).toEqual([]);
  expect(await step(fleet)).toMatchObject({ state: 'stepped', step: 'move' });
  fleet.expectEqual();
});

scenario(
  'carries the dirt of a mirror that fails under the hold with the acknowledgement, and drains it before authority moves (scenario 9)',
  async (fleet) => {
    const [a] = await fleet.start();
    await fleet.dualWrite();
    const failing = fleet.strike([a!, 'new', 'putIfNewer'], { kind: 'fail' }, 1_000);
    await a!.repository.put(record('ada', 'first'));
    await failing.hit;
    const heal = fleet.cut(a!, (method) => method === 'report');
    const { revision } = await fleet.hold(ALL);
    await fleet.sleep(500);
    expect(a!.session.migration(MIGRATION).acknowledgeable()).toBe(revision);
    expect(await fleet.dirtLines()).toEqual([]);
    expect(await step(fleet)).toEqual({ state: 'waiting', step: 'hold', waitingFor: [incarnation(a!)] });
    heal();
    await fleet.until(async () => (await fleet.behind(revision)).length === 0);
    const acknowledging = fleet.reports.find(
      ({ from, report }) => from === a!.process.name && report.acknowledged[MIGRATION] === revision,
    );
    expect(acknowledging?.report.dirt).toMatchObject([{ target: 'new', kind: 'lost', key: keyOf('ada') }]);
    expect(await fleet.dirtLines()).toEqual(['new lost ada/1']);
    expect(await step(fleet)).toMatchObject({ state: 'waiting', step: 'drain' });
    expect((await fleet.document()).dials.cutover).toBe(NOBODY);
    expect(fleet.held('new', 'ada')).toBeUndefined();
    const { controller } = await fleet.operator();
    await controller.finishHandover(why);
    await fleet.settled();
    expect(await fleet.document()).toMatchObject({ handover: null, dials: { cutover: ALL } });
    expect(await fleet.dirtLines()).toEqual([]);
    expect(await a!.repository.get(keyOf('ada'))).toEqual(record('ada', 'first'));
    fleet.expectEqual();
  },
);

scenario(
  'finishes a compare-and-set in flight under the old authority and runs the queued update on the new one (scenario 10)',
  async (fleet) => {
    const [a, b] = await fleet.start();
    await fleet.dualWrite();
    await a!.repository.put(record('ada', '0'));
    await fleet.sleep(10);
    const append = (node: SimNode, seen: unknown[]) =>
      node.repository.update(keyOf('ada'), (present) => {
        seen.push(present?.value);
        return record('ada', `${present?.value}+${node === a ? 'a' : 'b'}`);
      });
    const flying = fleet.holdUp([a!, 'old', 'compareAndSet']);
    const [seenByA, seenByB]: [unknown[], unknown[]] = [[], []];
    const first = fleet.begin(append(a!, seenByA));
    await flying.hit;
    const { controller } = await fleet.operator();
    const cutover = fleet.begin(controller.set({ dial: 'cutover', to: ALL }, forced));
    await fleet.until(
      () => b!.repository.route('ada').hold === 'writes' && a!.repository.route('ada').hold === 'writes',
    );
    const second = fleet.begin(append(b!, seenByB));
    await fleet.sleep(300);
    expect([first.state, second.state, cutover.state]).toEqual(['pending', 'pending', 'pending']);
    expect((await fleet.document()).dials.cutover).toBe(NOBODY);
    flying.release();
    await Promise.all([first.promise, second.promise, cutover.promise]);
    await fleet.settled();
    expect(seenByA).toEqual(['0']);
    expect(seenByB.at(-1)).toBe('0+a');
    expect(fleet.sentBy(b!, 'old', 'compareAndSet')).toEqual([]);
    expect(fleet.sentBy(b!, 'new', 'compareAndSet')).toHaveLength(1);
    expect(await a!.repository.get(keyOf('ada'))).toEqual(record('ada', '0+a+b'));
    fleet.expectEqual();
  },
);

scenario(
  'lets nodes on either side of a change of authority read equal values while writes are still queued (scenario 11)',
  async (fleet) => {
    const [a, b] = await fleet.start();
    await fleet.dualWrite();
    await a!.repository.put(record('ada', 'first'));
    await fleet.sleep(10);
    const heal = fleet.deaf(b!, moved);
    const hold = await fleet.hold(ALL);
    await fleet.until(async () => (await fleet.behind(hold.revision)).length === 0);
    expect(await step(fleet)).toMatchObject({ state: 'stepped', step: 'move' });
    const { revision } = await fleet.document();
    await fleet.until(() => fleet.applied(a!) === revision);
    const put = fleet.begin(a!.repository.put(record('ada', 'second')));
    await fleet.sleep(500);
    expect([a!.repository.route('ada').authority, b!.repository.route('ada').authority]).toEqual(['new', 'old']);
    expect(await a!.repository.get(keyOf('ada'))).toEqual(record('ada', 'first'));
    expect(await b!.repository.get(keyOf('ada'))).toEqual(record('ada', 'first'));
    expect(fleet.sentBy(a!, 'new', 'get')).toHaveLength(1);
    expect(fleet.sentBy(b!, 'old', 'get')).toHaveLength(1);
    expect(await step(fleet)).toEqual({ state: 'waiting', step: 'move', waitingFor: [incarnation(b!)] });
    expect(put.state).toBe('pending');
    heal();
    await fleet.until(async () => (await fleet.behind(revision)).length === 0);
    expect(await step(fleet)).toMatchObject({ state: 'stepped', step: 'done' });
    await put.promise;
    expect(await b!.repository.get(keyOf('ada'))).toEqual(record('ada', 'second'));
    await fleet.settled();
    fleet.expectEqual();
  },
);

scenario(
  'gives authority back under the hold when a node does not acknowledge its change, and loses no write (scenario 12)',
  async (fleet) => {
    const [a, b] = await fleet.start();
    await fleet.dualWrite();
    await a!.repository.put(record('ada', 'first'));
    await fleet.sleep(10);
    fleet.deaf(b!, moved);
    const { controller } = await fleet.operator();
    const cutover = fleet.begin(controller.set({ dial: 'cutover', to: ALL }, forced));
    await fleet.until(async () => moved(await fleet.document()));
    const put = fleet.begin(a!.repository.put(record('ada', 'second')));
    expect(await failure(cutover.promise)).toBeInstanceOf(HandoverInProgress);
    await put.promise;
    await fleet.settled();
    const history = (await fleet.plane.history(MIGRATION, { limit: 4 })).map(({ after }) => after!).reverse();
    expect(history.map(({ dials, handover }) => [dials.cutover, handover?.cancelled])).toEqual([
      [NOBODY, false],
      [ALL, false],
      [NOBODY, true],
      [NOBODY, undefined],
    ]);
    expect(fleet.sent.filter(({ op, value }) => op === 'putIfNewer' && value === 'second')[0]?.side).toBe('old');
    for (const node of [a!, b!]) {
      expect(node.repository.route('ada')).toMatchObject({ authority: 'old', hold: 'nothing' });
      expect(await node.repository.get(keyOf('ada'))).toEqual(record('ada', 'second'));
    }
    await fleet.sleep(10);
    fleet.expectEqual();
    expect(await fleet.dirtLines()).toEqual([]);
  },
);

scenario(
  'keeps a hold whose controller stopped until a successor goes on with it or cancels it (scenario 13)',
  async (fleet) => {
    const [a, b] = await fleet.start();
    await fleet.dualWrite();
    await a!.repository.put(record('ada', 'first'));
    await fleet.sleep(10);
    const abandon = async (to: number): Promise<void> => {
      const { controller, process } = await fleet.operator();
      fleet.killBefore(process, 'stepHandover');
      fleet.begin(controller.set({ dial: 'cutover', to }, forced));
      await fleet.until(() => !process.alive && a!.repository.route('ada').hold === 'writes');
      await fleet.until(() => b!.repository.route('ada').hold === 'writes');
    };
    await abandon(ALL);
    const before = fleet.snapshot();
    const { revision } = await fleet.document();
    const waiting = fleet.begin(a!.repository.put(record('ada', 'too early')));
    expect(await failure(waiting.promise)).toBeInstanceOf(HandoverInProgress);
    await fleet.sleep(60_000);
    expect(await failure(b!.repository.put(record('ada', 'too early')))).toBeInstanceOf(HandoverInProgress);
    expect((await fleet.document()).revision).toBe(revision);
    expect(fleet.snapshot()).toEqual(before);
    expect(await a!.repository.get(keyOf('ada'))).toEqual(record('ada', 'first'));
    const { controller: successor } = await fleet.operator();
    await successor.finishHandover(why);
    await fleet.settled();
    expect(a!.repository.route('ada')).toMatchObject({ authority: 'new', hold: 'nothing' });
    await a!.repository.put(record('ada', 'second'));
    await abandon(NOBODY);
    await fleet.plane.cancelHandover(MIGRATION, why);
    await fleet.settled();
    expect(b!.repository.route('ada')).toMatchObject({ authority: 'new', hold: 'nothing' });
    await b!.repository.put(record('ada', 'third'));
    expect(await a!.repository.get(keyOf('ada'))).toEqual(record('ada', 'third'));
    fleet.expectEqual();
  },
);

scenario(
  'makes a node that joins under a hold queue its writes, and requires its acknowledgement (scenario 14)',
  async (fleet) => {
    const [a] = await fleet.start();
    await fleet.dualWrite();
    const hold = await fleet.hold(ALL);
    await fleet.until(async () => (await fleet.behind(hold.revision)).length === 0);
    const joiner = await fleet.world.startNode();
    expect(fleet.applied(joiner)).toBe(hold.revision);
    const put = fleet.begin(joiner.repository.put(record('ada', 'first')));
    await fleet.sleep(300);
    expect(put.state).toBe('pending');
    const heal = fleet.deaf(joiner, moved);
    expect(await step(fleet)).toMatchObject({ state: 'stepped', step: 'move' });
    const { revision } = await fleet.document();
    await fleet.until(() => fleet.applied(a!) === revision);
    await fleet.sleep(600);
    expect(await step(fleet)).toEqual({ state: 'waiting', step: 'move', waitingFor: [incarnation(joiner)] });
    expect(put.state).toBe('pending');
    heal();
    await fleet.until(async () => (await fleet.behind(revision)).length === 0);
    expect(fleet.sent.filter(({ value }) => value === 'first')).toEqual([]);
    expect(await step(fleet)).toMatchObject({ state: 'stepped', step: 'done' });
    await put.promise;
    expect(fleet.sent.filter(({ value }) => value === 'first').map(({ side }) => side)).toEqual(['new', 'old']);
    fleet.expectEqual();
  },
);

scenario(
  'moves two buckets up and one back with writes in both: each on its authority, the other one never held (scenario 22)',
  async (fleet) => {
    const [a, b] = await fleet.start();
    await fleet.dualWrite();
    const [first, second] = await unitsInOrder(fleet);
    const upToFirst = (await fleet.position(first)) + 1;
    const upToSecond = (await fleet.position(second)) + 1;
    const { controller } = await fleet.operator();
    let writes = 0;
    /** A move with a node that is late to hear of it, and with writes of both units all the while. */
    const during = async (moving: string, other: string, move: () => Promise<unknown>): Promise<void> => {
      const from = (await fleet.document()).revision;
      const heal = fleet.deaf(b!, (document) => document.handover !== null);
      const going = fleet.begin(move());
      await fleet.until(() => a!.repository.route(moving).hold === 'writes');
      const held = fleet.begin(a!.repository.put(record(moving, `w${++writes}`)));
      const begun = fleet.world.clock.monotonic();
      await a!.repository.put(record(other, `w${++writes}`));
      await b!.repository.put(record(other, `w${++writes}`));
      expect(fleet.world.clock.monotonic() - begun).toBeLessThan(5);
      expect([held.state, going.state]).toEqual(['pending', 'pending']);
      heal();
      await going.promise;
      await held.promise;
      await fleet.settled();
      const revisions = await fleet.plane.history(MIGRATION, { limit: 10 });
      for (const { after } of revisions.filter(({ revision }) => (revision ?? 0) > from)) {
        expect(new Ruleset(after).route(fleet.world.keys.unit({ unit: other })).hold).toBe('nothing');
      }
    };
    await during(first, second, () => controller.set({ dial: 'cutover', to: upToFirst }, forced));
    expect([first, second].map((unit) => a!.repository.route(unit).authority)).toEqual(['new', 'old']);
    await during(second, first, () => controller.set({ dial: 'cutover', to: upToSecond }, forced));
    expect([first, second].map((unit) => a!.repository.route(unit).authority)).toEqual(['new', 'new']);
    await during(first, second, () => controller.cohort(first, 'kept-back', why));
    expect([first, second].map((unit) => a!.repository.route(unit).authority)).toEqual(['old', 'new']);
    for (const unit of [first, second]) {
      const authority = a!.repository.route(unit).authority;
      await b!.repository.put(record(unit, 'last'));
      expect(fleet.sent.find(({ op, value }) => op === 'putIfNewer' && value === 'last')?.side).toBe(authority);
      expect(await a!.repository.get(keyOf(unit))).toEqual(record(unit, 'last'));
      fleet.sent.length = 0;
    }
    await fleet.sleep(10);
    fleet.expectEqual();
  },
);

scenario(
  'acknowledges a hold at once while an update has only read, and runs it again on the new authority (scenario 29)',
  async (fleet) => {
    const [a] = await fleet.start();
    await fleet.dualWrite();
    await a!.repository.put(record('ada', '0'));
    await fleet.sleep(10);
    const reading = fleet.holdUp([a!, 'old', 'get'], 'answer');
    const seen: unknown[] = [];
    const update = fleet.begin(
      a!.repository.update(keyOf('ada'), (present) => {
        seen.push(present?.value);
        return record('ada', `${present?.value}+1`);
      }),
    );
    await reading.hit;
    const hold = await fleet.hold(ALL);
    await fleet.until(async () => (await fleet.behind(hold.revision)).length === 0, 'the acknowledgement', 100);
    expect(seen).toEqual([]);
    reading.release();
    await fleet.sleep(50);
    // It has read under the hold; what it made of that is not sent.
    expect(seen).toEqual(['0']);
    expect(update.state).toBe('pending');
    const { controller } = await fleet.operator();
    await controller.finishHandover(why);
    await update.promise;
    expect(seen).toEqual(['0', '0']);
    expect(fleet.sentBy(a!, 'old', 'compareAndSet')).toEqual([]);
    expect(fleet.sentBy(a!, 'new', 'get')).toHaveLength(1);
    expect(fleet.sentBy(a!, 'new', 'compareAndSet')).toHaveLength(1);
    await fleet.settled();
    expect(await a!.repository.get(keyOf('ada'))).toEqual(record('ada', '0+1'));
    fleet.expectEqual();
  },
);

async function unitsInOrder(fleet: Fleet): Promise<readonly [string, string]> {
  const [x, y] = [await fleet.position('ada'), await fleet.position('bob')];
  return x < y ? ['ada', 'bob'] : ['bob', 'ada'];
}

import { expect } from 'vitest';
import { ALL, NOBODY } from '../../src/core/dial.ts';
import { OutcomeUnknown } from '../../src/core/errors.ts';
import { MIGRATION, type SimNode } from '../simulation/world.ts';
import { type Fleet, failure, keyOf, record, scenario, why } from './fleet.ts';

scenario(
  'answers OutcomeUnknown for a put that hangs in the new store, keeps its key dirty until its deadline, and makes the stores equal though it lands (scenario 30)',
  async (fleet) => {
    const [a, b] = await fleet.start(2, { putTimeoutMs: 5_000, operationTimeoutMs: 10_000 });
    await fleet.live();
    await a!.repository.put(record('ada', 'before'));
    const { new: fresh } = fleet.world.databases;
    const hanging = fleet.strike([a!, 'new', 'putIfNewer'], { kind: 'late', lateMs: 4_500, caller: 'hang' });
    const put = fleet.begin(a!.repository.put(record('ada', 'hanging')));
    await hanging.hit;
    const { deadline } = fleet.sentBy(a!, 'new', 'putIfNewer').at(-1)!;
    fresh.outage = 'hang';
    await fleet.sleep(200);
    const { controller } = await fleet.operator();
    const { document } = await controller.emergency(why);
    expect(document).toMatchObject({ handover: null, dials: { cutover: NOBODY } });
    expect(await failure(put.promise)).toBeInstanceOf(OutcomeUnknown);
    expect(await fleet.dirt()).toMatchObject([{ target: 'old', kind: 'lost', key: keyOf('ada'), notBefore: deadline }]);
    await fleet.settled();
    expect(await b!.repository.get(keyOf('ada'))).toEqual(record('ada', 'before'));
    await b!.repository.put(record('bob', 'meanwhile'));
    fresh.outage = 'none';
    // The new store is back and the put is not there yet: a repair that looked now would miss it.
    const repair = fleet.begin(controller.repair(why));
    await fleet.sleep(1_000);
    expect(fleet.held('new', 'ada')).toBe('before');
    expect(fresh.now()).toBeLessThan(deadline!);
    await fleet.until(() => fresh.now() >= deadline! - 20);
    expect(fleet.held('new', 'ada')).toBe('hanging');
    expect(repair.state).toBe('pending');
    expect((await fleet.dirt('old')).length).toBe(1);
    await repair.promise;
    expect(fresh.now()).toBeGreaterThan(deadline!);
    expect(await fleet.dirtLines()).toEqual([]);
    expect(await b!.repository.get(keyOf('ada'))).toEqual(record('ada', 'hanging'));
    fleet.expectEqual();
  },
);

scenario(
  'makes the reads of a node wait that has not acknowledged the emergency, though the new store is back (scenario 31)',
  async (fleet) => {
    const [a, b] = await fleet.start();
    await fleet.live();
    await a!.repository.put(record('ada', 'before'));
    const { new: fresh } = fleet.world.databases;
    fresh.outage = 'hang';
    // Acknowledged by the new store alone: invisible until it is replayed.
    const put = fleet.begin(a!.repository.put(record('ada', 'only new')));
    await fleet.sleep(50);
    const heal = fleet.cut(b!, (method) => method === 'report');
    const { controller } = await fleet.operator();
    const emergency = fleet.begin(controller.emergency(why));
    await fleet.until(() => [a!, b!].every((node) => node.repository.route('ada').hold === 'everything'));
    await failure(put.promise);
    expect(put.error).toBeInstanceOf(OutcomeUnknown);
    fresh.outage = 'none';
    await fleet.sleep(10);
    expect(fleet.held('new', 'ada')).toBe('only new');
    const sent = fleet.sentBy(b!, 'new', 'get').length;
    const reads = [a!, b!].map((node) => fleet.begin(node.repository.get(keyOf('ada'))));
    const many = fleet.begin(b!.repository.getMany([keyOf('ada')]));
    await fleet.sleep(700);
    expect((await fleet.document()).handover?.kind).toBe('emergency');
    expect([...reads, many].map(({ state }) => state)).toEqual(['pending', 'pending', 'pending']);
    expect(fleet.sentBy(b!, 'new', 'get')).toHaveLength(sent);
    heal();
    await emergency.promise;
    for (const read of reads) expect(await read.promise).toEqual(record('ada', 'before'));
    expect(await many.promise).toEqual([record('ada', 'before')]);
    expect(fleet.sentBy(b!, 'new', 'getMany')).toEqual([]);
    await fleet.settled();
    expect(await fleet.dirtLines()).toEqual(['old lost ada/1']);
    await fleet.sleep(1_000);
    await fleet.repair();
    expect(await b!.repository.get(keyOf('ada'))).toEqual(record('ada', 'only new'));
    fleet.expectEqual();
  },
);

scenario(
  'puts the floor of an emergency above whatever a dead node with a fast clock may have issued (scenario 32)',
  async (fleet) => {
    const [a, fast] = await fleet.start(2, {}, [0, 3_600_000]);
    await fleet.live();
    fleet.strike([fast!, 'old', 'putIfNewer'], { kind: 'hang', applied: false }, 10);
    fleet.begin(fast!.repository.put(record('ada', 'only new')));
    fleet.begin(fast!.repository.put(record('bob', 'only new')));
    await fleet.until(() => fleet.held('new', 'bob') === 'only new');
    fleet.world.crash(fast!);
    const { stampLimit } = (await fleet.plane.fleet('alive')).find(
      ({ node }) => node.id === fast!.session.incarnation,
    )!.node;
    const { controller } = await fleet.operator();
    const { document } = await controller.emergency(why);
    expect(document.stampFloor! >= stampLimit).toBe(true);
    expect(document.stampFloor! > fleet.entry('new', 'ada')!.stamp!).toBe(true);
    expect((await fleet.plane.fleet('dead')).map(({ node }) => node.id)).toEqual([fast!.session.incarnation]);
    expect(await fleet.dirtLines()).toEqual([`old lost -1–${ALL}`]);
    await a!.repository.put(record('ada', 'after'));
    expect(fleet.entry('old', 'ada')!.stamp! > document.stampFloor!).toBe(true);
    await fleet.repair();
    expect(await fleet.dirtLines()).toEqual([]);
    expect(await a!.repository.get(keyOf('ada'))).toEqual(record('ada', 'after'));
    expect(await a!.repository.get(keyOf('bob'))).toEqual(record('bob', 'only new'));
    fleet.expectEqual();
  },
);

/** A live fleet of two, of which the second has fallen silent: nobody knows whether it has ended. */
async function silenced(fleet: Fleet): Promise<readonly SimNode[]> {
  const nodes = await fleet.start();
  const [a, b] = nodes;
  await fleet.live();
  await a!.repository.put(record('ada', 'before'));
  fleet.world.crash(b!);
  await fleet.sleep(6_000);
  return nodes;
}

scenario(
  'holds nothing for a node that is silent and of which nobody knows whether it has ended, until somebody says so',
  async (fleet) => {
    const [a, b] = await silenced(fleet);
    fleet.world.databases.new.outage = 'hang';
    const { controller } = await fleet.operator();
    const before = await fleet.document();
    const refused = await failure(controller.emergency(why));
    expect(refused).toMatchObject({ code: 'GATES_REFUSED', gates: [{ gate: 'fleet', passed: false }] });
    expect(await fleet.document()).toEqual(before);
    await fleet.plane.declareEnded(MIGRATION, b!.session.incarnation as number, why);
    const { document } = await controller.emergency(why);
    expect(document).toMatchObject({ handover: null, dials: { cutover: NOBODY } });
    await a!.repository.put(record('ada', 'after'));
    expect(fleet.held('old', 'ada')).toBe('after');
    fleet.world.databases.new.outage = 'none';
    await controller.repair(why);
    fleet.expectEqual();
  },
  { leaseMs: 3_600_000, probe: () => 'unknown' },
);

scenario(
  'begins beside such a node where it is told to, and what has begun is gone on with and not refused',
  async (fleet) => {
    const [a, b] = await silenced(fleet);
    const { controller } = await fleet.operator();
    const timeout = { code: 'FLEET_TIMEOUT' };
    expect(await failure(controller.emergency({ ...why, force: true }))).toMatchObject(timeout);
    expect((await fleet.document()).handover).toMatchObject({ kind: 'emergency' });
    expect(await failure(controller.emergency(why))).toMatchObject(timeout);
    await fleet.plane.declareEnded(MIGRATION, b!.session.incarnation as number, why);
    const { document } = await controller.emergency(why);
    expect(document).toMatchObject({ handover: null, dials: { cutover: NOBODY } });
    await a!.repository.put(record('ada', 'after'));
    expect(fleet.held('old', 'ada')).toBe('after');
    await controller.repair(why);
    fleet.expectEqual();
  },
  { leaseMs: 3_600_000, probe: () => 'unknown' },
);

import { describe, expect } from 'vitest';
import { ALL } from '../../src/core/dial.ts';
import { makeStamp } from '../../src/core/stamp.ts';
import { MIGRATION } from '../simulation/world.ts';
import { failure, forced, keyOf, record, scenario, why } from './fleet.ts';

describe('the end (R13)', () => {
  scenario('drains reads, ends stamping, waits for deadlines, and only then cleans and wipes', async (fleet) => {
    const [a] = await fleet.start();
    await fleet.dualWrite();
    await a!.repository.put(record('ada', 'kept'));
    await a!.repository.put(record('bob', 'deleted'));
    await a!.repository.delete(keyOf('bob'));
    await fleet.set('dual-write', -1);
    const reading = fleet.holdUp([a!, 'old', 'get'], 'answer');
    const read = fleet.begin(a!.repository.get(keyOf('ada')));
    await reading.hit;
    const { controller } = await fleet.operator();
    const steps: string[] = [];
    const stores = fleet.snapshot();
    const finish = fleet.begin(controller.finish({ ...why, onStep: (step) => steps.push(step) }));
    await fleet.sleep(900);
    // A read begun before holds up the first acknowledgement.
    expect([steps, finish.state, read.state]).toEqual([['settle'], 'pending', 'pending']);
    expect(await fleet.document()).toMatchObject({ drainReads: true, stamping: 'on' });
    expect(fleet.snapshot()).toEqual(stores);
    reading.release();
    await fleet.until(async () => (await fleet.document()).stamping === 'starting');
    const begun = fleet.world.clock.monotonic();
    await fleet.until(async () => (await fleet.document()).stamping === 'off');
    expect(fleet.world.clock.monotonic() - begun).toBeGreaterThan(1_200);
    expect(fleet.snapshot()).toEqual(stores);
    await finish.promise;
    expect(fleet.world.clock.monotonic() - begun).toBeGreaterThan(2_400);
    expect(steps).toEqual(['settle', 'starting', 'off', 'cleaning the old store']);
    expect(fleet.snapshot()).toMatchObject({ old: [{ stamp: null, value: record('ada', 'kept') }], new: [] });
    await a!.repository.put(record('ada', 'plain'));
    expect(fleet.entry('old', 'ada')).toMatchObject({ stamp: null, value: record('ada', 'plain') });
  });

  scenario('waits by the clock of the store that is wiped, so that no late mirror put comes back', async (fleet) => {
    for (const side of ['old', 'new'] as const) fleet.world.databases[side].skewMs = 3_600_000;
    const [a] = await fleet.start();
    await fleet.dualWrite();
    fleet.strike([a!, 'new', 'putIfNewer'], { kind: 'late', lateMs: 1_100, caller: 'hang' });
    await a!.repository.put(record('ada', 'kept'));
    await fleet.set('dual-write', -1);
    const { controller } = await fleet.operator();
    await controller.finish(why);
    await fleet.sleep(10_000);
    expect(fleet.world.databases.new.snapshot()).toEqual([]);
    expect(fleet.held('old', 'ada')).toBe('kept');
  });

  scenario('waits for the deadlines of stamped puts though the controller that was to wait is gone', async (fleet) => {
    const [a] = await fleet.start();
    await fleet.dualWrite();
    await fleet.set('dual-write', -1);
    // One copy is applied and answered, another one is still on its way.
    fleet.strike([a!, 'old', 'putIfNewer'], { kind: 'late', lateMs: 750, caller: 'unknown' });
    await a!.repository.put(record('ada', 'stamped'));
    const { controller, process } = await fleet.operator();
    let starting = false;
    fleet.killBefore(process, 'behind', () => starting);
    fleet.begin(
      controller.finish({
        ...why,
        onStep: (step) => {
          starting = step === 'starting';
        },
      }),
    );
    await fleet.until(() => !process.alive);
    await fleet.settled();
    expect((await fleet.document()).stamping).toBe('starting');
    const { controller: successor } = await fleet.operator();
    const finish = fleet.begin(successor.finish(why));
    await fleet.until(() => a!.repository.route('ada').stamping === 'off');
    await a!.repository.delete(keyOf('ada'));
    await finish.promise;
    await fleet.sleep(5_000);
    expect(fleet.world.databases.old.snapshot()).toEqual([]);
  });

  scenario(
    'takes the stamps from both stores where the new one stays, so that either may follow again',
    async (fleet) => {
      const [a] = await fleet.start();
      await a!.repository.put(record('eve', 'from before'));
      await fleet.dualWrite();
      await fleet.backfill();
      await a!.repository.put(record('ada', 'kept'));
      await a!.repository.put(record('bob', 'deleted'));
      await a!.repository.delete(keyOf('bob'));
      const { controller } = await fleet.operator();
      await controller.set({ dial: 'cutover', to: ALL }, forced);
      await controller.set({ dial: 'retire-old', to: true }, forced);
      await controller.finish(why);
      for (const side of ['old', 'new'] as const) {
        expect(fleet.world.databases[side].snapshot().map(({ stamp, value }) => [stamp, value === null])).toEqual([
          [null, false],
          [null, false],
        ]);
      }
    },
  );

  scenario('ends once: what the stores hold afterwards is none of its business', async (fleet) => {
    const [a] = await fleet.start();
    await fleet.dualWrite();
    await a!.repository.put(record('ada', 'kept'));
    await fleet.set('dual-write', -1);
    const { controller, process } = await fleet.operator();
    // Somebody is killed when all is said, and nothing is cleaned yet.
    fleet.killBefore(process, 'recordCleaned', () => true);
    fleet.begin(controller.finish(why));
    await fleet.until(() => !process.alive);
    const { controller: successor } = await fleet.operator();
    const { plane } = fleet;
    expect(await plane.status(MIGRATION)).toMatchObject({ finished: true, cleaned: false });
    await successor.finish(why);
    expect(await plane.status(MIGRATION)).toMatchObject({ finished: true, cleaned: true });
    // The next migration stamps what is there, and fills the other store.
    const [plain] = fleet.world.databases.old.snapshot();
    const stamped = { ...plain!, stamp: makeStamp(9, 0, 9) };
    for (const side of ['old', 'new'] as const) fleet.world.databases[side].load([stamped]);
    const before = fleet.snapshot();
    expect((await failure(successor.finish(why))).code).toBe('MIGRATION_FINISHED');
    expect(fleet.snapshot()).toEqual(before);
  });

  scenario('is refused while a replay runs', async (fleet) => {
    const [a] = await fleet.start();
    await fleet.dualWrite();
    await a!.repository.put(record('ada', 'first'));
    const { controller, process } = await fleet.operator();
    const scanning = fleet.holdUp([{ process }, 'new', 'getMany'], 'answer');
    const backfill = fleet.begin(controller.backfill(why));
    await scanning.hit;
    await fleet.set('dual-write', -1);
    const { controller: other } = await fleet.operator();
    const [document, stores] = [await fleet.document(), fleet.snapshot()];
    expect((await failure(other.finish(why))).code).toBe('INVALID_ARGUMENT');
    expect([await fleet.document(), fleet.snapshot()]).toEqual([document, stores]);
    scanning.release();
    await backfill.promise;
    expect((await fleet.coverage()).new).toBe(0);
    await other.finish(why);
    expect(fleet.snapshot()).toMatchObject({ old: [{ stamp: null }], new: [] });
  });
});

import { expect } from 'vitest';
import { ALL } from '../../src/core/dial.ts';
import { failure, record, scenario, why } from '../protocol/fleet.ts';
import { MIGRATION } from '../simulation/world.ts';

/** Workers are told of nothing: what is tried here is whoever began. */
const carrier = { offer: async () => {} };

scenario(
  'a shared backfill whose target fails again and again ends with that, and another goes on with it at once',
  async (fleet) => {
    const [a] = await fleet.start();
    const units = ['ada', 'bob', 'cyd', 'dan', 'eve'];
    for (const unit of units) await a!.repository.put(record(unit, `of ${unit}`));
    await fleet.set('dual-write', ALL);
    const broken = await fleet.world.controller('broken', carrier);
    fleet.strike([broken, 'new', 'putManyIfNewer'], { kind: 'fail' }, 1_000);
    const error = await failure(broken.controller.backfill(why));
    expect(error).toMatchObject({ code: 'STORE_UNAVAILABLE', message: expect.stringContaining('did not take') });
    expect(units.filter((unit) => fleet.held('new', unit) !== undefined)).toEqual([]);
    expect(await fleet.plane.status(MIGRATION)).toMatchObject({
      replay: { runners: 0, failure: expect.stringContaining('did not take') },
    });

    const other = await fleet.world.controller('other', carrier);
    expect(await other.controller.backfill(why)).toMatchObject({ resumed: true, applied: units.length, rejected: 0 });
    expect(units.map((unit) => fleet.held('new', unit))).toEqual(units.map((unit) => `of ${unit}`));
  },
);

import { expect, test } from 'vitest';
import { insist } from '../support/insist.ts';
import { item, startService, until } from '../support/memory-service.ts';

const WHY = { actor: 'ada', reason: 'test' };

test('a unit whose handover was undone is not said to have moved', async () => {
  await using service = await startService();
  await service.to('rampdown');
  const { controller, items, operations } = service;
  // A write of the unit has no answer for as long as a handover may take.
  service.databases.new.outage = 'hang';
  const writing = items.put(item('ada', '1'));
  await until(() => service.requests.length > 0, 'the write');
  const moving = expect(controller.cohort('ada', 'kept-back', WHY)).rejects.toMatchObject({
    code: 'HANDOVER_IN_PROGRESS',
  });
  const last = async () => (await operations.plane.history('items', { limit: 1 }))[0]?.summary;
  await until(async () => (await last())?.includes('handover cancelled') === true, 'the end of its time');
  service.databases.new.outage = 'none';
  await moving;
  expect(await operations.plane.ruleset('items')).toMatchObject({ handover: null, cohorts: { keptBack: [] } });
  expect(items.route('ada').authority).toBe('new');

  await writing;
  const { cohorts } = await insist(controller, () => controller.cohort('ada', 'kept-back', WHY));
  expect(cohorts.keptBack).toHaveLength(1);
  await until(() => items.route('ada').authority === 'old', 'the move');
});

test('a unit that is in its cohort already stays there without a new revision', async () => {
  await using service = await startService();
  await service.to('rampdown');
  const { controller, operations } = service;
  const before = await operations.plane.ruleset('items');
  expect(await controller.cohort('ada', null, WHY)).toEqual(before);
  const moved = await insist(controller, () => controller.cohort('ada', 'kept-back', WHY));
  expect(moved.revision).toBeGreaterThan(before.revision);
  expect(await controller.cohort('ada', 'kept-back', WHY)).toEqual(moved);
});

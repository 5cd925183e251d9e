import { expect, test } from 'vitest';
import { startService } from '../support/memory-service.ts';

const WHY = { actor: 'ada', reason: 'test', force: true };

test('a move says where its dial stood when it was made, whatever others had seen before', async () => {
  await using service = await startService();
  const { controller, operations } = service;
  const other = await operations.migration('items');
  await controller.set({ dial: 'dual-write', to: 15_000 }, WHY);
  expect(await other.preview({ dial: 'dual-write', to: 40_000 })).toMatchObject({ before: { dualWrite: 15_000 } });
  const [first, second] = await Promise.all([
    controller.set({ dial: 'dual-write', to: 40_000 }, WHY),
    other.set({ dial: 'dual-write', to: 40_000 }, WHY),
  ]);
  expect([first.before.dualWrite, second.before.dualWrite].sort()).toEqual([15_000, 40_000]);
  await controller.backfill(WHY);
  expect(await controller.set({ dial: 'cutover', to: 20_000 }, WHY)).toMatchObject({ before: { cutover: -1 } });
  expect(await controller.emergency(WHY)).toMatchObject({
    before: { cutover: 20_000 },
    document: { dials: { cutover: -1 } },
  });
});

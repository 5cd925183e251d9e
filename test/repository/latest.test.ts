import { queryObjects } from 'node:v8';
import { expect, test } from 'vitest';
import { Call } from '../../src/repository/deadline-sweep.ts';
import { LeadRead } from '../../src/repository/lead-read.ts';
import { LeadWrite } from '../../src/repository/lead-write.ts';
import { item, startService, until } from '../support/memory-service.ts';

test('of what every call makes one, the latest survives a collection: V8 forgets the shape of what is gone', async () => {
  await using service = await startService();
  await service.to('shadow');
  for (let n = 0; n < 100; n += 1) {
    await service.items.put(item('ada', String(n), n));
    await service.items.get({ user: 'ada', id: String(n) });
    await service.items.update({ user: 'ada', id: String(n) }, (record) => record && { ...record, n: n + 1 });
  }
  const kept = [Call, LeadRead, LeadWrite];
  let left: number[] = [];
  // It collects before it looks. Hundreds were made, and only a handful may stay.
  await until(() => {
    left = kept.map((of) => queryObjects(of, { format: 'count' }));
    return left.every((count) => count < 50);
  }, 'the end of what the calls began');
  expect(left).not.toContain(0);
});

import { expect, test } from 'vitest';
import type { Clock } from '../../src/core/clock.ts';
import { item } from '../support/memory-service.ts';
import { oneProcess } from '../support/one-process.ts';
import { settle, VirtualClock } from '../support/virtual-clock.ts';

test('an answer of the lead put that comes while the mirror put is under way is not taken for the mirror’s', async () => {
  const clock = new VirtualClock();
  let copies = 0;
  const process = await oneProcess(
    clock,
    { putTimeoutMs: 1_000, mirrorTimeoutMs: 20_000 },
    {
      old: () => {
        copies += 1;
        return copies === 1 ? { kind: 'slow', answerMs: 5_000 } : undefined;
      },
      new: () => ({ kind: 'hang', applied: false }),
    },
  );
  const put = process.items.put(item('ada', '1'));
  await clock.advance(4_000);
  await put;
  expect([copies, process.migration.mirrorPending]).toEqual([2, 1]);
  // Now the first copy is answered: applied.
  await clock.advance(4_000);
  expect([process.migration.mirrorPending, process.told]).toEqual([1, []]);
  await clock.advance(30_000);
  expect(process.told.map(({ target, kind, key }) => [target, kind, key])).toEqual([
    ['new', 'lost', { user: 'ada', id: '1' }],
  ]);
  await process.close();
});

test('a queue that is given up becomes dirty a part at a time, and all of it', async () => {
  const virtual = new VirtualClock();
  const left: number[] = [];
  let process: Awaited<ReturnType<typeof oneProcess>> | undefined;
  const clock: Clock = {
    now: () => virtual.now(),
    monotonic: () => virtual.monotonic(),
    after: (ms, fn, background) =>
      virtual.after(
        ms,
        () => {
          fn();
          left.push(process?.migration.mirrorPending ?? 0);
        },
        background,
      ),
  };
  process = await oneProcess(
    clock,
    { mirrorConcurrency: 1, mirrorTimeoutMs: 1_000, breakerFailures: 1, breakerResetMs: 600_000 },
    { new: () => ({ kind: 'hang', applied: false }) },
  );
  const writes = 1_000;
  for (let n = 0; n < writes; n += 1) await process.items.put(item('ada', String(n)));
  await settle();
  expect(process.migration.mirrorPending).toBe(writes);
  left.length = 0;
  await virtual.advance(5_000);
  expect(process.migration.mirrorPending).toBe(0);
  const steps = left.map((pending, i) => (left[i - 1] ?? writes) - pending);
  expect(Math.max(...steps)).toBeLessThan(writes / 4);
  expect(new Set(process.told.map(({ key }) => key?.['id'])).size).toBe(writes);
  await process.close();
});

test('a mirror put that fails again and again among others that arrive is dirty once its time is over', async () => {
  const clock = new VirtualClock();
  let failures = 0;
  const process = await oneProcess(
    clock,
    { mirrorTimeoutMs: 3_000, breakerFailures: 5 },
    {
      new: ({ ids }) => {
        if (!ids.some((id) => id.includes('bad'))) return undefined;
        failures += 1;
        return { kind: 'fail' };
      },
    },
  );
  await process.items.put(item('ada', 'bad'));
  for (let n = 0; n < 100; n += 1) {
    await clock.advance(100);
    // What arrives in between keeps the breaker shut.
    await process.items.put(item('ada', String(n)));
  }
  expect(failures).toBeGreaterThan(5);
  expect(process.told.map(({ key, cause }) => [key?.['id'], cause])).toEqual([
    ['bad', 'mirror failed: the database refused the request'],
  ]);
  await process.close();
});

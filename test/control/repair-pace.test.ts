import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { ControllerParts } from '../../src/control/controller-parts.ts';
import { RepairPace } from '../../src/control/repair-pace.ts';
import { DEFAULT_SETTINGS, type Settings } from '../../src/core/settings.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

/** The virtual time that so many keys take, in takes of at most so many, and the takes. */
async function taking(keys: number, most: number, settings: () => Partial<Settings>, limited = true) {
  const clock = new VirtualClock();
  const plane = { ruleset: async () => ({ settings: { ...DEFAULT_SETTINGS, ...settings() } }) };
  const pace = new RepairPace({ plane, migration: 'items', clock } as unknown as ControllerParts, limited);
  const takes: number[] = [];
  const done = (async () => {
    for (let left = keys; left > 0; left -= takes.at(-1) as number)
      takes.push(await pace.take(Math.min(most, left), undefined));
    return clock.monotonic();
  })();
  let tookMs: number | undefined;
  void done.then((ms) => {
    tookMs = ms;
  });
  while (tookMs === undefined) await clock.advance(100);
  return { tookMs, takes };
}

test('a repair of single keys goes as fast as the operator allows, with as many at once', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 2_000 }),
      fc.integer({ min: 1, max: 500 }),
      fc.integer({ min: 10, max: 5_000 }),
      fc.integer({ min: 1, max: 600 }),
      async (keys, most, replayRate, replayConcurrency) => {
        const { tookMs, takes } = await taking(keys, most, () => ({ replayRate, replayConcurrency }));
        expect(takes.reduce((sum, count) => sum + count, 0)).toBe(keys);
        expect(Math.max(...takes)).toBeLessThanOrEqual(Math.min(most, replayConcurrency));
        // A fifth of a second's worth may go at once, and waits are whole steps of the test's clock.
        expect(tookMs).toBeGreaterThanOrEqual(((keys - replayRate / 5 - 1) / replayRate) * 1_000);
        expect(tookMs).toBeLessThanOrEqual((keys / replayRate) * 1_000 + 1_000);
      },
    ),
    { numRuns: 30 },
  );
});

test('a rate that is changed counts from then on, and what a handover waits for has none', async () => {
  let asked = 0;
  const changing = await taking(1_000, 500, () => {
    asked += 1;
    return { replayRate: asked === 1 ? 10 : null };
  });
  expect(changing.tookMs).toBeLessThan(3_000);
  expect(await taking(10_000, 500, () => ({ replayRate: 1 }), false)).toMatchObject({ tookMs: 0 });
});

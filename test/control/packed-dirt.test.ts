import { expect, test } from 'vitest';
import { packReport, unpackReport } from '../../src/control/packed-dirt.ts';
import type { DirtReport, NodeReport } from '../../src/core/control-client.ts';
import { STAMP_MIN } from '../../src/core/stamp.ts';

const report = (dirt: readonly DirtReport[]): NodeReport => ({
  incarnation: 7,
  acknowledged: { items: 3 },
  dirt,
  divergences: [],
  shadow: [],
  deadlineLimit: 1_000,
  stampLimit: STAMP_MIN,
  health: { mirrorQueue: 0, shed: 0, operations: 1, errors: 0, memoryBytes: 1, aheadMs: 0, highWater: STAMP_MIN },
});

/** Lines that differ from the one before in each of their parts now and then, and in none for long. */
const line = (n: number): DirtReport => ({
  migration: n % 97 < 90 ? 'items' : 'others',
  target: n % 89 < 80 ? 'new' : 'old',
  kind: n % 83 < 80 ? 'lost' : 'rejected',
  position: n % 7 === 0 ? -1 : n,
  key: n % 11 === 0 ? null : { user: `"ü\u2028${n}`, id: n, at: { type: 'date', text: '2026-01-01' }, on: true },
  revision: 1 + Math.floor(n / 150),
  cause: n % 79 < 70 ? 'its breaker is open' : 'shed',
  notBefore: n % 73 < 70 ? null : 1_790_000_000_000.5 + n,
});

test.each([0, 1, 63, 64, 65, 1_000])('a report with %d lines of dirt is the same on the other side', async (count) => {
  const given = report(Array.from({ length: count }, (_, n) => line(n)));
  const sent = structuredClone(await packReport(given));
  expect(unpackReport(sent)).toStrictEqual(given);
});

test('callers come between the parts of much dirt', async () => {
  let between = 0;
  let over = false;
  const look = (): void => {
    between += 1;
    if (!over) setImmediate(look);
  };
  setImmediate(look);
  await packReport(report(Array.from({ length: 1_000 }, (_, n) => line(n))));
  over = true;
  expect(between).toBeGreaterThan(5);
});

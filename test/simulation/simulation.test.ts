import { describe, expect, test } from 'vitest';
import { type SimulationOptions, simulate } from './simulation.ts';

/** Another range for a night's run: `CHANGEOVER_SEEDS=1-20000 npx vitest run test/simulation`. */
const [first, last] = (process.env['CHANGEOVER_SEEDS'] ?? '1-200').split('-').map(Number) as [number, number];
const CHUNK = 25;

const chunks = Array.from({ length: Math.ceil((last - first + 1) / CHUNK) }, (_, i) => {
  const from = first + i * CHUNK;
  return [from, Math.min(from + CHUNK - 1, last)] as const;
});

/** Enough of a special kind of history. */
const few = chunks.slice(0, Math.max(2, chunks.length / 4));

/** What the seeds of plain histories did, all together. */
const work = { seeds: 0, moves: 0, operations: 0 };

async function violationsOf(
  from: number,
  to: number,
  options: Omit<SimulationOptions, 'seed'> = {},
): Promise<readonly string[]> {
  const violations: string[] = [];
  const plain = Object.keys(options).length === 0;
  for (let seed = from; seed <= to; seed += 1) {
    const result = await simulate({ seed, ...options });
    if (plain) {
      work.seeds += 1;
      work.moves += result.moves;
      work.operations += result.operations;
    }
    if (result.violations.length > 0) {
      violations.push(
        `seed ${seed} with ${JSON.stringify(options)}: ${result.violations.join('\n')}\n${result.log.join('\n')}`,
      );
    }
  }
  return violations;
}

describe('a fleet under moving dials, crashes, lost answers and late writes', () => {
  test.each(chunks)('converges, loses nothing and is linearizable per key: seeds %i to %i', async (from, to) => {
    expect(await violationsOf(from, to)).toEqual([]);
  });

  test.each(chunks)('keeps what an emergency promises: seeds %i to %i', async (from, to) => {
    expect(await violationsOf(from, to, { emergencies: true })).toEqual([]);
  });

  test.each(chunks.slice(0, 4))('keeps all that with preloads before dual-write: seeds %i to %i', async (from, to) => {
    expect(await violationsOf(from, to, { emergencies: from % 100 === 1, preloads: true })).toEqual([]);
  });

  test.each(few)('keeps all that in long histories: seeds %i to %i', async (from, to) => {
    expect(await violationsOf(from, to, { lengthMs: 60_000, storm: 0.3, busy: false })).toEqual([]);
  });

  test.each(few)('keeps all that where the follower refuses keys: seeds %i to %i', async (from, to) => {
    expect(await violationsOf(from, to, { only: 'rejections', storm: 1 })).toEqual([]);
  });

  test('is the same history for the same seed', async () => {
    const once = await simulate({ seed: 4_711, emergencies: true });
    expect(await simulate({ seed: 4_711, emergencies: true })).toEqual(once);
    expect((await simulate({ seed: 4_712, emergencies: true })).log).not.toEqual(once.log);
  });

  // Of fewer seeds some happen to do little; the seeds themselves ran above.
  test.runIf(last - first >= 199)('moves authority and works: it does not pass by doing nothing', () => {
    expect(work.seeds).toBe(last - first + 1);
    expect(work.moves / work.seeds).toBeGreaterThan(9);
    expect(work.operations / work.seeds).toBeGreaterThan(200);
  });
});

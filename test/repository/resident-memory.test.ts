import { expect, test } from 'vitest';
import { residentMemory } from '../../src/repository/resident-memory.ts';

test('memory is asked for once in so many ms, and told as it was then', () => {
  let now = 0;
  const bytes = residentMemory({ monotonic: () => now }, 1_000);
  const first = bytes();
  const held = Buffer.alloc(96 * 1024 * 1024, 1);
  now = 999;
  expect(bytes()).toBe(first);
  now = 1_000;
  expect(bytes()).toBeGreaterThan(first + held.length / 2);
});

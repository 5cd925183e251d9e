import { describe, expect, test } from 'vitest';
import type { Fault } from '../../adapters/memory/index.ts';
import { item } from '../support/memory-service.ts';
import { oneProcess } from '../support/one-process.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

describe('shadow reads', () => {
  const FAULTS: readonly (readonly [what: string, fault: Fault])[] = [
    ['fails', { kind: 'fail' }],
    ['does not answer', { kind: 'hang', applied: false }],
  ];

  test.each(FAULTS)('of a follower that %s are nobody’s errors, and go on when it answers again', async (_, fault) => {
    const clock = new VirtualClock();
    let broken = false;
    const process = await oneProcess(
      clock,
      { shadowConcurrency: 2, operationTimeoutMs: 1_000 },
      { new: ({ op }) => (broken && op === 'get' ? fault : undefined) },
    );
    await process.items.put(item('ada', '1'));
    await clock.advance(100);
    const read = async (times: number): Promise<void> => {
      for (let n = 0; n < times; n += 1) {
        expect(await process.items.get({ user: 'ada', id: '1' })).toMatchObject({ user: 'ada', id: '1' });
        await clock.advance(2_000);
      }
    };
    broken = true;
    await read(5);
    expect(process.compared).toEqual([]);
    expect(process.migration.epoch.reads).toBe(0);
    broken = false;
    await read(5);
    expect(process.compared.reduce((sum, { compared }) => sum + compared, 0)).toBe(5);
    expect(process.errors()).toBe(0);
    await process.close();
  });

  test('are as many at once as the settings say', async () => {
    const clock = new VirtualClock();
    let asked = 0;
    const process = await oneProcess(
      clock,
      { shadowConcurrency: 3 },
      {
        new: ({ op }) => {
          if (op !== 'get') return undefined;
          asked += 1;
          return { kind: 'slow', answerMs: 500 };
        },
      },
    );
    await process.items.put(item('ada', '1'));
    for (const expected of [3, 6, 9]) {
      for (let n = 0; n < 20; n += 1) await process.items.get({ user: 'ada', id: '1' });
      expect(asked).toBe(expected);
      await clock.advance(1_000);
    }
    await process.close();
  });
});

import { expect, test } from 'vitest';
import { type Logger, silentLogger } from '../../src/core/telemetry.ts';
import { item } from '../support/memory-service.ts';
import { oneProcess } from '../support/one-process.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

test('where operations go is logged from when the log’s level says so until it does not any more', async () => {
  const clock = new VirtualClock();
  let level = 'info';
  const routed: unknown[] = [];
  const logger: Logger = {
    ...silentLogger,
    isLevelEnabled: (asked) => asked === level,
    debug: (fields) => routed.push((fields as { operation?: unknown }).operation),
  };
  const process = await oneProcess(clock, {}, {}, { logger });
  for (const [now, told] of [
    ['info', []],
    ['debug', ['write', 'read']],
    ['info', []],
  ] as const) {
    level = now;
    await clock.advance(1_000);
    routed.length = 0;
    await process.items.put(item('ada', '1'));
    await process.items.get({ user: 'ada', id: '1' });
    expect(routed).toEqual(told);
  }
  await process.close();
});

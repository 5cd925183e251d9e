import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { memory } from '../../adapters/memory/index.ts';
import { ControlUnavailable, NotPrepared } from '../../src/core/errors.ts';
import { silentLogger } from '../../src/core/telemetry.ts';
import { control, defineConfig, migration, open } from '../../src/index.ts';
import { Patiently } from '../../src/service/patiently.ts';
import { type Item, item } from '../support/memory-service.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const away = new ControlUnavailable('the control plane is away');

describe('a process that starts', () => {
  test('waits for its control plane, but not for ever, and asks it at the very end', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 30_000 }),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        async (awayMs, random) => {
          const clock = new VirtualClock();
          const patiently = new Patiently(clock, () => random, silentLogger);
          let calls = 0;
          const call = async (): Promise<void> => {
            calls += 1;
            if (clock.monotonic() < awayMs) throw away;
          };
          const ended = patiently.call(call).then(
            () => ({ joined: true, at: clock.monotonic() }),
            () => ({ joined: false, at: clock.monotonic() }),
          );
          await clock.advance(60_000);
          const { joined, at } = await ended;
          expect(joined).toBe(awayMs <= 10_000);
          if (joined) expect(at).toBeLessThanOrEqual(awayMs + 1_000);
          else expect(at).toBe(10_000);
          expect(calls).toBeLessThan(40);
        },
      ),
    );
  });

  test('shares one patience among all it asks', async () => {
    const clock = new VirtualClock();
    const patiently = new Patiently(clock, Math.random, silentLogger);
    let there = false;
    const first = patiently.call(async () => {
      if (!there) throw away;
    });
    await clock.advance(8_000);
    there = true;
    await clock.advance(1_000);
    await first;
    const second = patiently
      .call(() => Promise.reject(away))
      .catch((error: unknown) => ({ error, at: clock.monotonic() }));
    await clock.advance(60_000);
    expect(await second).toEqual({ error: away, at: 10_000 });
  });

  test('says at once what no waiting mends', async () => {
    const refusal = new NotPrepared('no tables');
    const patiently = new Patiently(new VirtualClock(), Math.random, silentLogger);
    await expect(patiently.call(() => Promise.reject(refusal))).rejects.toBe(refusal);
  });

  test('joins although another process keeps the control plane locked for longer than a call waits', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'changeover-patiently-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const path = join(folder, 'control.db');
    const config = defineConfig({
      control: `sqlite:${path}`,
      migrations: { items: migration<Item>({ key: ['user', 'id'], unit: 'user', old: memory(), new: memory() }) },
    });
    const operations = await control(config);
    await operations.prepare('items');
    await operations.close();

    const locking = new Database(path);
    onTestFinished(() => void locking.close());
    locking.exec('BEGIN IMMEDIATE');
    const messages: string[] = [];
    const logger = { ...silentLogger, warn: (_: unknown, message?: string) => messages.push(message ?? '') };
    const opening = open(config, { logger: logger as typeof silentLogger });
    await expect.poll(() => messages, { timeout: 60_000 }).toContain('the control plane is away; trying again');
    locking.exec('ROLLBACK');
    const changeover = await opening;
    await changeover.repository('items').put(item('ada', '1'));
    await changeover.close();
  });
});

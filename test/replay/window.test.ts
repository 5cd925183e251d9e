import { describe, expect, test } from 'vitest';
import { Window } from '../../src/replay/window.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const never = new AbortController().signal;

/** A store that answers so many records a second: the more are in flight, the later. */
async function drive(window: Window, clock: VirtualClock, ms: number, rate: number, budgetMs: number): Promise<number> {
  let over = false;
  let done = 0;
  let freeAt = clock.monotonic();
  const lane = async (): Promise<void> => {
    while (!over) {
      const { batch } = window;
      await window.enter(batch, never);
      const sentAt = clock.monotonic();
      freeAt = Math.max(freeAt, sentAt) + (batch * 1_000) / rate;
      await new Promise<void>((resolve) => clock.after(freeAt - sentAt + 1, resolve));
      done += batch;
      if (clock.monotonic() - sentAt > budgetMs) window.narrow(sentAt);
      else window.widen(batch);
      window.leave(batch);
    }
  };
  const lanes = Promise.all(Array.from({ length: 40 }, lane));
  await clock.advance(ms);
  over = true;
  await clock.runUntil(lanes);
  return done;
}

describe('the window of a replay', () => {
  test('widens while answers are good, to what the operator allows', async () => {
    const clock = new VirtualClock();
    const window = new Window(clock, 500, 3_000);
    await drive(window, clock, 60_000, 1_000_000, 500);
    expect(window.limit).toBe(3_000);
    expect(window.batch).toBe(500);
  });

  test('sends full batches as soon as two of them fit, and about four parts of it before', () => {
    const batchOf = (batchSize: number, most: number): number => {
      const window = new Window(new VirtualClock(), batchSize, most);
      for (let sent = 0; sent < 40_000; sent += most) {
        void window.enter(most, never);
        window.widen(most);
        window.leave(most);
      }
      expect(window.limit).toBe(most);
      return window.batch;
    };
    expect(batchOf(2_000, 4_000)).toBe(2_000);
    expect(batchOf(2_000, 3_999)).toBe(1_000);
    expect(batchOf(2_000, 200)).toBe(50);
    expect(batchOf(100, 4_000)).toBe(100);
    expect(batchOf(100, 1)).toBe(1);
  });

  test('settles where a slow store answers within the budget, without idling it', async () => {
    const clock = new VirtualClock();
    const window = new Window(clock, 500, 10_000);
    const done = await drive(window, clock, 120_000, 2_000, 250);
    expect(window.limit).toBeGreaterThan(100);
    expect(window.limit).toBeLessThan(700);
    expect(done / 120).toBeGreaterThan(1_700);
  });

  test('is halved once for all that was sent before', async () => {
    const clock = new VirtualClock();
    const window = new Window(clock, 500, 10_000);
    const before = window.limit;
    await clock.advance(10);
    for (let i = 0; i < 20; i += 1) window.narrow(5);
    expect(window.limit).toBe(before / 2);
    await clock.advance(10);
    window.narrow(15);
    expect(window.limit).toBe(before / 4);
  });

  test('never closes, and never passes what the operator allows', async () => {
    const clock = new VirtualClock();
    const window = new Window(clock, 500, 10_000);
    for (let i = 0; i < 40; i += 1) {
      await clock.advance(10);
      window.narrow(clock.monotonic());
    }
    expect(window.limit).toBeGreaterThanOrEqual(16);
    window.setMost(1);
    expect([window.limit, window.batch]).toStrictEqual([1, 1]);
    await window.enter(1, never);
    let second = false;
    const waiting = window.enter(1, never).then(() => {
      second = true;
    });
    await clock.advance(10);
    expect(second).toBe(false);
    window.leave(1);
    await waiting;
    expect(window.inFlight).toBe(1);
  });

  test('lets go of those who wait when they are told to stop, and of nobody else', async () => {
    const clock = new VirtualClock();
    const window = new Window(clock, 500, 10);
    await window.enter(10, never);
    const stop = new AbortController();
    const stopped = window.enter(10, stop.signal).then(
      () => 'in',
      (error: unknown) => error,
    );
    const other = window.enter(5, never);
    stop.abort('stop');
    expect(await stopped).toBe('stop');
    window.leave(10);
    await other;
    expect(window.inFlight).toBe(5);
  });

  test('narrows to what is worth a batch: to one where records are large', () => {
    const clock = new VirtualClock();
    const window = new Window(clock, 500, 4_000);
    for (const page of [2_000, 1]) {
      for (let times = 0; times < 12; times += 1) window.narrow(clock.monotonic() + 1, page);
      expect(window.limit).toBe(page === 1 ? 1 : 16);
    }
  });
});

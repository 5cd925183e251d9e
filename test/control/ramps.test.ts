import { describe, expect, onTestFinished, test } from 'vitest';
import { RampDriver, RampKeeper } from '../../src/control/ramp-driver.ts';
import type { RampRow } from '../../src/control/ramp-row.ts';
import { systemClock } from '../../src/core/clock.ts';
import { type DialValue, parseDialValue } from '../../src/core/dial.ts';
import { DEFAULT_BUDGETS, type RampDial, type RampPlan } from '../../src/core/ramp.ts';
import type { Entry } from '../../src/core/store.ts';
import { item, type MemoryService, startService } from '../support/memory-service.ts';

const WHY = { actor: 'ada', reason: 'test' };

const plan = (dial: RampDial, steps: readonly DialValue[], more: Partial<RampPlan> = {}): RampPlan => ({
  dial,
  steps: steps.map(parseDialValue),
  holdMs: 200,
  // A machine that is busy breaks no budget: none of these tests is about slowness.
  budgets: { ...DEFAULT_BUDGETS, p99FloorMs: 600_000 },
  force: true,
  ...more,
});

/** Ninety users who read and write until the test ends, and one whose records only get read; errors are theirs. */
function traffic({ items }: MemoryService): void {
  const stop = new AbortController();
  const running = (async () => {
    await items.put(item('quiet', 'x'));
    for (let i = 0; !stop.signal.aborted; i += 1) {
      const user = `user ${i % 90}`;
      await items.put(item(user, 'x', i)).catch(() => {});
      await items.get({ user, id: 'x' }).catch(() => {});
      await items.get({ user: 'quiet', id: 'x' }).catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  })();
  onTestFinished(async () => {
    stop.abort();
    await running;
  });
}

async function covered(): Promise<MemoryService> {
  const service = await startService();
  onTestFinished(() => service[Symbol.asyncDispose]());
  await service.to('shadow');
  await service.cover(100_000);
  traffic(service);
  return service;
}

const keeper = (service: MemoryService, runner: string): RampKeeper => {
  const made = new RampKeeper(
    { plane: service.operations.plane, clock: systemClock, runner },
    ['items'],
    () => service.operations.migration('items'),
    (error) => {
      throw error;
    },
  );
  onTestFinished(() => made.close());
  made.start();
  return made;
};

const newest = async ({ operations }: MemoryService): Promise<RampRow> =>
  (await operations.plane.ramps('items', 1))[0] as RampRow;
const dial = async ({ operations }: MemoryService) => (await operations.plane.ruleset('items')).dials.cutover;
const ended = (service: MemoryService) => expect.poll(async () => (await newest(service)).state, { timeout: 60_000 });

describe('a ramp', () => {
  test('turns its dial up step by step, each in force for its hold, and says so in the history', async () => {
    const service = await covered();
    const { plane } = service.operations;
    await plane.startRamp({ migration: 'items', plan: plan('cutover', ['canary', 3, 60, 100]), ...WHY });
    keeper(service, 'one');
    await ended(service).toBe('done');
    expect(await dial(service)).toBe(parseDialValue(100));
    const lines = [...(await plane.history('items', { limit: 100 }))].reverse();
    const moves = lines.filter(({ summary }) => /^cutover .* done$/.test(summary) || summary.endsWith(': done'));
    expect(moves.map(({ summary }) => summary.replace(': done', ''))).toEqual([
      'cutover 0 % → canary',
      'cutover canary → 3 %',
      'cutover 3 % → 60 %',
      'cutover 60 % → 100 %',
    ]);
    for (const [i, { at }] of moves.slice(1).entries()) expect(at - (moves[i]?.at ?? 0)).toBeGreaterThanOrEqual(200);
    expect(moves.every(({ actor, reason }) => actor === 'changeover' && reason.includes('of ada: test'))).toBe(true);
  });

  test('goes back by itself to where it began when the new store fails, with the evidence in the history', async () => {
    const service = await covered();
    const { plane } = service.operations;
    await service.controller.set({ dial: 'cutover', to: parseDialValue(10) }, { ...WHY, force: true });
    await plane.startRamp({ migration: 'items', plan: plan('cutover', [50, 100], { holdMs: 600_000 }), ...WHY });
    keeper(service, 'one');
    await expect.poll(async () => (await newest(service)).stepSince, { timeout: 60_000 }).not.toBeNull();
    const [listed] = await plane.statuses();
    expect(listed?.ramp).toMatchObject({ dial: 'cutover', state: 'running', steps: [50, 100], step: 0 });
    let calls = 0;
    service.faults.new = ({ op }) => {
      calls += 1;
      return op === 'get' && calls % 3 === 0 ? { kind: 'fail' } : undefined;
    };
    await ended(service).toBe('returned');
    expect((await plane.status('items')).ramp, 'it has ended').toBeNull();
    expect(await dial(service)).toBe(parseDialValue(10));
    const [row] = await plane.ramps('items', 1);
    expect(row?.checks.find(({ check }) => check === 'errors')).toMatchObject({ state: 'broken' });
    const turned = (await plane.history('items', { limit: 100 })).find(({ summary }) =>
      summary.includes('goes back to 10 %'),
    );
    expect(turned?.gates).toContainEqual(expect.objectContaining({ gate: 'errors', passed: false }));
    expect(turned?.actor).toBe('changeover');
  });

  test('goes back at the first divergence', async () => {
    const service = await covered();
    await service.operations.plane.startRamp({
      migration: 'items',
      plan: plan('cutover', [40, 100], { holdMs: 600_000 }),
      ...WHY,
    });
    keeper(service, 'one');
    await expect.poll(async () => (await newest(service)).stepSince, { timeout: 60_000 }).not.toBeNull();
    // Somebody writes past the repository.
    const quiet = service.stored('old', 'quiet', 'x') as Entry;
    service.databases.old.load([{ ...quiet, value: { ...quiet.value, n: -1 } }]);
    await ended(service).toBe('returned');
    expect((await newest(service)).note).toMatch(/divergence: \d+ of \d+ comparisons differ: at most .* % at 95 %/);
    expect(await dial(service)).toBe(parseDialValue(0));
  });

  test('waits for a gate that refuses its step, names it, and goes on when it is met', async () => {
    const service = await startService();
    onTestFinished(() => service[Symbol.asyncDispose]());
    await service.to('dualwrite');
    await service.operations.plane.startRamp({ migration: 'items', plan: plan('cutover', [20, 100]), ...WHY });
    keeper(service, 'one');
    await expect
      .poll(async () => (await newest(service)).note, { timeout: 60_000 })
      .toMatch(/waits for its gates: .*coverage/);
    expect(await dial(service)).toBe(parseDialValue(0));
    await service.cover(100_000);
    await ended(service).toBe('done');
  });

  test('is driven by one of two keepers at a time, and taken over when its driver is gone', async () => {
    const service = await covered();
    const { plane } = service.operations;
    const controller = () => service.operations.migration('items');
    const begun = await plane.startRamp({ migration: 'items', plan: plan('cutover', [10, 20, 30, 40]), ...WHY });
    const first = new AbortController();
    const parts = { plane, clock: systemClock, controller };
    const gone = new RampDriver({ ...parts, runner: 'first', signal: first.signal }).drive(begun.id);
    await expect.poll(() => dial(service), { timeout: 60_000 }).toBeGreaterThanOrEqual(parseDialValue(10));
    expect(await plane.holdRamp({ ramp: begun.id, runner: 'second' }, 1_000, {})).toBeNull();
    first.abort(new Error('killed'));
    await expect(gone).rejects.toThrow('killed');
    keeper(service, 'second');
    keeper(service, 'third');
    await ended(service).toBe('done');
    const moves = (await plane.history('items', { limit: 200 })).filter(({ summary }) => summary.endsWith(': done'));
    expect(moves.map(({ summary }) => summary)).toHaveLength(4);
  });

  test('is refused its move when it lost the ramp meanwhile', async () => {
    const service = await covered();
    const { plane } = service.operations;
    const begun = await plane.startRamp({ migration: 'items', plan: plan('cutover', [10, 100]), ...WHY });
    await plane.holdRamp({ ramp: begun.id, runner: 'first' }, 60_000, {});
    await plane.steerRamp('items', 'stop', WHY);
    await expect(
      service.controller.set(
        { dial: 'cutover', to: parseDialValue(10) },
        { ...WHY, force: true, ramp: { ramp: begun.id, runner: 'first' } },
      ),
    ).rejects.toMatchObject({ code: 'BUSY' });
    expect(await dial(service)).toBe(parseDialValue(0));
  });

  test('leaves the dial to whoever moves it by hand', async () => {
    const service = await covered();
    await service.operations.plane.startRamp({
      migration: 'items',
      plan: plan('cutover', [30, 100], { holdMs: 600_000 }),
      ...WHY,
    });
    keeper(service, 'one');
    await expect.poll(async () => (await newest(service)).stepSince, { timeout: 60_000 }).not.toBeNull();
    await service.controller.rollback({ ...WHY, force: true });
    await ended(service).toBe('stopped');
    expect((await newest(service)).note).toContain('moved to 0 % by somebody else');
    expect(await dial(service)).toBe(parseDialValue(0));
  });

  test('stays where it is while it is paused, and begins its hold anew afterwards', async () => {
    const service = await covered();
    const { plane } = service.operations;
    await plane.startRamp({ migration: 'items', plan: plan('cutover', [30, 100], { holdMs: 2_000 }), ...WHY });
    keeper(service, 'one');
    await expect.poll(() => dial(service), { timeout: 60_000 }).toBe(parseDialValue(30));
    await plane.steerRamp('items', 'pause', WHY);
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    expect(await dial(service)).toBe(parseDialValue(30));
    const resumed = await plane.steerRamp('items', 'resume', WHY);
    expect(resumed.stepSince).toBeNull();
    await ended(service).toBe('done');
  });

  test('is one at a time for a migration, and only upwards', async () => {
    const service = await covered();
    const { plane } = service.operations;
    await plane.startRamp({ migration: 'items', plan: plan('cutover', [30]), ...WHY });
    await expect(
      plane.startRamp({ migration: 'items', plan: plan('shadow-read', ['all']), ...WHY }),
    ).rejects.toMatchObject({
      code: 'BUSY',
    });
    await plane.steerRamp('items', 'stop', WHY);
    await expect(
      plane.startRamp({ migration: 'items', plan: plan('shadow-read', [20]), ...WHY }),
    ).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
    await expect(plane.steerRamp('items', 'pause', WHY)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
});

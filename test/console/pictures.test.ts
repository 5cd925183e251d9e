import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { segmentsOf, shares, thresholdsOf } from '../../src/console/bucket-states.ts';
import { coveredUpTo, limitsOf } from '../../src/console/dial-limits.ts';
import { dialValueOf, thresholdOf } from '../../src/console/dial-value.ts';
import { parseEvent, readEvents } from '../../src/console/event-stream.ts';
import { waitBefore } from '../../src/console/live-feed.ts';
import { dialsConflict } from '../../src/core/stage.ts';
import type { MigrationStatus } from '../../src/server/api-types.ts';

const threshold = fc.integer({ min: -1, max: 100_001 });

interface Standing extends Pick<MigrationStatus, 'dials' | 'covered'> {
  readonly finished: boolean;
  readonly verification: null;
  readonly divergences: number;
}

/** A status whose dials fit together, with some of the line covered. */
const standing: fc.Arbitrary<Standing> = fc
  .tuple(threshold, threshold, threshold, fc.array(fc.tuple(threshold, threshold), { maxLength: 4 }))
  .map(([a, b, c, ranges]) => {
    const dualWrite = Math.max(a, b, c);
    const covered = ranges
      .map(([x, y]): [number, number] => [Math.min(x, y), Math.max(x, y)])
      .filter(([x, y]) => x < y);
    const dials = {
      dualWrite: dialValueOf(dualWrite),
      shadowRead: dialValueOf(b),
      cutover: dialValueOf(c),
      retireOld: false,
    };
    return {
      dials,
      covered: { old: [[-1, 100_001]], new: covered },
      finished: false,
      verification: null,
      divergences: 0,
    };
  });

describe('the bucket bar', () => {
  test('shows every position once, in the state that it is in', () => {
    fc.assert(
      fc.property(standing, threshold, (status, position) => {
        const segments = segmentsOf(status);
        expect(segments[0]?.from).toBe(-1);
        expect(segments.at(-1)?.to).toBe(100_001);
        for (const [index, { to }] of segments.slice(0, -1).entries()) expect(segments[index + 1]?.from).toBe(to);
        const at = thresholdsOf(status);
        const state = segments.find(({ from, to }) => position >= from && position < to)?.state;
        if (position === 100_001) return;
        const covered = status.covered.new.some(([from, to]) => position >= from && position < to);
        expect(state).toBe(position < at.cutover ? 3 : position >= at.dualWrite ? 0 : covered ? 2 : 1);
        expect(shares(segments).reduce((sum, share) => sum + share, 0)).toBeCloseTo(100, 6);
      }),
    );
  });
});

describe('the hatched part of a dial', () => {
  const KEYS = { 'dual-write': 'dualWrite', 'shadow-read': 'shadowRead', cutover: 'cutover' } as const;

  test('holds every value that the order of the dials forbids', () => {
    fc.assert(
      fc.property(
        standing,
        fc.constantFrom(...(['dual-write', 'shadow-read', 'cutover'] as const)),
        threshold,
        (status, dial, to) => {
          const never = limitsOf(dial, status).some(
            (limit) => limit.kind === 'never' && to >= limit.from && to <= limit.to,
          );
          const conflict = dialsConflict({ ...thresholdsOf(status), [KEYS[dial]]: to });
          if (conflict !== null) expect(never).toBe(true);
          // What is in force is never forbidden, and all else only for its order or its coverage.
          if (to === thresholdOf(status.dials[KEYS[dial]])) expect(never).toBe(false);
          if (never && conflict === null) {
            expect(dial).toBe('cutover');
            expect(to).toBeGreaterThan(coveredUpTo(status.covered.new, thresholdOf(status.dials.cutover)));
          }
        },
      ),
    );
  });
});

const bytes = (...parts: string[]): ReadableStream<Uint8Array> =>
  new ReadableStream({
    start(controller) {
      for (const part of parts) controller.enqueue(new TextEncoder().encode(part));
      controller.close();
    },
  });

describe('the event stream', () => {
  test('is read whole, however it was cut on its way', async () => {
    const text =
      'retry: 1\n\nid: events=3\nevent: ruleset\ndata: {"a":\ndata: 1}\n\n: alive\n\nevent: change\ndata: {}\n\n';
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(text.length), { maxLength: 6 }), async (cuts) => {
        const at = [0, ...cuts.toSorted((a, b) => a - b), text.length];
        const parts = at.slice(1).map((end, index) => text.slice(at[index], end));
        const events = [];
        for await (const event of readEvents(bytes(...parts))) if (event !== null) events.push(event);
        expect(events).toEqual([
          { event: 'ruleset', id: 'events=3', data: '{"a":\n1}' },
          { event: 'change', id: null, data: '{}' },
        ]);
      }),
    );
  });

  test('hears a comment, which says that somebody is there', async () => {
    const heard = [];
    for await (const event of readEvents(bytes(': alive\n\n'))) heard.push(event);
    expect(heard).toEqual([null]);
    expect(parseEvent(': alive')).toBe(null);
  });

  test('is opened again after a wait that grows, ends growing, and is no other page’s', () => {
    const waits = [1, 2, 3, 4, 5, 20, 500].map((attempt) => waitBefore(attempt, 1));
    expect(waits).toEqual(waits.toSorted((a, b) => a - b));
    expect(waits.at(-1)).toBe(10_000);
    expect(waitBefore(1, 0)).toBe(waitBefore(1, 1) / 2);
  });
});

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { InvalidArgument, StampExhausted } from '../../src/core/errors.ts';
import {
  makeStamp,
  maxStamp,
  parseStamp,
  STAMP_MIN,
  StampClock,
  stampCounter,
  stampFromBytes,
  stampIncarnation,
  stampMs,
  stampToBytes,
} from '../../src/core/stamp.ts';

const MAX_MS = 2 ** 48 - 1;
const parts = fc.tuple(
  fc.oneof(fc.nat({ max: 3 }), fc.integer({ min: 0, max: MAX_MS }), fc.constantFrom(0, 255, 256, MAX_MS)),
  fc.oneof(fc.nat({ max: 3 }), fc.nat({ max: 0xffff })),
  fc.oneof(fc.nat({ max: 3 }), fc.integer({ min: 0, max: 0xffff_ffff })),
);

class SettableClock {
  ms = 0;
  now(): number {
    return this.ms;
  }
}

describe('a stamp', () => {
  test('sorts as text as it sorts as bytes, and both as (ms, counter, incarnation)', () => {
    fc.assert(
      fc.property(parts, parts, (a, b) => {
        const [x, y] = [makeStamp(...a), makeStamp(...b)];
        const byParts = Math.sign(a[0] - b[0] || a[1] - b[1] || a[2] - b[2]);
        expect(x < y ? -1 : x > y ? 1 : 0).toBe(byParts);
        expect(Math.sign(Buffer.compare(stampToBytes(x), stampToBytes(y)))).toBe(byParts);
      }),
    );
  });

  test('is 12 bytes and comes back from its parts, its bytes and its text', () => {
    fc.assert(
      fc.property(parts, (given) => {
        const stamp = makeStamp(...given);
        expect([stampMs(stamp), stampCounter(stamp), stampIncarnation(stamp)]).toStrictEqual(given);
        expect(stampToBytes(stamp)).toHaveLength(12);
        expect(stampFromBytes(stampToBytes(stamp))).toBe(stamp);
        const within = Buffer.concat([Buffer.from([9]), stampToBytes(stamp), Buffer.from([9])]);
        expect(stampFromBytes(within.subarray(1, 13))).toBe(stamp);
        expect(parseStamp(stamp)).toBe(stamp);
      }),
    );
  });

  test('has exactly this form', () => {
    expect(makeStamp(0x0102_0304_0506, 0x0708, 0x090a_0b0c)).toBe('0102030405060708090a0b0c');
    expect(STAMP_MIN).toBe('000000000000000000000000');
  });

  test.each(['', '0'.repeat(23), '0'.repeat(25), `${'0'.repeat(23)}A`, `${'0'.repeat(23)}g`, `${'0'.repeat(24)}\n`])(
    'is not %j',
    (text) => expect(() => parseStamp(text)).toThrow(InvalidArgument),
  );

  test.each([0, 11, 13])('is not made of %i bytes', (length) => {
    expect(() => stampFromBytes(new Uint8Array(length))).toThrow(InvalidArgument);
  });

  test('of two, either of which may be missing, the greater is taken', () => {
    const [low, high] = [makeStamp(1, 0, 0), makeStamp(2, 0, 0)];
    expect([maxStamp(low, high), maxStamp(high, low), maxStamp(null, low), maxStamp(low, null)]).toStrictEqual([
      high,
      high,
      low,
      low,
    ]);
    expect(maxStamp(null, null)).toBeNull();
  });
});

/** What may happen to a clock of stamps. */
const event = fc.oneof(
  fc.record({ kind: fc.constant('next' as const) }),
  fc.record({
    kind: fc.constant('clock' as const),
    ms: fc.oneof(fc.integer({ min: -10, max: 10 }), fc.integer({ min: -100_000, max: 100_000 })),
  }),
  fc.record({
    kind: fc.constant('observe' as const),
    parts: fc.tuple(fc.nat({ max: 2_000_000 }), fc.nat({ max: 0xffff }), fc.nat({ max: 9 })),
  }),
);

describe('a clock of stamps', () => {
  test('issues ever greater stamps, above all it has observed, whatever the wall clock does', () => {
    fc.assert(
      fc.property(
        fc.array(event, { maxLength: 200 }),
        fc.integer({ min: 0, max: 0xffff_ffff }),
        (events, incarnation) => {
          const wall = new SettableClock();
          wall.ms = 1_000_000;
          const clock = new StampClock(wall, incarnation);
          let greatest = STAMP_MIN as string;
          for (const it of events) {
            if (it.kind === 'clock') wall.ms += it.ms;
            else if (it.kind === 'observe') {
              const seen = makeStamp(...it.parts);
              clock.observe(seen);
              if (seen > greatest) greatest = seen;
            } else {
              const stamp = clock.next();
              // An observed stamp may be of a greater incarnation: the millisecond and counter alone must then be greater.
              expect(stamp > greatest).toBe(true);
              expect(stampIncarnation(stamp)).toBe(incarnation);
              expect(stampMs(stamp)).toBeGreaterThanOrEqual(Math.max(0, Math.floor(wall.ms)));
              expect(clock.highWater() >= stamp).toBe(true);
              greatest = stamp;
            }
          }
        },
      ),
    );
  });

  test('counts up while the wall clock stands still or goes back, and starts the counter anew when it goes on', () => {
    const wall = new SettableClock();
    wall.ms = 50.9;
    const clock = new StampClock(wall, 7);
    expect([clock.next(), clock.next()]).toStrictEqual([makeStamp(50, 0, 7), makeStamp(50, 1, 7)]);
    wall.ms = 10;
    expect(clock.next()).toBe(makeStamp(50, 2, 7));
    wall.ms = 51;
    expect(clock.next()).toBe(makeStamp(51, 0, 7));
    wall.ms = -5;
    expect(clock.next()).toBe(makeStamp(51, 1, 7));
  });

  test('borrows a millisecond when the counter is full', () => {
    const wall = new SettableClock();
    wall.ms = 50;
    const clock = new StampClock(wall, 7);
    let last = clock.next();
    for (let i = 0; i < 0xffff; i += 1) last = clock.next();
    expect(last).toBe(makeStamp(50, 0xffff, 7));
    expect(clock.next()).toBe(makeStamp(51, 0, 7));
    expect(clock.aheadMs()).toBe(1);
  });

  test('follows a stamp of the far future, and says how far it is ahead', () => {
    const wall = new SettableClock();
    wall.ms = 1_000;
    const clock = new StampClock(wall, 7);
    clock.observe(makeStamp(90_001_000, 3, 9));
    expect(clock.next()).toBe(makeStamp(90_001_000, 4, 7));
    expect(clock.aheadMs()).toBe(90_000_000);
    clock.observe(makeStamp(5, 0, 9));
    expect(clock.next()).toBe(makeStamp(90_001_000, 5, 7));
  });

  test('says so when no greater stamp exists, rather than repeat one', () => {
    const clock = new StampClock(new SettableClock(), 7);
    clock.observe(makeStamp(MAX_MS, 0xfffe, 0));
    expect(clock.next()).toBe(makeStamp(MAX_MS, 0xffff, 7));
    expect(() => clock.next()).toThrow(StampExhausted);
    expect(() => clock.next()).toThrow(StampExhausted);
  });

  test('takes a wall clock past the 48 bits for the last millisecond', () => {
    const clock = new StampClock({ now: () => Number.MAX_SAFE_INTEGER }, 7);
    expect(clock.next()).toBe(makeStamp(MAX_MS, 0, 7));
  });

  test('never issues what another incarnation issues, on the same wall clock', () => {
    fc.assert(
      fc.property(
        fc.nat({ max: 9 }),
        fc.nat({ max: 9 }),
        fc.array(fc.nat({ max: 3 }), { maxLength: 50 }),
        (a, b, steps) => {
          fc.pre(a !== b);
          const wall = new SettableClock();
          const [one, two] = [new StampClock(wall, a), new StampClock(wall, b)];
          const issued: string[] = [];
          for (const step of steps) {
            wall.ms += step;
            const stamp = one.next();
            if (step === 0) two.observe(stamp);
            issued.push(stamp, two.next());
          }
          expect(new Set(issued).size).toBe(issued.length);
        },
      ),
    );
  });

  test.each([-1, 2 ** 32, 1.5, Number.NaN])('has no incarnation %d', (incarnation) => {
    expect(() => new StampClock(new SettableClock(), incarnation)).toThrow(InvalidArgument);
  });
});

import { randomBytes } from 'node:crypto';
import { Binary, BSONRegExp, Code, Decimal128, Long, MaxKey, MinKey, ObjectId, Timestamp, UUID } from 'bson';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { reviveBson } from '../../src/core/bson.ts';
import { canonicalBytes } from '../../src/core/canonical.ts';
import { InvalidRecord } from '../../src/core/errors.ts';
import { StructuralHash } from '../../src/core/structural-hash.ts';
import { Decimal } from '../../src/core/value.ts';
import { anyText, anyValue } from '../support/arbitrary-value.ts';

const hasher = new StructuralHash([0x243f6a88, 0x85a308d3, 0x13198a2e]);
const lanes = new Int32Array(3);

function hash(value: unknown, id = 'k'): string {
  hasher.record(id, value, lanes);
  return [...lanes].join();
}

const canonical = (value: unknown): string => canonicalBytes(value).toString('hex');

/** The same value built anew, the fields of its objects and the items of its sets in the opposite order. */
function mirrored(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(mirrored);
  if (value instanceof Set) return new Set([...value].reverse());
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value;
  const copy = {};
  for (const field of Object.keys(value).reverse()) {
    const item = mirrored((value as Record<string, unknown>)[field]);
    Object.defineProperty(copy, field, { value: item, enumerable: true, configurable: true, writable: true });
  }
  return copy;
}

describe('the structural hash', () => {
  test('is equal exactly where the canonical encoding is', () => {
    fc.assert(
      fc.property(anyValue, anyValue, (a, b) => {
        expect(hash(a) === hash(b)).toBe(canonical(a) === canonical(b));
        expect(hash(mirrored(a))).toBe(hash(a));
      }),
      { numRuns: 2_000 },
    );
  });

  test('tells near misses apart', () => {
    const date = new Date(1_000);
    const values: readonly unknown[] = [
      ...[null, undefined, true, false, 0, -0, 1, -1, 1.5, Number.NaN, 2 ** 31, -(2 ** 31), 2 ** 32, 2 ** 53],
      ...[Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0n, 1n, -1n, '', '0', '1', 'true', 'null', 'NaN', '1n'],
      ...[date, date.toISOString(), 1_000, new Date(Number.NaN), new Date(0), new Decimal('1'), new Decimal('1.5')],
      ...[
        new Uint8Array(0),
        new Uint8Array(1),
        new Uint8Array(4),
        new Uint8Array(5),
        Buffer.from('1'),
        Buffer.from('0'),
      ],
      ...[[], [[]], [null], [undefined], [undefined, undefined], {}, { a: null }, [{}], new Set(), new Set([null])],
      ...[[1, 2], [2, 1], [[1], 2], [1, [2]], new Set([1, 2]), new Set([1, [2]]), ['ab'], ['a', 'b'], ['b', 'a']],
      ...[{ a: 1, b: 2 }, { a: 2, b: 1 }, { a: { b: 2 } }, { a: 1 }, { b: 1 }, { 'a.b': 2 }, { ab: 1 }, { a: [1] }],
      ...['\ud800', '\udc00', '\ufffd', 'é', 'e\u0301', '\u0000', '\u0000\u0000', 'a\u0000', 'aa', 'a'],
      ...[new ObjectId('0'.repeat(24)), '0'.repeat(24), new Timestamp({ t: 1, i: 2 }), new Timestamp({ t: 2, i: 1 })],
      ...[new MinKey(), new MaxKey(), new BSONRegExp('a', 'i'), new BSONRegExp('ai', ''), new Code('a')],
      ...[
        new Binary(new Uint8Array(2), 5),
        new Binary(new Uint8Array(2), 6),
        new UUID('0'.repeat(32)),
        new Uint8Array(16),
      ],
      ...[Decimal128.fromString('NaN'), new Code('a', { b: 1 }), new Code('a', { b: 2 })],
      ...[63, 64, 65, 66, 67, 65_536, 65_537].flatMap((length) => {
        const most = 'a'.repeat(length - 1);
        const [first, last] = [`b${most.slice(1)}a`, `${most}b`];
        return [
          `${most}a`,
          first,
          last,
          `${most}\u0000`,
          `${most}é`,
          `${most}\u0161`,
          `${most}\ud800`,
          `${most}\ufffd`,
        ];
      }),
      ...['1'.repeat(70), BigInt('1'.repeat(70)), new Decimal('1'.repeat(70))],
    ];
    const byHash = new Map(values.map((value) => [hash(value), value]));
    expect(byHash.size).toBe(values.length);
    expect(new Set(values.map(canonical)).size).toBe(values.length);
  });

  test('takes for the same what the canonical encoding does', () => {
    const same: readonly (readonly [unknown, unknown])[] = [
      [{ a: 1, b: undefined }, { a: 1 }],
      [new Decimal('1.50'), new Decimal('1.5')],
      [Buffer.from([1, 2]), new Uint8Array([1, 2])],
      [Object.assign(Object.create(null), { a: 1 }), { a: 1 }],
      [new Set([new Date(1), new Date(1)]), new Set([new Date(1), new Date(1)])],
      [Array(2), [undefined, undefined]],
      [new ObjectId('a'.repeat(24)), reviveBson('ObjectId', 'a'.repeat(24))],
      [Number.NaN, 0 / 0],
    ];
    for (const [a, b] of same) expect(hash(a)).toBe(hash(b));
  });

  test('depends on the id and on the seed', () => {
    expect(hash({ a: 1 }, 'k')).not.toBe(hash({ a: 1 }, 'l'));
    fc.assert(
      fc.property(anyText, anyText, (a, b) => {
        expect(hash(1, a) === hash(1, b)).toBe(a === b);
      }),
    );
    const other = new Int32Array(3);
    new StructuralHash([1, 2, 3]).record('k', { a: 1 }, other);
    expect([...other].join()).not.toBe(hash({ a: 1 }));
  });

  test('refuses what is no value, deep inside too', () => {
    for (const wrong of [() => 1, Symbol('s'), new Map(), new (class Own {})(), Long.fromNumber(1)]) {
      expect(() => hash({ a: [wrong] })).toThrow(InvalidRecord);
    }
    expect(hash(1)).toBe(hash(1));
  });

  test('a changed bit of a text, a number or bytes changes each bit of each lane about half of the time', () => {
    const changed = new Float64Array(96);
    const rounds = 2_000;
    const flip = (bytes: Buffer, bit: number): Buffer => {
      const copy = Buffer.from(bytes);
      copy[bit >> 3] = (copy[bit >> 3] as number) ^ (1 << (bit & 7));
      return copy;
    };
    const shapes: readonly ((bytes: Buffer) => unknown)[] = [
      (bytes) => bytes.toString('latin1'),
      (bytes) => ({ a: 1, b: bytes.readInt32LE(0), c: bytes.readInt32LE(4) }),
      (bytes) => [bytes],
    ];
    for (let round = 0; round < rounds; round += 1) {
      const bytes = randomBytes(8);
      const shape = shapes[round % shapes.length] as (bytes: Buffer) => unknown;
      hasher.record('k', shape(bytes), lanes);
      const before = lanes.slice();
      hasher.record('k', shape(flip(bytes, (round * 7) % 64)), lanes);
      for (let bit = 0; bit < 96; bit += 1) {
        const difference = (before[bit >> 5] as number) ^ (lanes[bit >> 5] as number);
        changed[bit] = (changed[bit] as number) + ((difference >>> (bit & 31)) & 1);
      }
    }
    // 2,000 throws of a coin: seven standard deviations are 157, which a fair one is past once in 10^11.
    for (const count of changed) expect(Math.abs(count - rounds / 2)).toBeLessThan(157);
  });

  test('hundreds of thousands of near records share no lane more often than chance, and no two lanes', () => {
    const records = 300_000;
    const pairs = (records * (records - 1)) / 2;
    const seen = [0, 1, 2].map(() => new Set<number>());
    const two = new Set<number>();
    for (let i = 0; i < records; i += 1) {
      hasher.record('k', { a: i % 1_000, b: Math.floor(i / 1_000), c: `${i % 7}` }, lanes);
      seen.forEach((set, lane) => {
        set.add(lanes[lane] as number);
      });
      two.add((lanes[0] as number) * 2 ** 20 + ((lanes[1] as number) & 0xfffff));
    }
    // Pairs that share 32 bits: 10.5 on average; 52 of 96 bits as one number: 0.00001.
    for (const set of seen) expect(records - set.size).toBeLessThan((pairs / 2 ** 32) * 5);
    expect(two.size).toBe(records);
  });
});

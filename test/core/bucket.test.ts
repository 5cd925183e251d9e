import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BUCKETS, bucketOf, murmur3 } from '../../src/core/bucket.ts';
import { anyText } from '../support/arbitrary-value.ts';

/** Key, hash and bucket of 10 000 of flagd's `fractional`, generation 2, for the flag `mig`. */
const VECTORS = [
  ['user-1', 2503100, 5],
  ['user-2', 2287945781, 5327],
  ['alice@example.com', 2158256483, 5025],
  ['0', 414777511, 965],
  ['a', 851293250, 1982],
  ['order:12345', 1585105563, 3690],
  ['naïve', 1783101739, 4151],
  ['日本語キー', 1384848724, 3224],
  ['emoji-😀', 2904932691, 6763],
] as const;

/** MurmurHash3 x86 32 as its author wrote it, over the bytes that TextEncoder gives; in bigint, to be slow and plain. */
function reference(text: string): number {
  const bytes = new TextEncoder().encode(text);
  const u32 = (n: bigint): bigint => n & 0xffff_ffffn;
  const rotate = (n: bigint, by: bigint): bigint => u32(n << by) | (n >> (32n - by));
  const mix = (k: bigint): bigint => u32(rotate(u32(k * 0xcc9e2d51n), 15n) * 0x1b873593n);
  let h = 0n;
  const blocks = bytes.length - (bytes.length % 4);
  for (let i = 0; i < blocks; i += 4) {
    const k = BigInt(new DataView(bytes.buffer).getUint32(i, true));
    h = u32(rotate(h ^ mix(k), 13n) * 5n + 0xe6546b64n);
  }
  let tail = 0n;
  for (let i = bytes.length - 1; i >= blocks; i -= 1) tail = (tail << 8n) | BigInt(bytes[i] as number);
  if (blocks < bytes.length) h ^= mix(tail);
  h ^= BigInt(bytes.length);
  h = u32((h ^ (h >> 16n)) * 0x85ebca6bn);
  h = u32((h ^ (h >> 13n)) * 0xc2b2ae35n);
  return Number(h ^ (h >> 16n));
}

describe('the hash of a unit', () => {
  test.each(VECTORS)('of %j is what flagd computes', (unit, hash, of10000) => {
    expect(murmur3('mig', unit)).toBe(hash);
    expect(Number((BigInt(hash) * 10_000n) >> 32n)).toBe(of10000);
    expect(bucketOf('mig', unit)).toBe(Number((BigInt(hash) * BigInt(BUCKETS)) >> 32n));
    // Dials in whole hundredths of a percent cut where flagd cuts.
    expect(Math.floor(bucketOf('mig', unit) / 10)).toBe(of10000);
  });

  test.each([
    ['', 0],
    ['test', 0xba6bd213],
    ['Hello, world!', 0xc0363e43],
    ['The quick brown fox jumps over the lazy dog', 0x2e4ff723],
  ] as const)('of %j is what others publish, and the reference of this test agrees', (text, known) => {
    expect(murmur3('', text)).toBe(known);
    expect(reference(text)).toBe(known);
  });

  test('equals the plain algorithm over the bytes of TextEncoder, lone surrogates included', () => {
    fc.assert(
      // Only a migration's name comes first, and it is ASCII: a pair of surrogates is never cut in two.
      fc.property(fc.stringMatching(/^[A-Za-z0-9_.-]{0,9}$/), anyText, (migration, unit) => {
        expect(murmur3(migration, unit)).toBe(reference(migration + unit));
      }),
      { numRuns: 2_000 },
    );
  });

  test.each(['\ud800', '\udfff', 'a\ud83d', '\ude00b', '\ud83d\ud83d\ude00', '\ude00\ud83d', '\uffff', '\u07ff\u0800'])(
    'of %j, by its UTF-8',
    (unit) => expect(murmur3('mig', unit)).toBe(reference(`mig${unit}`)),
  );
});

describe('a bucket', () => {
  test('is a whole number from 0 to 99 999, exact', () => {
    fc.assert(
      fc.property(anyText, (unit) => {
        const exact = (BigInt(reference(`events${unit}`)) * BigInt(BUCKETS)) >> 32n;
        expect(bucketOf('events', unit)).toBe(Number(exact));
        expect(bucketOf('events', unit)).toBeLessThan(BUCKETS);
      }),
    );
  });

  test('holds about as many units as any other', () => {
    const units = 200_000;
    const counts = new Array<number>(100).fill(0);
    for (let i = 0; i < units; i += 1) {
      const share = Math.floor(bucketOf('events', `user-${i}`) / (BUCKETS / counts.length));
      counts[share] = (counts[share] as number) + 1;
    }
    const expected = units / counts.length;
    const chiSquare = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
    // 99 degrees of freedom: 161 is passed by chance once in 10 000; the units are fixed, so this never flickers.
    expect(chiSquare).toBeLessThan(161);
  });

  test('differs between migrations, so that the same users are not always first', () => {
    const units = Array.from({ length: 1_000 }, (_, i) => `user-${i}`);
    const early = (migration: string): Set<string> =>
      new Set(units.filter((unit) => bucketOf(migration, unit) < BUCKETS / 2));
    const orders = early('orders');
    const both = [...early('events')].filter((unit) => orders.has(unit)).length;
    expect(both).toBeGreaterThan(180);
    expect(both).toBeLessThan(320);
  });
});

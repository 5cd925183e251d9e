/** How many buckets a line has: the dials move in steps of 0.001 %. */
export const BUCKETS = 100_000;

const C1 = 0xcc9e2d51;
const C2 = 0x1b873593;

function mixKey(k: number): number {
  const k1 = Math.imul(k, C1);
  return Math.imul((k1 << 15) | (k1 >>> 17), C2);
}

function mixBlock(h: number, k: number): number {
  const h1 = h ^ mixKey(k);
  return (Math.imul((h1 << 13) | (h1 >>> 19), 5) + 0xe6546b64) | 0;
}

/**
 * MurmurHash3 x86 32 (Austin Appleby, public domain), seed 0, of the UTF-8 bytes of `prefix` followed by `text`,
 * unsigned. Encodes on the fly, so it allocates nothing. Lone surrogates hash as U+FFFD, as TextEncoder writes them.
 */
export function murmur3(prefix: string, text: string): number {
  let h = 0;
  let block = 0;
  let length = 0;
  for (let part = 0; part < 2; part += 1) {
    const source = part === 0 ? prefix : text;
    for (let i = 0; i < source.length; i += 1) {
      let code = source.charCodeAt(i);
      if (code < 0x80) {
        block |= code << ((length & 3) << 3);
        length += 1;
        if ((length & 3) === 0) {
          h = mixBlock(h, block);
          block = 0;
        }
        continue;
      }
      if (code >= 0xd800 && code <= 0xdfff) {
        const low = code <= 0xdbff && i + 1 < source.length ? source.charCodeAt(i + 1) : 0;
        if (low >= 0xdc00 && low <= 0xdfff) {
          code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
          i += 1;
        } else {
          code = 0xfffd;
        }
      }
      const bytes = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
      for (let at = bytes - 1; at >= 0; at -= 1) {
        const lead = bytes === 2 ? 0xc0 : bytes === 3 ? 0xe0 : 0xf0;
        const byte = at === bytes - 1 ? lead | (code >> (6 * at)) : 0x80 | ((code >> (6 * at)) & 0x3f);
        block |= byte << ((length & 3) << 3);
        length += 1;
        if ((length & 3) === 0) {
          h = mixBlock(h, block);
          block = 0;
        }
      }
    }
  }
  if ((length & 3) !== 0) h ^= mixKey(block);
  h ^= length;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/**
 * The bucket of a unit, 0 … 99 999: flagd's `fractional` arithmetic, generation 2.
 *
 * @example bucketOf('events', 'ada')
 */
export function bucketOf(migration: string, unit: string): number {
  // hash < 2^32 and BUCKETS < 2^17, so the product is exact in a double.
  return Math.floor((murmur3(migration, unit) * BUCKETS) / 0x1_0000_0000);
}

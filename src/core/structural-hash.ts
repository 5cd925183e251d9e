import { bsonText, codeWithScope, isBson } from './bson.ts';
import { InvalidRecord } from './errors.ts';
import { Decimal, isPlainObject } from './value.ts';

/*
 * A hash of a value that walks it without building bytes or text. What the canonical encoding (canonical.ts) tells
 * apart is fed into it apart: a tag and, where it is open, a length before every item, texts as UTF-16 code units (long
 * ones of ASCII as bytes).
 * Fields of objects and items of sets are hashed by themselves and added up, so that their order does not matter and
 * nothing is sorted.
 *
 * Three lanes of 32 bits go through the same words with multipliers and rotations of their own: 96 bits. Two different
 * values have the same hash with a probability of 2^-96 (see docs/verify.md). It is no cryptographic hash, so
 * every process hashes from a seed that nobody outside knows: values that collide cannot be prepared.
 */

const TAG = {
  null: 1,
  undefined: 2,
  true: 3,
  false: 4,
  integer: 5,
  double: 6,
  bigint: 7,
  decimal: 8,
  text: 9,
  bytes: 10,
  date: 11,
  array: 12,
  set: 13,
  object: 14,
  bson: 15,
  code: 16,
  ascii: 17,
} as const;

/** Tags stand in the upper bits of their word, lengths below: 2^26 is more than any store takes. */
const TAG_SHIFT = 26;

const double = new Float64Array(1);
const halves = new Int32Array(double.buffer);

// The lanes. Module variables, because a walk that hands them from call to call takes twice as long.
let a = 0;
let b = 0;
let c = 0;
let seedA = 0;
let seedB = 0;
let seedC = 0;

function word(value: number): void {
  const x = Math.imul(a ^ value, 0x9e3779b1);
  const y = Math.imul(b ^ value, 0x85ebca77);
  const z = Math.imul(c ^ value, 0xc2b2ae3d);
  a = (x << 13) | (x >>> 19);
  b = (y << 17) | (y >>> 15);
  c = (z << 11) | (z >>> 21);
}

/** The last mixing of a lane (murmur3's): every bit of the input changes each bit of the outcome half of the time. */
function last(lane: number): number {
  let h = lane;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

const LONG = 64;
const longBytes = new Uint8Array(1 << 16);
const longWords = new Int32Array(longBytes.buffer);
const utf8 = new TextEncoder();

/** A long text of ASCII, four characters a word: reading them out at once costs less than one by one. False for others. */
function ascii(tag: number, value: string): boolean {
  const length = value.length;
  // Whatever is no ASCII takes more bytes than code units.
  if (length > longBytes.length || utf8.encodeInto(value, longBytes).written !== length) return false;
  word((TAG.ascii << TAG_SHIFT) ^ length);
  word(tag);
  let x = a;
  let y = b;
  let z = c;
  longBytes.fill(0, length, (length + 3) & ~3);
  const words = (length + 3) >> 2;
  for (let i = 0; i < words; i += 1) {
    const units = longWords[i] as number;
    x = Math.imul(x ^ units, 0x9e3779b1);
    y = Math.imul(y ^ units, 0x85ebca77);
    z = Math.imul(z ^ units, 0xc2b2ae3d);
    x = (x << 13) | (x >>> 19);
    y = (y << 17) | (y >>> 15);
    z = (z << 11) | (z >>> 21);
  }
  a = x;
  b = y;
  c = z;
  return true;
}

function text(tag: number, value: string): void {
  const length = value.length;
  if (length >= LONG && ascii(tag, value)) return;
  word((tag << TAG_SHIFT) ^ length);
  let x = a;
  let y = b;
  let z = c;
  let i = 0;
  for (; i + 1 < length; i += 2) {
    const units = value.charCodeAt(i) | (value.charCodeAt(i + 1) << 16);
    x = Math.imul(x ^ units, 0x9e3779b1);
    y = Math.imul(y ^ units, 0x85ebca77);
    z = Math.imul(z ^ units, 0xc2b2ae3d);
    x = (x << 13) | (x >>> 19);
    y = (y << 17) | (y >>> 15);
    z = (z << 11) | (z >>> 21);
  }
  a = x;
  b = y;
  c = z;
  if (i < length) word(value.charCodeAt(i));
}

function number(tag: number, value: number): void {
  const whole = value | 0;
  if (whole === value && (whole !== 0 || 1 / value > 0) && tag === TAG.double) {
    word(TAG.integer << TAG_SHIFT);
    word(whole);
    return;
  }
  double[0] = Number.isNaN(value) ? Number.NaN : value;
  word(tag << TAG_SHIFT);
  word(halves[0] as number);
  word(halves[1] as number);
}

function bytes(value: Uint8Array): void {
  const length = value.byteLength;
  word((TAG.bytes << TAG_SHIFT) ^ length);
  for (let i = 0; i < length; i += 4) {
    // Beyond the end is undefined, which shifts as 0: the length tells them apart.
    word(
      (value[i] as number) |
        ((value[i + 1] as number) << 8) |
        ((value[i + 2] as number) << 16) |
        ((value[i + 3] as number) << 24),
    );
  }
}

function object(value: Record<string, unknown>): void {
  const fields = Object.keys(value);
  const outerA = a;
  const outerB = b;
  const outerC = c;
  let sumA = 0;
  let sumB = 0;
  let sumC = 0;
  let count = 0;
  for (let i = 0; i < fields.length; i += 1) {
    const field = fields[i] as string;
    const item = value[field];
    if (item === undefined) continue;
    a = seedA;
    b = seedB;
    c = seedC;
    text(TAG.text, field);
    walk(item);
    sumA = (sumA + last(a)) | 0;
    sumB = (sumB + last(b)) | 0;
    sumC = (sumC + last(c)) | 0;
    count += 1;
  }
  a = outerA;
  b = outerB;
  c = outerC;
  together(TAG.object, count, sumA, sumB, sumC);
}

function set(value: ReadonlySet<unknown>): void {
  const outerA = a;
  const outerB = b;
  const outerC = c;
  let sumA = 0;
  let sumB = 0;
  let sumC = 0;
  for (const item of value) {
    a = seedA;
    b = seedB;
    c = seedC;
    walk(item);
    sumA = (sumA + last(a)) | 0;
    sumB = (sumB + last(b)) | 0;
    sumC = (sumC + last(c)) | 0;
  }
  a = outerA;
  b = outerB;
  c = outerC;
  together(TAG.set, value.size, sumA, sumB, sumC);
}

/** Takes in what was hashed by itself: into each lane its own sum. */
function together(tag: number, count: number, sumA: number, sumB: number, sumC: number): void {
  word((tag << TAG_SHIFT) ^ count);
  const x = Math.imul(a ^ sumA, 0x9e3779b1);
  const y = Math.imul(b ^ sumB, 0x85ebca77);
  const z = Math.imul(c ^ sumC, 0xc2b2ae3d);
  a = (x << 13) | (x >>> 19);
  b = (y << 17) | (y >>> 15);
  c = (z << 11) | (z >>> 21);
}

function walk(value: unknown): void {
  switch (typeof value) {
    case 'string':
      text(TAG.text, value);
      return;
    case 'number':
      number(TAG.double, value);
      return;
    case 'boolean':
      word((value ? TAG.true : TAG.false) << TAG_SHIFT);
      return;
    case 'undefined':
      word(TAG.undefined << TAG_SHIFT);
      return;
    case 'bigint':
      text(TAG.bigint, value.toString());
      return;
    case 'object':
      break;
    default:
      throw new InvalidRecord(`a ${typeof value} cannot be hashed`);
  }
  if (value === null) word(TAG.null << TAG_SHIFT);
  else if (Array.isArray(value)) {
    word((TAG.array << TAG_SHIFT) ^ value.length);
    for (let i = 0; i < value.length; i += 1) walk(value[i]);
  } else if (isPlainObject(value)) object(value);
  else if (value instanceof Date) number(TAG.date, value.getTime());
  else if (value instanceof Decimal) text(TAG.decimal, value.text);
  else if (value instanceof Uint8Array) bytes(value);
  else if (value instanceof Set) set(value);
  else if (isBson(value)) {
    text(TAG.bson, value._bsontype);
    text(TAG.text, bsonText(value));
  } else rare(value);
}

/** No value of records, but what a store holds must be told apart all the same. */
function rare(value: object): void {
  const code = codeWithScope(value);
  if (code === null) throw new InvalidRecord(`a ${value.constructor?.name ?? 'class instance'} cannot be hashed`);
  text(TAG.code, code.code);
  walk(code.scope);
}

/** Hashes of values under one seed: comparable with each other only. */
export class StructuralHash {
  readonly #seed: readonly [number, number, number];

  /** Three numbers that nobody outside knows. */
  constructor(seed: readonly [number, number, number]) {
    this.#seed = [seed[0] | 0, seed[1] | 0, seed[2] | 0];
  }

  /**
   * Writes the hash of a record under its id into the three places of `into`; gives the hash of the id alone, for
   * choosing a partition. Two values have the same hash exactly when their canonical encodings are the same, but for
   * one pair in 2^96. @throws InvalidRecord for what is no value
   */
  record(id: string, value: unknown, into: Int32Array): number {
    [seedA, seedB, seedC] = this.#seed;
    a = seedA;
    b = seedB;
    c = seedC;
    text(TAG.text, id);
    const named = last(a);
    walk(value);
    into[0] = last(a);
    into[1] = last(b);
    into[2] = last(c);
    return named;
  }
}

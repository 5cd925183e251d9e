import { bsonText, isBson, reviveBson } from '../src/core/bson.ts';
import type { Random } from '../src/core/clock.ts';
import { PLANTED_INCARNATION, PLANTED_TEXT } from '../src/core/planted.ts';
import { makeStamp, type Stamp } from '../src/core/stamp.ts';
import { Decimal, isPlainObject, type Key, type KeyPart, type StoredRecord, type Value } from '../src/core/value.ts';
import type { DivergenceKind } from './divergence.ts';

/*
 * Planted records: known divergences that a verification plants in both stores, must find, and removes again.
 *
 * They are written past the protocol, physically and by one process. That is safe because no other writer ever has one
 * of their keys (each has random parts of its own run, and nothing is planted over anything), replays pass them over,
 * and they carry the stamps of incarnation 0, which no process is ever given: by that, and not by their keys, they are
 * known, left out of counts and removed, also by a later run after this one was killed.
 */

/** How many of each kind are planted. */
export const PLANTED_EACH = 3;

export const PLANTED_KINDS: readonly DivergenceKind[] = Object.freeze(['missing', 'extra', 'stale', 'different']);

/** So old that nobody takes them for writes on their way. */
const AGE_MS = 3_600_000;

/** The stamp of a planted record: an older version and a newer one. */
export const plantedStamp = (now: number, version: 'older' | 'newer'): Stamp =>
  makeStamp(Math.max(1, now - AGE_MS), version === 'older' ? 0 : 1, PLANTED_INCARNATION);

const UUID_TEXT = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

function bytesOf(random: Random, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => Math.floor(random() * 256)));
}

function uuidText(random: Random): string {
  const hex = bytesOf(random, 16).toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20)}`;
}

/** A part of a key like `pattern` that nobody has; truth values stay as they are, and numbers where it is wanted. */
function unusedPart(pattern: KeyPart, random: Random, numbers: 'negative' | 'kept'): KeyPart {
  if (numbers === 'kept' && (typeof pattern === 'number' || typeof pattern === 'bigint')) return pattern;
  const below = (count: number): number => Math.floor(random() * count);
  switch (typeof pattern) {
    case 'string':
      return UUID_TEXT.test(pattern)
        ? uuidText(random)
        : `${PLANTED_TEXT}${below(36 ** 8)
            .toString(36)
            .padStart(8, '0')}`;
    case 'number':
      // Negative, so that no store that counts keys up goes on from there; of 32 bits.
      return -2_000_000_000 - below(147_000_000);
    case 'bigint':
      return -2_000_000_000n - BigInt(below(147_000_000));
    case 'boolean':
      return pattern;
  }
  if (pattern instanceof Date) return new Date(Date.UTC(1971, 0, 1) + below(30_000_000) * 1_000);
  if (pattern instanceof Uint8Array) return new Uint8Array(bytesOf(random, Math.max(1, pattern.byteLength)));
  if (isBson(pattern) && pattern._bsontype === 'ObjectId') {
    return reviveBson('ObjectId', bytesOf(random, 12).toString('hex')) as KeyPart;
  }
  const [subType = '4', bytes = ''] = bsonText(pattern).split(':');
  const length = Math.max(1, Buffer.from(bytes, 'base64').byteLength);
  return reviveBson('Binary', `${subType}:${bytesOf(random, length).toString('base64')}`) as KeyPart;
}

/** One bucket alone would be met once in them on average. */
const MOST_TRIES = 100_000;

/**
 * A key like `pattern` that nobody has and whose unit is verified; null where there is none, as where only named units
 * are verified.
 */
export function unusedKey(
  pattern: Key,
  random: Random,
  isVerified: (key: Key) => boolean,
  numbers: 'negative' | 'kept' = 'negative',
): Key | null {
  for (let tries = 0; tries < MOST_TRIES; tries += 1) {
    const parts = Object.entries(pattern).map(([field, part]) => [field, unusedPart(part, random, numbers)]);
    const key: Key = Object.fromEntries(parts);
    if (isVerified(key)) return key;
  }
  return null;
}

/** Another value of the same type that a column takes where it takes this one; undefined where none is known. */
function otherValue(value: Value): Value {
  switch (typeof value) {
    case 'boolean':
      return !value;
    case 'number':
      return value > 0 ? value - 1 : value + 1;
    case 'bigint':
      return value > 0n ? value - 1n : value + 1n;
    case 'string':
      return `${value.slice(0, -1)}${value.endsWith('1') ? '2' : '1'}`;
  }
  if (value instanceof Date) return new Date(value.getTime() - 1_000);
  if (value instanceof Decimal) {
    const [digits = '0', exponent = '0'] = value.text.split('e');
    // With no more digits than it has.
    return new Decimal(`${otherValue(BigInt(digits))}e${exponent}`);
  }
  if (value instanceof Uint8Array && value.byteLength > 0) {
    // No slice: a Buffer's is the same bytes.
    const other = Uint8Array.from(value);
    other[0] = (value[0] as number) ^ 1;
    return other;
  }
  if (!Array.isArray(value) || value.length === 0) return undefined;
  const last = otherValue(value.at(-1));
  return last === undefined ? value.slice(0, -1) : [...value.slice(0, -1), last];
}

/**
 * Records that differ from `record` in one field that is not of the key, at the top or below: the more likely a schema
 * takes the other value, the earlier.
 */
export function alterations(record: StoredRecord, keyFields: readonly string[]): readonly StoredRecord[] {
  const found: { readonly rank: number; readonly record: StoredRecord }[] = [];
  const RANK = ['boolean', 'number', 'bigint', 'object', 'string'];
  const visit = (fields: StoredRecord, put: (changed: StoredRecord) => StoredRecord, top: boolean): void => {
    for (const [field, value] of Object.entries(fields)) {
      if ((top && keyFields.includes(field)) || field === '__proto__') continue;
      const with_ = (other: Value): StoredRecord => put({ ...fields, [field]: other });
      if (isPlainObject(value)) visit(value as StoredRecord, with_, false);
      else {
        const other = otherValue(value);
        if (other !== undefined) found.push({ rank: RANK.indexOf(typeof value), record: with_(other) });
      }
    }
  };
  visit(record, (changed) => changed, true);
  return found.sort((a, b) => a.rank - b.rank).map(({ record: changed }) => changed);
}

/** `record` with another text in every field of text that is not of the key: for columns that take each only once. */
export function withOtherTexts(record: StoredRecord, keyFields: readonly string[], random: Random): StoredRecord {
  const own = bytesOf(random, 3).toString('hex');
  return Object.fromEntries(
    Object.entries(record).map(([field, value]) => {
      if (keyFields.includes(field) || typeof value !== 'string' || value.length < own.length) return [field, value];
      return [field, UUID_TEXT.test(value) ? uuidText(random) : `${value.slice(0, -own.length)}${own}`];
    }),
  );
}

import { bsonText, isBson, isBsonType, reviveBson } from './bson.ts';
import { canonicalText } from './canonical.ts';
import { InvalidArgument } from './errors.ts';
import { Decimal, type Key, type KeyPart, NoName } from './value.ts';

type PartJson = string | number | boolean | { readonly type: string; readonly text: string };

/** A key as plain JSON, for cursors, dirt and reports; strings, numbers and booleans stand for themselves. */
export type KeyJson = { readonly [field: string]: PartJson };

/** Of what a scan met, too: a part may be anything that a store holds. */
function partToJson(part: unknown): PartJson {
  if (typeof part === 'string' || typeof part === 'boolean') return part;
  if (typeof part === 'number' && Number.isFinite(part)) return part;
  if (typeof part === 'bigint') return { type: 'bigint', text: part.toString() };
  if (part instanceof Date && !Number.isNaN(part.getTime())) return { type: 'date', text: part.toISOString() };
  if (part instanceof Uint8Array) return { type: 'bytes', text: Buffer.from(part).toString('base64') };
  if (part instanceof Decimal) return { type: 'decimal', text: part.text };
  if (typeof part === 'object' && part !== null && isBson(part)) return { type: part._bsontype, text: bsonText(part) };
  return { type: 'other', text: canonicalText(part) };
}

function partFromJson(part: PartJson): KeyPart | Decimal | NoName {
  if (typeof part !== 'object') return part;
  switch (part.type) {
    case 'bigint':
      return BigInt(part.text);
    case 'date':
      return new Date(part.text);
    case 'bytes':
      return new Uint8Array(Buffer.from(part.text, 'base64'));
    case 'decimal':
      return new Decimal(part.text);
    case 'other':
      return new NoName(part.text);
    default:
      if (isBsonType(part.type)) return reviveBson(part.type, part.text) as KeyPart;
      throw new InvalidArgument('a stored key has a part of an unknown type', {
        expected: 'bigint, date, bytes, decimal, or a type of BSON',
      });
  }
}

export function keyToJson(key: Key): KeyJson {
  return Object.fromEntries(Object.entries(key).map(([field, part]) => [field, partToJson(part)]));
}

export function keyFromJson(json: KeyJson): Key {
  return Object.fromEntries(Object.entries(json).map(([field, part]) => [field, partFromJson(part) as KeyPart]));
}

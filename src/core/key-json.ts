import { bsonText, isBson, isBsonType, reviveBson } from './bson.ts';
import { InvalidArgument } from './errors.ts';
import type { Key, KeyPart } from './value.ts';

type PartJson = string | number | boolean | { readonly type: string; readonly text: string };

/** A key as plain JSON, for cursors, dirt and reports; strings, numbers and booleans stand for themselves. */
export type KeyJson = { readonly [field: string]: PartJson };

function partToJson(part: KeyPart): PartJson {
  if (typeof part === 'bigint') return { type: 'bigint', text: part.toString() };
  if (part instanceof Date) return { type: 'date', text: part.toISOString() };
  if (part instanceof Uint8Array) return { type: 'bytes', text: Buffer.from(part).toString('base64') };
  if (typeof part === 'object' && isBson(part)) return { type: part._bsontype, text: bsonText(part) };
  return part;
}

function partFromJson(part: PartJson): KeyPart {
  if (typeof part !== 'object') return part;
  switch (part.type) {
    case 'bigint':
      return BigInt(part.text);
    case 'date':
      return new Date(part.text);
    case 'bytes':
      return new Uint8Array(Buffer.from(part.text, 'base64'));
    default:
      if (isBsonType(part.type)) return reviveBson(part.type, part.text) as KeyPart;
      throw new InvalidArgument('a stored key has a part of an unknown type', {
        expected: 'bigint, date, bytes, or a type of BSON',
      });
  }
}

export function keyToJson(key: Key): KeyJson {
  return Object.fromEntries(Object.entries(key).map(([field, part]) => [field, partToJson(part)]));
}

export function keyFromJson(json: KeyJson): Key {
  return Object.fromEntries(Object.entries(json).map(([field, part]) => [field, partFromJson(part)]));
}

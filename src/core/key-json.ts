import { InvalidArgument } from './errors.ts';
import type { Key, KeyPart } from './value.ts';

type PartJson = string | number | boolean | { readonly type: 'bigint' | 'date' | 'bytes'; readonly text: string };

/** A key as plain JSON, for cursors, dirt and reports; strings, numbers and booleans stand for themselves. */
export type KeyJson = { readonly [field: string]: PartJson };

function partToJson(part: KeyPart): PartJson {
  if (typeof part === 'bigint') return { type: 'bigint', text: part.toString() };
  if (part instanceof Date) return { type: 'date', text: part.toISOString() };
  if (part instanceof Uint8Array) return { type: 'bytes', text: Buffer.from(part).toString('base64') };
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
      throw new InvalidArgument('a stored key has a part of an unknown type', { expected: 'bigint, date or bytes' });
  }
}

export function keyToJson(key: Key): KeyJson {
  return Object.fromEntries(Object.entries(key).map(([field, part]) => [field, partToJson(part)]));
}

export function keyFromJson(json: KeyJson): Key {
  return Object.fromEntries(Object.entries(json).map(([field, part]) => [field, partFromJson(part)]));
}

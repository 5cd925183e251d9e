import { type Attribute, type Item, setOwn } from './attribute.ts';

type OfBytes = { readonly B: unknown } | { readonly BS: unknown } | { readonly L: unknown } | { readonly M: unknown };

/** An attribute as DynamoDB's JSON writes it: bytes as base64. */
export type JsonAttribute =
  | Exclude<Attribute, OfBytes>
  | { readonly B: string }
  | { readonly BS: readonly string[] }
  | { readonly L: readonly JsonAttribute[] }
  | { readonly M: { [name: string]: JsonAttribute } };

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'base64'));

export function toJson(attribute: Attribute): JsonAttribute {
  if ('B' in attribute) return { B: base64(attribute.B) };
  if ('BS' in attribute) return { BS: attribute.BS.map(base64) };
  if ('L' in attribute) return { L: attribute.L.map(toJson) };
  if (!('M' in attribute)) return attribute;
  const map: { [name: string]: JsonAttribute } = {};
  for (const name of Object.keys(attribute.M)) setOwn(map, name, toJson(attribute.M[name] as Attribute));
  return { M: map };
}

/** @throws TypeError when it is none */
export function fromJson(attribute: JsonAttribute): Attribute {
  if ('B' in attribute) return { B: bytesOf(attribute.B) };
  if ('BS' in attribute) return { BS: attribute.BS.map(bytesOf) };
  if ('L' in attribute) return { L: attribute.L.map(fromJson) };
  if (!('M' in attribute)) return attribute;
  const map: Item = {};
  for (const name of Object.keys(attribute.M)) setOwn(map, name, fromJson(attribute.M[name] as JsonAttribute));
  return { M: map };
}

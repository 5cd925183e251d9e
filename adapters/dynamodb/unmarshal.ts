import { Decimal, type Value } from '../../src/core/value.ts';
import { type Attribute, setOwn, type Tag, type TagNode } from './attribute.ts';
import { type Bson, bsonOf } from './bson-attribute.ts';
import { fromJson, type JsonAttribute } from './json-attribute.ts';
import { integerOf, naturalNumber } from './number-text.ts';

const childOf = (tag: Tag | undefined, step: string | number): Tag | undefined =>
  typeof tag === 'object' && Object.hasOwn(tag, step) ? (tag as TagNode)[step] : undefined;

/**
 * The value of an attribute. A tag that does not fit the attribute (others changed the item and left the tags) is
 * ignored: the attribute is then what it naturally is.
 */
export function unmarshal(attribute: Attribute, tag?: Tag, bson: Bson = null): Value {
  if ('S' in attribute) return ofString(attribute, tag, bson);
  if ('N' in attribute) return ofNumber(attribute.N, tag);
  if ('BOOL' in attribute) return attribute.BOOL;
  if ('NULL' in attribute) return tag === 'u' ? undefined : null;
  if ('B' in attribute) return ofBytes(attribute, tag, bson);
  if ('M' in attribute) {
    const map: { [field: string]: Value } = {};
    for (const name of Object.keys(attribute.M)) {
      setOwn(map, name, unmarshal(attribute.M[name] as Attribute, childOf(tag, name), bson));
    }
    return map;
  }
  if ('L' in attribute) {
    const list = attribute.L.map((item, i) => unmarshal(item, childOf(tag, i), bson));
    return childOf(tag, '$') === 's' ? new Set(list) : list;
  }
  if ('SS' in attribute) return new Set(attribute.SS);
  if ('NS' in attribute) return new Set(attribute.NS.map(naturalNumber));
  return new Set(attribute.BS.map(plainBytes));
}

/** Bytes without the class and the shared memory of a Buffer. */
const plainBytes = (bytes: Uint8Array): Uint8Array =>
  bytes.constructor === Uint8Array ? bytes : new Uint8Array(bytes);

function ofString(attribute: { readonly S: string }, tag: Tag | undefined, bson: Bson): Value {
  const { S: text } = attribute;
  if (typeof tag !== 'string') return text;
  if (tag === 'd') {
    const date = new Date(text);
    return Number.isNaN(date.getTime()) && text !== 'Invalid Date' ? text : date;
  }
  if (tag === 'f') return text === 'NaN' || text === 'Infinity' || text === '-Infinity' ? Number(text) : text;
  if (tag === 'j') {
    try {
      const [packed, inner] = JSON.parse(text) as [JsonAttribute, Tag | undefined];
      return unmarshal(fromJson(packed), inner, bson);
    } catch {
      return text;
    }
  }
  return bsonOf(attribute, tag, bson) ?? text;
}

function ofBytes(attribute: { readonly B: Uint8Array }, tag: Tag | undefined, bson: Bson): Value {
  if (tag === 'w') return Buffer.from(attribute.B).toString('utf16le');
  return (typeof tag === 'string' ? bsonOf(attribute, tag, bson) : undefined) ?? plainBytes(attribute.B);
}

function ofNumber(text: string, tag: Tag | undefined): Value {
  switch (tag) {
    case 'i':
      return integerOf(text) ?? naturalNumber(text);
    case 'n':
      return Number(text);
    case '-':
      return Number(text) === 0 ? -0 : naturalNumber(text);
    case 'm':
      return new Decimal(text);
    default:
      return naturalNumber(text);
  }
}

/** The tags of an item, out of the text of its tag attribute; none when it is not ours. */
export function readTags(attribute: Attribute | undefined): TagNode | undefined {
  if (attribute === undefined || !('S' in attribute)) return undefined;
  try {
    const tags: unknown = JSON.parse(attribute.S);
    return typeof tags === 'object' && tags !== null && !Array.isArray(tags) ? (tags as TagNode) : undefined;
  } catch {
    return undefined;
  }
}

import { type BsonLibrary, type BsonValue, bsonText, isBsonType, reviveBson } from '../../src/core/bson.ts';
import type { Value } from '../../src/core/value.ts';
import type { Attribute } from './attribute.ts';

/** The `bson` package, where it is installed: values come back as its classes then, else as equal stand-ins. */
export type Bson = BsonLibrary | null;

const OBJECT_ID = 'o';
const BINARY = /^b(\d{1,3})$/;
const SUB_TYPES = 256;

/** What the text of a type looks like, where not every text will do. */
const FORM: Readonly<Record<string, RegExp>> = {
  ObjectId: /^[0-9a-f]{24}$/,
  Timestamp: /^\d{1,10}:\d{1,10}$/,
  BSONRegExp: /^\["(?:[^"\\]|\\.)*","[a-z]*"\]$/s,
  Decimal128: /^-?(?:NaN|Infinity)$/,
  MinKey: /^$/,
  MaxKey: /^$/,
};

/** A value that only BSON has, as an attribute that others can read, and the code that says what it is. */
export function bsonAttribute(value: BsonValue): {
  readonly attribute: { readonly S: string } | { readonly B: Uint8Array };
  readonly code: string;
} {
  const text = bsonText(value);
  if (value._bsontype !== 'Binary') {
    return { attribute: { S: text }, code: value._bsontype === 'ObjectId' ? OBJECT_ID : value._bsontype };
  }
  const colon = text.indexOf(':');
  return {
    attribute: { B: new Uint8Array(Buffer.from(text.slice(colon + 1), 'base64')) },
    code: `b${text.slice(0, colon)}`,
  };
}

/** The value that a code makes of an attribute, or undefined where the code is none of BSON's or does not fit. */
export function bsonOf(attribute: Attribute, code: string | undefined, library: Bson): Value | undefined {
  if (code === undefined) return undefined;
  if ('B' in attribute) {
    const subType = BINARY.exec(code)?.[1];
    if (subType === undefined || Number(subType) >= SUB_TYPES) return undefined;
    return reviveBson('Binary', `${Number(subType)}:${Buffer.from(attribute.B).toString('base64')}`, library);
  }
  if (!('S' in attribute)) return undefined;
  const type = code === OBJECT_ID ? 'ObjectId' : code;
  if (!isBsonType(type) || type === 'Binary' || FORM[type]?.test(attribute.S) === false) return undefined;
  return reviveBson(type, attribute.S, library);
}

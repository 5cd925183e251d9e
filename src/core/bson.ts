import type { Value } from './value.ts';

/**
 * A value of a type that only MongoDB has, as the classes of the `bson` package hold it. Such values are records' own
 * values like any other: other stores keep them beside their text and give the same class back.
 */
export interface BsonValue {
  readonly _bsontype: BsonType;
}

/** The types that no JavaScript value stands for. */
export type BsonType =
  | 'ObjectId'
  | 'Timestamp'
  | 'BSONRegExp'
  | 'Code'
  | 'BSONSymbol'
  | 'MinKey'
  | 'MaxKey'
  | 'Binary'
  | 'Decimal128';

/** What is read of a value of the `bson` package, whichever type it has. */
interface Parts extends BsonValue {
  toHexString(): string;
  readonly high: number;
  readonly low: number;
  readonly pattern: string;
  readonly options: string;
  readonly code: string;
  readonly scope: unknown;
  readonly value: string;
  readonly sub_type: number;
  readonly buffer: Uint8Array;
  readonly position: number;
}

/** BSON classes that a JavaScript value, or one of ours, stands for, and which. */
const STANDS_FOR: Readonly<Record<string, string>> = {
  Long: 'a bigint',
  Int32: 'a number',
  Double: 'a number',
  Decimal128: 'a Decimal',
  Binary: 'a Uint8Array',
  DBRef: 'a plain object with $ref and $id',
  Code: 'a Code without scope',
};

const bsonTypeOf = (value: object): string | undefined => {
  const type: unknown = (value as { readonly _bsontype?: unknown })._bsontype;
  return typeof type === 'string' ? type : undefined;
};

const bytesOf = (value: Parts): Uint8Array => value.buffer.subarray(0, value.position);

/** Whether a value is of a type that only BSON has. */
export function isBson(value: object): value is BsonValue {
  const type = bsonTypeOf(value);
  // An own property would be a user's field of that name.
  if (type === undefined || Object.hasOwn(value, '_bsontype')) return false;
  switch (type) {
    case 'ObjectId':
    case 'Timestamp':
    case 'BSONRegExp':
    case 'BSONSymbol':
    case 'MinKey':
    case 'MaxKey':
      return true;
    case 'Code':
      return ((value as Parts).scope ?? null) === null;
    case 'Binary':
      return (value as Parts).sub_type !== 0;
    case 'Decimal128':
      // Finite ones are Decimals.
      return /[a-z]/i.test(String(value).replace(/e/i, ''));
    default:
      return false;
  }
}

/** The parts of a JavaScript code with a scope: MongoDB holds it, records do not. */
export function codeWithScope(value: object): { readonly code: string; readonly scope: object } | null {
  if (bsonTypeOf(value) !== 'Code' || Object.hasOwn(value, '_bsontype')) return null;
  const { code, scope } = value as Parts;
  return typeof scope === 'object' && scope !== null ? { code, scope } : null;
}

/** What to pass instead of a BSON class that is no {@link BsonValue}, or undefined. */
export function insteadOfBson(value: object): string | undefined {
  const type = bsonTypeOf(value);
  return type === undefined || isBson(value) ? undefined : STANDS_FOR[type];
}

/** The payload of a value as text: with its type it says everything. */
export function bsonText(value: BsonValue): string {
  const parts = value as Parts;
  switch (value._bsontype) {
    case 'ObjectId':
      return parts.toHexString();
    case 'Timestamp':
      return `${parts.high >>> 0}:${parts.low >>> 0}`;
    case 'BSONRegExp':
      return JSON.stringify([parts.pattern, parts.options]);
    case 'Code':
      return parts.code;
    case 'BSONSymbol':
      return parts.value;
    case 'MinKey':
    case 'MaxKey':
      return '';
    case 'Binary':
      return `${parts.sub_type}:${Buffer.from(bytesOf(parts)).toString('base64')}`;
    case 'Decimal128':
      return String(value);
  }
}

/** The constructors of the `bson` package that {@link reviveBson} needs. */
export interface BsonLibrary {
  readonly ObjectId: new (hex: string) => object;
  readonly Timestamp: new (parts: { readonly t: number; readonly i: number }) => object;
  readonly BSONRegExp: new (pattern: string, options: string) => object;
  readonly Code: new (code: string) => object;
  readonly BSONSymbol: new (value: string) => object;
  readonly MinKey: new () => object;
  readonly MaxKey: new () => object;
  readonly Binary: new (bytes: Uint8Array, subType: number) => object;
  readonly UUID: new (bytes: Uint8Array) => object;
  readonly Decimal128: { fromString(text: string): object };
}

const UUID_TYPE = 4;
const UUID_BYTES = 16;

/** Stands for a BSON value where the `bson` package is not installed, or not needed; equal to the real one. */
class BsonStandIn {
  readonly #type: BsonType;
  readonly #text: string;

  constructor(type: BsonType, text: string) {
    this.#type = type;
    this.#text = text;
  }

  get _bsontype(): BsonType {
    return this.#type;
  }

  toHexString(): string {
    return this.#text;
  }

  get high(): number {
    return Number(this.#text.split(':')[0]) | 0;
  }

  get low(): number {
    return Number(this.#text.split(':')[1]) | 0;
  }

  get pattern(): string {
    return (JSON.parse(this.#text) as [string, string])[0];
  }

  get options(): string {
    return (JSON.parse(this.#text) as [string, string])[1];
  }

  get code(): string {
    return this.#text;
  }

  get value(): string {
    return this.#text;
  }

  get sub_type(): number {
    return Number(this.#text.split(':')[0]);
  }

  get buffer(): Uint8Array {
    return new Uint8Array(Buffer.from(this.#text.slice(this.#text.indexOf(':') + 1), 'base64'));
  }

  get position(): number {
    return this.buffer.byteLength;
  }

  toString(): string {
    return this.#text;
  }
}

/** The value of a type and its {@link bsonText}; of the library's class if one is given. */
export function reviveBson(type: BsonType, text: string, library?: BsonLibrary | null): Value {
  const standIn = new BsonStandIn(type, text);
  if (library === undefined || library === null) return standIn as unknown as Value;
  const build = (): object => {
    switch (type) {
      case 'ObjectId':
        return new library.ObjectId(text);
      case 'Timestamp':
        return new library.Timestamp({ t: standIn.high >>> 0, i: standIn.low >>> 0 });
      case 'BSONRegExp':
        return new library.BSONRegExp(standIn.pattern, standIn.options);
      case 'Code':
        return new library.Code(text);
      case 'BSONSymbol':
        return new library.BSONSymbol(text);
      case 'MinKey':
        return new library.MinKey();
      case 'MaxKey':
        return new library.MaxKey();
      case 'Binary': {
        const bytes = standIn.buffer;
        return standIn.sub_type === UUID_TYPE && bytes.byteLength === UUID_BYTES
          ? new library.UUID(bytes)
          : new library.Binary(bytes, standIn.sub_type);
      }
      case 'Decimal128':
        return library.Decimal128.fromString(text);
    }
  };
  return build() as Value;
}

const BSON_TYPES: ReadonlySet<string> = new Set<BsonType>([
  'ObjectId',
  'Timestamp',
  'BSONRegExp',
  'Code',
  'BSONSymbol',
  'MinKey',
  'MaxKey',
  'Binary',
  'Decimal128',
]);

/** Whether a text names one of the types. */
export function isBsonType(text: string): text is BsonType {
  return BSON_TYPES.has(text);
}

/** A copy that shares no bytes; what cannot be changed is itself. */
export function copyBson(value: BsonValue): BsonValue {
  if (value._bsontype !== 'Binary' || value instanceof BsonStandIn) return value;
  const parts = value as Parts;
  const copy = new (value.constructor as new (bytes: Uint8Array, subType: number) => BsonValue)(
    new Uint8Array(bytesOf(parts)),
    parts.sub_type,
  );
  return copy;
}

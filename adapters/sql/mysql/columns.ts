import type { Value } from '../../../src/core/value.ts';
import {
  BOOLEAN_AS_INTEGER,
  type Bound,
  BYTES,
  type ColumnCodec,
  DATE_AS_INTEGER,
  DATE_AS_TEXT,
  DECIMAL_AS_TEXT,
  jsonColumn,
  objectIdAsBytes,
  objectIdAsText,
  TEXT,
  UUID_TEXT,
  type ValueForms,
} from '../column-codec.ts';
import type { JsonNotation } from '../json-text.ts';
import type { FieldType } from '../options.ts';
import { Unfit } from '../unfit.ts';
import { argument, type ColumnType, charsetOf, columnType, unfitAsKey } from './column-type.ts';
import {
  bigints,
  booleanAsBit,
  dates,
  decimals,
  doubles,
  floats,
  inBits,
  integers,
  readingIntegers,
  times,
  timeTexts,
  years,
} from './value-codecs.ts';

const INTEGERS: Readonly<Record<string, number>> = { tinyint: 8, smallint: 16, mediumint: 24, int: 32, bigint: 64 };
/** The most bytes that text and blob types hold; null takes it from the declaration. */
const TEXTS: Readonly<Record<string, number | null>> = {
  char: null,
  varchar: null,
  tinytext: 2 ** 8 - 1,
  text: 2 ** 16 - 1,
  mediumtext: 2 ** 24 - 1,
  longtext: 2 ** 32 - 1,
};
const BLOBS: Readonly<Record<string, number | null>> = {
  binary: null,
  varbinary: null,
  tinyblob: 2 ** 8 - 1,
  blob: 2 ** 16 - 1,
  mediumblob: 2 ** 24 - 1,
  longblob: 2 ** 32 - 1,
};
/** Text of this length is not looked at twice: the server's limit of a packet is met first. */
const HARDLY_REACHED = 2 ** 24 - 1;
/** Deeper documents are refused: by MySQL's JSON type, and by MariaDB's json_valid. */
const JSON_DEPTH = { mysql: 100, mariadb: 31 } as const;

/** The field type that a declaration stands for; null for one that says nothing. */
export function fieldTypeOf(declared: string): FieldType | null {
  const type = columnType(declared);
  const { base } = type;
  if (base === 'tinyint' || base === 'bit') return argument(type, 0, 0) === 1 ? 'boolean' : 'integer';
  if (base === 'bigint') return 'bigint';
  if (base in INTEGERS || base === 'year') return 'integer';
  if (base in TEXTS || base === 'enum' || base === 'set' || base === 'time') return 'text';
  if (base in BLOBS) return 'bytes';
  if (base === 'double' || base === 'float') return 'real';
  if (base === 'decimal' || base === 'json' || base === 'date' || base === 'uuid') return base;
  return base === 'datetime' || base === 'timestamp' ? 'date' : null;
}

/** How a column of this declaration holds a type, or a phrase that says why it cannot. */
export function mysqlCodec(
  type: FieldType,
  declared: string,
  forms: ValueForms,
  mariadb: boolean,
): ColumnCodec | string {
  const column = columnType(declared);
  const { base } = column;
  if (base in TEXTS || base === 'enum' || base === 'set') {
    const charset = charsetOf(column.charset);
    if (charset === undefined) {
      return `is in the character set ${column.charset}, which is not one of utf8mb4, utf8mb3, latin1 and ascii`;
    }
  }
  const codec = codecOf(type, column, forms, mariadb);
  return codec ?? `is declared "${declared}", which does not hold ${type} values exactly`;
}

function codecOf(type: FieldType, column: ColumnType, forms: ValueForms, mariadb: boolean): ColumnCodec | null {
  const { base } = column;
  switch (type) {
    case 'text':
      if (base in TEXTS) return within(column, TEXT);
      if (base === 'enum' || base === 'set') return members(column);
      if (base === 'time') return times(argument(column, 0, 0));
      if (base === 'datetime' || base === 'timestamp' || base === 'date')
        return timeTexts(base, argument(column, 0, 0));
      // MariaDB keeps the text itself, and lets nothing in that is no JSON.
      if (base === 'json') return mariadb ? { ...TEXT, key: false } : null;
      return base === 'uuid' ? { ...UUID_TEXT, key: false } : null;
    case 'uuid':
      // MariaDB orders its UUIDs by time first.
      if (base === 'uuid') return { ...UUID_TEXT, key: false };
      return base in TEXTS ? within(column, UUID_TEXT) : null;
    case 'objectId':
      if (base in TEXTS) return within(column, objectIdAsText(forms.bson));
      return base in BLOBS ? sized(column, objectIdAsBytes(forms.bson)) : null;
    case 'integer':
    case 'bigint': {
      const [least, most] = rangeOf(column) ?? [];
      if (least === undefined || most === undefined) return null;
      const codec = type === 'integer' ? integers(least, most) : bigints(least, most);
      return base === 'bit' ? inBits(codec) : base === 'year' ? years(codec) : codec;
    }
    case 'boolean':
      if (base in INTEGERS) return readingIntegers(BOOLEAN_AS_INTEGER);
      return base === 'bit' && argument(column, 0, 1) === 1 ? booleanAsBit : null;
    case 'real':
      // With a number of digits they round.
      if (column.args.length > 0) return null;
      return base === 'double' ? doubles(column.unsigned) : base === 'float' ? floats(column.unsigned) : null;
    case 'decimal':
      if (base === 'decimal') return decimals(argument(column, 0, 10), argument(column, 1, 0), column.unsigned);
      return base in TEXTS ? within(column, DECIMAL_AS_TEXT) : null;
    case 'date':
      if (base === 'datetime' || base === 'timestamp' || base === 'date') return dates(base, argument(column, 0, 0));
      if (base === 'bigint' && !column.unsigned) return readingIntegers(DATE_AS_INTEGER);
      return base in TEXTS ? within(column, DATE_AS_TEXT) : null;
    case 'bytes':
      return base in BLOBS ? sized(column, BYTES) : null;
    case 'json':
      if (base === 'json') return jsonColumn(inJsonType(forms.json, JSON_DEPTH[mariadb ? 'mariadb' : 'mysql']));
      return base in TEXTS ? { ...jsonColumn(asText(column, forms.json)), text: true } : null;
  }
}

/** The integers that a column holds; also those of a decimal without a fraction. */
function rangeOf(column: ColumnType): readonly [bigint, bigint] | null {
  const { base, unsigned } = column;
  if (base === 'year') return [0n, 2155n];
  if (base === 'bit') return [0n, 2n ** BigInt(argument(column, 0, 1)) - 1n];
  if (base === 'decimal' && argument(column, 1, 0) === 0) {
    const most = 10n ** BigInt(argument(column, 0, 10)) - 1n;
    return [unsigned ? 0n : -most, most];
  }
  const bits = INTEGERS[base];
  if (bits === undefined) return null;
  const size = 2n ** BigInt(bits);
  return unsigned ? [0n, size - 1n] : [-size / 2n, size / 2n - 1n];
}

/** Why text does not go into a column, or null. */
function whyNotText(column: ColumnType, text: string): string | null {
  const { base, charset } = column;
  const set = charsetOf(charset);
  if (set?.holds(text) !== true) return `has characters that the character set ${charset} lacks`;
  const bytes = TEXTS[base] ?? null;
  if (bytes === null) {
    const most = argument(column, 0, 1);
    if (text.length > most && [...text].length > most) return `is longer than ${most} characters`;
    // CHAR is filled up with blanks, and loses them again.
    return base === 'char' && text.endsWith(' ') ? 'ends in a blank, which CHAR does not keep' : null;
  }
  const length = set.maxBytes === 1 ? text.length : Buffer.byteLength(text);
  return length > bytes ? `is longer than ${bytes} bytes` : null;
}

/** Text of a codec, as far as the column has room for it. */
function within(column: ColumnType, codec: ColumnCodec): ColumnCodec {
  return Object.freeze({
    ...codec,
    text: true,
    key: codec.key && (TEXTS[column.base] ?? null) === null,
    unfitKey: (bound: Bound): string | null => unfitAsKey(column.charset, String(bound)),
    encode(value: Value): Bound | Unfit {
      const text = codec.encode(value);
      if (typeof text !== 'string') return text;
      const why = whyNotText(column, text);
      return why === null ? text : new Unfit(why);
    },
  });
}

/** One of the texts of an enum, or some of a set in their order. */
function members({ base, args }: ColumnType): ColumnCodec {
  return Object.freeze({
    ...TEXT,
    key: false,
    encode(value: Value): Bound | Unfit {
      if (typeof value !== 'string') return new Unfit('is not text');
      const chosen = base === 'enum' ? [value] : value === '' ? [] : value.split(',');
      const places = chosen.map((each) => args.indexOf(each));
      const fits = places.every((place, i) => place >= 0 && (i === 0 || place > (places[i - 1] as number)));
      return fits ? value : new Unfit(`is not of the ${base} of its column`);
    },
  });
}

/** Bytes, as far as the column has room for them. */
function sized(column: ColumnType, codec: ColumnCodec): ColumnCodec {
  const most = BLOBS[column.base] ?? argument(column, 0, 1);
  return Object.freeze({
    ...codec,
    key: codec.key && (BLOBS[column.base] ?? null) === null,
    encode(value: Value): Bound | Unfit {
      const bytes = codec.encode(value);
      if (!(bytes instanceof Uint8Array)) return bytes;
      if (bytes.byteLength > most) return new Unfit(`is longer than ${most} bytes`);
      return column.base === 'binary' && bytes.byteLength < most
        ? new Unfit(`is shorter than ${most} bytes, and would be filled up`)
        : bytes;
    },
  });
}

/** JSON in a text column. */
function asText(column: ColumnType, notation: JsonNotation): JsonNotation {
  const roomy = (TEXTS[column.base] ?? 0) >= HARDLY_REACHED && charsetOf(column.charset)?.maxBytes === 4;
  return roomy
    ? notation
    : { ...notation, why: (value) => notation.why(value) ?? whyNotText(column, notation.write(value as Value)) };
}

/** JSON in a column of the JSON type. */
function inJsonType(notation: JsonNotation, most: number): JsonNotation {
  return {
    ...notation,
    why: (value) =>
      notation.why(value) ??
      (depthOf(notation.write(value as Value)) > most
        ? `is nested deeper than the ${most} levels of a JSON column`
        : null),
  };
}

/** How deep a JSON text is nested. */
function depthOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  for (const [mark] of text.matchAll(/"(?:[^"\\]|\\.)*"|[[\]{}]/gs)) {
    if (mark === '[' || mark === '{') {
      depth += 1;
      deepest = Math.max(deepest, depth);
    } else if (mark === ']' || mark === '}') depth -= 1;
  }
  return deepest;
}

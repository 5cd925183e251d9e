import { Decimal, type Value } from '../../../src/core/value.ts';
import {
  BIGINT,
  type Bound,
  BYTES,
  type ColumnCodec,
  DATE_AS_INTEGER,
  DATE_AS_TEXT,
  DECIMAL_AS_TEXT,
  dateOfText,
  decimalOf,
  INTEGER,
  jsonColumn,
  objectIdAsBytes,
  objectIdAsText,
  plainDecimal,
  REAL,
  TEXT,
  UUID_TEXT,
  type ValueForms,
} from '../column-codec.ts';
import type { JsonNotation } from '../json-text.ts';
import type { FieldType } from '../options.ts';
import { Unfit } from '../unfit.ts';

/** A column's type as `pg_type` and `pg_attribute` tell it; a domain's is the one that it is made of. */
export interface PgType {
  /** `int4`, `varchar`, `numeric`; the user's own name for an enum. */
  readonly name: string;
  readonly isEnum: boolean;
  /** Length, precision and scale, encoded; -1 for none. */
  readonly modifier: number;
  /** Text columns: different texts are never equal, and the type does not fold case. */
  readonly exact: boolean;
  /** What to cast parameters to, never with a length, which a cast would cut to. */
  readonly cast: string;
}

const DEFAULT_TYPE: Readonly<Record<string, FieldType>> = {
  text: 'text',
  varchar: 'text',
  bpchar: 'text',
  citext: 'text',
  uuid: 'uuid',
  int2: 'integer',
  int4: 'integer',
  int8: 'bigint',
  float4: 'real',
  float8: 'real',
  bool: 'boolean',
  json: 'json',
  jsonb: 'json',
  bytea: 'bytes',
  timestamptz: 'date',
  timestamp: 'date',
  date: 'date',
  numeric: 'decimal',
};

/** The field type that a column's type stands for; null for arrays, ranges, intervals and the like. */
export function fieldTypeOf({ name, isEnum }: PgType): FieldType | null {
  return isEnum ? 'text' : (DEFAULT_TYPE[name] ?? null);
}

type Encode = ColumnCodec['encode'];

/** A codec that takes what another one takes, unless `why` says something against what it is bound as. */
function limited(codec: ColumnCodec, why: (bound: Bound) => string | null, key = codec.key): ColumnCodec {
  const encode: Encode = (value) => {
    const bound = codec.encode(value);
    if (bound instanceof Unfit) return bound;
    const reason = why(bound);
    return reason === null ? bound : new Unfit(reason);
  };
  return Object.freeze({ ...codec, key, encode });
}

const characters = (text: string): number => (/[\ud800-\udbff]/.test(text) ? [...text].length : text.length);

/** PostgreSQL has no text with NUL in it. */
const noNul = (bound: Bound): string | null =>
  typeof bound === 'string' && bound.includes('\0') ? 'has a NUL character, which PostgreSQL does not hold' : null;

/** Text of at most (or exactly) so many characters: others would be cut of their blanks, or padded with them. */
function sized({ name, modifier }: PgType): (bound: Bound) => string | null {
  const length = modifier < 0 ? null : modifier - 4;
  return (bound) => {
    const text = bound as string;
    const nul = noNul(text);
    if (nul !== null) return nul;
    if (name === 'bpchar') {
      return characters(text) === length ? null : `has not exactly ${length} characters: char(${length}) pads`;
    }
    return length === null || characters(text) <= length ? null : `is longer than ${length} characters`;
  };
}

/** Blanks at the end of char count for nothing in its order, and in what is equal. */
const padded = (bound: Bound): string | null =>
  String(bound).endsWith(' ') ? 'ends in a blank, which char does not tell from padding' : null;

const INTEGER_RANGE: Readonly<Record<string, bigint>> = { int2: 2n ** 15n, int4: 2n ** 31n, int8: 2n ** 63n };

function ranged(codec: ColumnCodec, type: string): ColumnCodec | undefined {
  const limit = INTEGER_RANGE[type];
  if (limit === undefined) return undefined;
  return limited(codec, (bound) =>
    (bound as bigint) >= -limit && (bound as bigint) < limit ? null : `is beyond the range of ${type}`,
  );
}

const NUMERIC_WHOLE_DIGITS = 131_072;
const NUMERIC_FRACTION_DIGITS = 16_383;

/** Precision and scale of a numeric column; null without limits. */
function numericLimits(modifier: number): { readonly precision: number; readonly scale: number } | null {
  if (modifier < 4) return null;
  const packed = modifier - 4;
  return { precision: (packed >> 16) & 0xffff, scale: ((packed & 0x7ff) ^ 1024) - 1024 };
}

/** Why a numeric column would round or refuse a number, or null. */
function unfitNumeric({ text }: Decimal, modifier: number): string | null {
  const limits = numericLimits(modifier);
  const [mantissa = '', exponent = '0'] = text.replace(/^-/, '').split('e');
  const whole = mantissa === '0' ? 0 : mantissa.length + Number(exponent);
  const fraction = -Number(exponent);
  const declared = limits === null ? 'numeric' : `numeric(${limits.precision},${limits.scale})`;
  if (fraction > (limits?.scale ?? NUMERIC_FRACTION_DIGITS)) return `has more decimals than ${declared} holds`;
  const most = limits === null ? NUMERIC_WHOLE_DIGITS : limits.precision - limits.scale;
  return whole > most ? `is larger than ${declared} holds` : null;
}

/** Numbers of another kind than Decimals in a numeric column: as text that says exactly the same number. */
function inNumeric(codec: ColumnCodec, modifier: number, read: (decimal: Decimal) => Value): ColumnCodec {
  return Object.freeze({
    key: codec.key && (numericLimits(modifier)?.scale ?? 0) === 0,
    text: false,
    encode(value: Value): Bound | Unfit {
      const bound = codec.encode(value);
      if (bound instanceof Unfit) return bound;
      const decimal = decimalOf(String(bound));
      if (decimal === undefined) return new Unfit('is not finite');
      const why = unfitNumeric(decimal, modifier);
      return why === null ? plainDecimal(decimal) : new Unfit(why);
    },
    decode(stored: unknown): Value {
      const decimal = typeof stored === 'string' ? decimalOf(stored) : undefined;
      return decimal && read(decimal);
    },
  });
}

const wholeOf = (decimal: Decimal): bigint | undefined => {
  const plain = plainDecimal(decimal);
  return /^-?\d+$/.test(plain) ? BigInt(plain) : undefined;
};

/** Integers of any length. */
const ANY_BIGINT: ColumnCodec = Object.freeze({
  ...BIGINT,
  encode: (value: Value): Bound | Unfit => (typeof value === 'bigint' ? value : new Unfit('is not a bigint')),
});

const NUMERIC: Partial<Record<FieldType, (modifier: number) => ColumnCodec>> = {
  decimal: (modifier) => limited(DECIMAL_AS_TEXT, (bound) => unfitNumeric(new Decimal(bound as string), modifier)),
  integer: (modifier) => inNumeric(INTEGER, modifier, (decimal) => INTEGER.decode(wholeOf(decimal))),
  bigint: (modifier) => inNumeric(ANY_BIGINT, modifier, wholeOf),
  real: (modifier) =>
    inNumeric(REAL, modifier, (decimal) => {
      const number = Number(decimal.text);
      return decimalOf(String(number))?.text === decimal.text ? number : undefined;
    }),
};

const BOOLEAN: ColumnCodec = Object.freeze({
  key: true,
  text: false,
  encode: (value: Value): Bound | Unfit =>
    typeof value === 'boolean' ? String(value) : new Unfit('is neither true nor false'),
  decode: (stored: unknown): Value =>
    typeof stored === 'boolean' ? stored : stored === 'true' ? true : stored === 'false' ? false : undefined,
});

const TIME_FORM = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.(\d{3}(?:\d{3})?)Z$/;

/**
 * Why a timestamp column of so many decimals would round or refuse a time, or null. In the time zone of a session the
 * first year may be one before Christ.
 */
function unfitTime(text: string, decimals: number): string | null {
  if (/^000[01]/.test(text)) return 'is a date outside the years 2 to 9999';
  const fraction = (TIME_FORM.exec(text)?.[1] ?? '').replace(/0+$/, '');
  return decimals < 0 || fraction.length <= decimals ? null : `has more decimals than the ${decimals} of its column`;
}

/** Times as text in UTC, all six digits of them if need be: what a Date would round. */
const TIME_TEXT: ColumnCodec = Object.freeze({
  key: true,
  text: false,
  encode(value: Value): Bound | Unfit {
    const text = typeof value === 'string' ? value : '';
    const digits = TIME_FORM.exec(text)?.[1];
    const exact = digits !== undefined && (digits.length === 3 || !digits.endsWith('000'));
    const there = exact && dateOfText(`${text.slice(0, 23)}Z`) !== undefined;
    return there ? text : new Unfit('is not a time like 2026-01-31T23:59:59.123Z (or six digits) in UTC');
  },
  decode: (stored: unknown): Value => (typeof stored === 'string' && TIME_FORM.test(stored) ? stored : undefined),
});

const DAY = /^\d{4}-\d{2}-\d{2}$/;

/** Days as Dates at midnight in UTC. */
const DAY_AS_DATE: ColumnCodec = Object.freeze({
  ...DATE_AS_TEXT,
  text: false,
  encode(value: Value): Bound | Unfit {
    const text = DATE_AS_TEXT.encode(value);
    if (typeof text !== 'string') return text;
    if (text.startsWith('0000')) return new Unfit('is a date before the year 1');
    return text.endsWith('T00:00:00.000Z') ? text.slice(0, 10) : new Unfit('is not midnight in UTC, as a date is');
  },
  decode: (stored: unknown): Value => (typeof stored === 'string' && DAY.test(stored) ? dateOfText(stored) : undefined),
});

const DAY_TEXT: ColumnCodec = Object.freeze({
  ...DAY_AS_DATE,
  encode(value: Value): Bound | Unfit {
    const day = typeof value === 'string' && DAY.test(value) && !value.startsWith('0000') && dateOfText(value);
    return day instanceof Date ? (value as string) : new Unfit('is not a day like 2026-01-31');
  },
  decode: (stored: unknown): Value => (typeof stored === 'string' && DAY.test(stored) ? stored : undefined),
});

const FLOAT4: ColumnCodec = limited(REAL, (bound) =>
  Object.is(Math.fround(bound as number), bound) ? null : 'has more digits than real (float4) holds',
);

/** jsonb takes no NUL, not even escaped. */
function withoutNul(notation: JsonNotation): JsonNotation {
  return {
    ...notation,
    why(value) {
      const why = notation.why(value);
      if (why !== null) return why;
      return notation.write(value as Value).includes('\\u0000') && hasNul(value)
        ? 'has a NUL character, which PostgreSQL does not hold'
        : null;
    },
  };
}

function hasNul(value: unknown): boolean {
  if (typeof value === 'string') return value.includes('\0');
  if (typeof value !== 'object' || value === null) return false;
  const parts = Array.isArray(value) ? value : [...Object.keys(value), ...Object.values(value)];
  return parts.some(hasNul);
}

const TEXTS: ReadonlySet<string> = new Set(['text', 'varchar', 'bpchar', 'citext']);

function textCodec(field: FieldType, type: PgType, forms: ValueForms): ColumnCodec | undefined {
  const plain: Partial<Record<FieldType, ColumnCodec>> = {
    text: TEXT,
    date: DATE_AS_TEXT,
    decimal: DECIMAL_AS_TEXT,
    objectId: objectIdAsText(forms.bson),
    uuid: UUID_TEXT,
  };
  if (field === 'json') return type.name === 'text' || type.modifier < 0 ? jsonColumn(forms.json) : undefined;
  const codec = plain[field];
  if (codec === undefined) return undefined;
  const fitting = limited(codec, sized(type), codec.key && type.exact);
  return type.name === 'bpchar' ? Object.freeze({ ...fitting, unfitKey: padded }) : fitting;
}

function codecOf(field: FieldType, type: PgType, forms: ValueForms): ColumnCodec | undefined {
  const { name, modifier, isEnum } = type;
  if (isEnum) return field === 'text' ? limited(TEXT, noNul, false) : undefined;
  if (TEXTS.has(name)) return textCodec(field, type, forms);
  if (name === 'numeric') return NUMERIC[field]?.(modifier);
  if (name === 'json' || name === 'jsonb') {
    return field === 'json' ? jsonColumn(name === 'jsonb' ? withoutNul(forms.json) : forms.json) : undefined;
  }
  const times = limited(DATE_AS_TEXT, (bound) => unfitTime(bound as string, modifier));
  // Texts of three and of six digits are ordered otherwise than the times that they stand for.
  const ordered = modifier >= 0 && modifier <= 3;
  const timeTexts = limited(TIME_TEXT, (bound) => unfitTime(bound as string, modifier), ordered);
  const own: Readonly<Record<string, Partial<Record<FieldType, ColumnCodec | undefined>>>> = {
    int2: { integer: ranged(INTEGER, name), bigint: ranged(BIGINT, name) },
    int4: { integer: ranged(INTEGER, name), bigint: ranged(BIGINT, name) },
    int8: { integer: INTEGER, bigint: BIGINT, date: DATE_AS_INTEGER },
    float4: { real: FLOAT4 },
    float8: { real: REAL },
    bool: { boolean: BOOLEAN },
    bytea: { bytes: BYTES, objectId: objectIdAsBytes(forms.bson) },
    uuid: { uuid: UUID_TEXT, text: UUID_TEXT },
    timestamptz: { date: times, text: timeTexts },
    timestamp: { date: times, text: timeTexts },
    date: { date: DAY_AS_DATE, text: DAY_TEXT },
  };
  const codec = own[name]?.[field];
  return codec?.text && !TEXTS.has(name) ? Object.freeze({ ...codec, text: false }) : codec;
}

/** How a column holds a type, or a phrase that says why it cannot. */
export function postgresCodec(
  field: FieldType,
  type: PgType,
  declared: string,
  forms: ValueForms,
): ColumnCodec | string {
  return codecOf(field, type, forms) ?? `is declared "${declared}", which does not hold ${field} values exactly`;
}

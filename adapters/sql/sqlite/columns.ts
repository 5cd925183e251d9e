import { Decimal, type Value } from '../../../src/core/value.ts';
import {
  BIGINT,
  BOOLEAN_AS_INTEGER,
  type Bound,
  BYTES,
  type ColumnCodec,
  DATE_AS_INTEGER,
  DATE_AS_TEXT,
  DECIMAL_AS_TEXT,
  dateOfText,
  decimalOf,
  INT64_MAX,
  INT64_MIN,
  INTEGER,
  type JsonColumn,
  jsonColumn,
  objectIdAsBytes,
  objectIdAsText,
  plainDecimal,
  REAL,
  TEXT,
  UUID_TEXT,
  type ValueForms,
} from '../column-codec.ts';
import type { FieldType } from '../options.ts';
import { Unfit } from '../unfit.ts';

/** What SQLite does to values on their way into a column (https://sqlite.org/datatype3.html, section 3.1). */
export type Affinity = 'INTEGER' | 'TEXT' | 'BLOB' | 'REAL' | 'NUMERIC';

/** The affinity of a declared type, by SQLite's own rules, in their order. */
export function affinityOf(declared: string): Affinity {
  const type = declared.toUpperCase();
  if (type.includes('INT')) return 'INTEGER';
  if (/CHAR|CLOB|TEXT/.test(type)) return 'TEXT';
  if (type === '' || type.includes('BLOB')) return 'BLOB';
  return /REAL|FLOA|DOUB/.test(type) ? 'REAL' : 'NUMERIC';
}

/** The field type that a declaration stands for; null for one that says nothing (`STRING`, `UUID`, none at all). */
export function fieldTypeOf(declared: string): FieldType | null {
  const type = declared.toUpperCase();
  if (type.includes('BOOL')) return 'boolean';
  if (type.includes('JSON')) return 'json';
  if (/^(DATE|TIMESTAMP)/.test(type)) return 'date';
  if (/DEC|NUMERIC|MONEY/.test(type)) return 'decimal';
  if (/BIGINT|BIG INT|INT8/.test(type)) return 'bigint';
  switch (affinityOf(type)) {
    case 'INTEGER':
      return 'integer';
    case 'TEXT':
      return 'text';
    case 'REAL':
      return 'real';
    case 'BLOB':
      return type === '' ? null : 'bytes';
    default:
      return null;
  }
}

/** Columns declared DATE or DATETIME: knex writes milliseconds, CURRENT_TIMESTAMP text; both are read. */
const DATE_AS_NUMERIC: ColumnCodec = Object.freeze({
  ...DATE_AS_INTEGER,
  decode: (stored: unknown): Value =>
    typeof stored === 'string' ? dateOfText(stored) : DATE_AS_INTEGER.decode(stored),
});

/** Columns with NUMERIC affinity make numbers of numeric text, so a top-level number is bound as what it will be. */
const jsonInNumeric = (json: JsonColumn): ColumnCodec =>
  Object.freeze({
    ...json,
    encode(value: Value): Bound | Unfit {
      const text = json.encode(value);
      return typeof value === 'number' && String(value) === text ? value : text;
    },
    decode(stored: unknown): Value {
      return typeof stored === 'number' || typeof stored === 'bigint' ? Number(stored) : json.decode(stored);
    },
  });

/** Decimals in columns that hold them as integers or doubles: those that come back the same. */
const DECIMAL_AS_NUMBER: ColumnCodec = Object.freeze({
  ...DECIMAL_AS_TEXT,
  text: false,
  encode(value: Value): Bound | Unfit {
    if (!(value instanceof Decimal)) return new Unfit('is not a Decimal');
    const plain = plainDecimal(value);
    if (/^-?\d{1,19}$/.test(plain)) {
      const whole = BigInt(plain);
      if (whole <= INT64_MAX && whole >= INT64_MIN) return whole;
    }
    const number = Number(plain);
    const exact = Number.isFinite(number) && decimalOf(String(number))?.text === value.text;
    return exact
      ? number
      : new Unfit('has more digits than a numeric column of SQLite holds; a text column holds them');
  },
  decode(stored: unknown): Value {
    if (typeof stored === 'number' && Number.isFinite(stored)) return decimalOf(String(stored));
    return typeof stored === 'bigint' ? new Decimal(String(stored)) : DECIMAL_AS_TEXT.decode(stored);
  },
});

type Codecs = Partial<Record<Affinity, ColumnCodec>>;

/** Which column holds which type exactly; what is missing would be converted on the way in. */
const CODECS: Readonly<Record<FieldType, (forms: ValueForms) => Codecs>> = {
  text: () => ({ TEXT, BLOB: TEXT }),
  integer: () => ({ INTEGER, NUMERIC: INTEGER, BLOB: INTEGER }),
  bigint: () => ({ INTEGER: BIGINT, NUMERIC: BIGINT, BLOB: BIGINT }),
  real: () => ({ REAL, NUMERIC: REAL, INTEGER: REAL, BLOB: REAL }),
  boolean: () => ({ INTEGER: BOOLEAN_AS_INTEGER, NUMERIC: BOOLEAN_AS_INTEGER, BLOB: BOOLEAN_AS_INTEGER }),
  json({ json }) {
    const column = jsonColumn(json);
    return { TEXT: column, BLOB: column, NUMERIC: jsonInNumeric(column) };
  },
  bytes: () => ({ BLOB: BYTES, TEXT: BYTES, NUMERIC: BYTES, INTEGER: BYTES, REAL: BYTES }),
  date: () => ({ INTEGER: DATE_AS_INTEGER, NUMERIC: DATE_AS_NUMERIC, TEXT: DATE_AS_TEXT, BLOB: DATE_AS_TEXT }),
  decimal: () => ({
    TEXT: DECIMAL_AS_TEXT,
    BLOB: DECIMAL_AS_TEXT,
    NUMERIC: DECIMAL_AS_NUMBER,
    INTEGER: DECIMAL_AS_NUMBER,
  }),
  uuid: () => ({ TEXT: UUID_TEXT, BLOB: UUID_TEXT }),
  objectId: ({ bson }) => ({ TEXT: objectIdAsText(bson), BLOB: objectIdAsBytes(bson) }),
};

/** How a column of this declaration holds a type, or a phrase that says why it cannot. */
export function sqliteCodec(type: FieldType, declared: string, forms: ValueForms): ColumnCodec | string {
  const affinity = affinityOf(declared);
  return CODECS[type](forms)[affinity] ?? `is declared "${declared}", which makes something else of ${type} values`;
}

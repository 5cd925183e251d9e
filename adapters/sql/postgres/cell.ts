/** The text of a column's value, as PostgreSQL prints it, in the form in which it would be bound. */
export type ReadCell = (text: string) => unknown;

const TIME =
  /^(\d{4,5})-(\d{2})-(\d{2}) (\d{2}:\d{2}:\d{2})(?:\.(\d{1,6}))?(?:([+-]\d{2})(?::(\d{2}))?(?::(\d{2}))?)?$/;

/**
 * A timestamp in UTC as `YYYY-MM-DDTHH:MM:SS.mmmZ`, with six digits only where milliseconds are not all of it.
 * What is no such time (infinity, years before 1 or after 9999) stays as it is.
 */
export function timeText(text: string): string {
  const match = TIME.exec(text);
  if (match === null) return text;
  const [, year = '', month, day, time, fraction = '', hours = '+00', minutes = '00', seconds = '00'] = match;
  const sign = hours.startsWith('-') ? -1 : 1;
  const offset = sign * ((Math.abs(Number(hours)) * 60 + Number(minutes)) * 60 + Number(seconds)) * 1_000;
  const digits = fraction.padEnd(6, '0');
  // The last hours of 9999 are in 10000 where it is later than in UTC.
  const full = year.length === 4 ? year : `+0${year}`;
  const ms = Date.parse(`${full}-${month}-${day}T${time}.${digits.slice(0, 3)}Z`) - offset;
  const utc = new Date(ms).toISOString();
  if (utc.startsWith('+')) return text;
  return digits.endsWith('000') ? utc : utc.replace('Z', `${digits.slice(3)}Z`);
}

function bytesOf(text: string): unknown {
  return text.startsWith('\\x') ? Buffer.from(text.slice(2), 'hex') : text;
}

const READERS: Readonly<Record<string, ReadCell>> = {
  bool: (text) => text === 't',
  int2: BigInt,
  int4: BigInt,
  int8: BigInt,
  float4: (text) => Math.fround(Number(text)),
  float8: Number,
  bytea: bytesOf,
  timestamptz: timeText,
  timestamp: timeText,
};

const asIs: ReadCell = (text) => text;

/** How values of a type are read, by the type's name in `pg_type`. */
export const readerOf = (type: string): ReadCell => READERS[type] ?? asIs;

/** The object ids of the built-in types, which never change. */
const BY_OID: Readonly<Record<number, ReadCell>> = {
  16: readerOf('bool'),
  17: bytesOf,
  20: BigInt,
  21: Number,
  23: Number,
  114: asIs,
  700: readerOf('float4'),
  701: Number,
  1082: asIs,
  1114: timeText,
  1184: timeText,
  1700: asIs,
  3802: asIs,
};

/** How a value of a native row is read so that nothing of it is lost; undefined for types that records are not made of. */
export const nativeReader = (oid: number): ReadCell | undefined => BY_OID[oid];

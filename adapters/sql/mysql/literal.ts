import type { Bound } from '../column-codec.ts';
import { bytesIn } from './column-type.ts';

export const quote = (name: string): string => `\`${name.replaceAll('`', '``')}\``;

const hex = (bytes: Uint8Array): string =>
  `x'${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')}'`;

/** What a backslash means depends on `sql_mode`, so that text with one is written in hex. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: NUL and ^Z are the ones that old servers take amiss
const NEEDS_HEX = /[\\\0\x1a]/;

/**
 * A value as it stands in a statement. Values are written into the text, as the protocol of prepared statements takes
 * one statement a round trip, and a put is several.
 */
export function literal(value: Bound): string {
  if (value === null) return 'NULL';
  switch (typeof value) {
    case 'string':
      return NEEDS_HEX.test(value) ? `_utf8mb4 ${hex(Buffer.from(value))}` : `'${value.replaceAll("'", "''")}'`;
    case 'number':
      // With an exponent it is a double at once, and not a decimal that is rounded.
      return value.toExponential();
    case 'bigint':
      return String(value);
    default:
      return hex(value);
  }
}

/** Text to compare with a column of a character set, so that it is the text that is converted, never the column. */
export const textLiteral = (text: string, charset: string): string =>
  charset === 'utf8mb4' ? literal(text) : `_${charset} ${hex(bytesIn(charset, text))}`;

/** The bytes that a column of a character set stores. */
export const bytesLiteral = (text: string, charset: string): string => hex(bytesIn(charset, text));

/** A point of time by the server's clock; ms since 1970. */
export function timeLiteral(ms: number): string {
  const last = Date.UTC(9999, 11, 31, 23, 59, 59);
  const iso = new Date(Math.min(Math.max(ms, 0), last)).toISOString();
  return `TIMESTAMP'${iso.slice(0, 10)} ${iso.slice(11, 23)}'`;
}

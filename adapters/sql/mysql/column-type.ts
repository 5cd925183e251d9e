/** A column's type as `COLUMN_TYPE` says it, with character set and collation where it has them. */
export interface ColumnType {
  /** `varchar`, `bigint`, `json`; in lower case. */
  readonly base: string;
  /** What stands in its parentheses: lengths, digits, or the members of an enum or set. */
  readonly args: readonly string[];
  readonly unsigned: boolean;
  readonly charset: string | null;
  readonly collation: string | null;
}

const DECLARED = /^([a-z]+(?: precision)?)(?:\((.*?)\))?((?: [a-z]+)*?)(?: CHARACTER SET (\w+))?(?: COLLATE (\w+))?$/s;
const MEMBER = /'((?:[^']|'')*)'/g;

/** Takes a declaration apart. */
export function columnType(declared: string): ColumnType {
  const [, base = declared, args = '', attributes = '', charset = null, collation = null] =
    DECLARED.exec(declared) ?? [];
  const members = base === 'enum' || base === 'set';
  return {
    base,
    args: members
      ? [...args.matchAll(MEMBER)].map(([, member = '']) => member.replaceAll("''", "'"))
      : args.split(',').filter((arg) => arg !== ''),
    unsigned: attributes.includes('unsigned'),
    charset,
    collation,
  };
}

/** A length or a number of digits of a type. */
export const argument = ({ args }: ColumnType, i: number, fallback: number): number =>
  args[i] === undefined ? fallback : Number(args[i]);

/** Collations that compare every byte and take no blanks for nothing. */
export const isBytewise = (collation: string | null): boolean =>
  collation === 'binary' || collation?.endsWith('_nopad_bin') === true || collation?.endsWith('_0900_bin') === true;

interface Charset {
  /** Of a character. */
  readonly maxBytes: number;
  holds(text: string): boolean;
}

const FOUR_BYTES = /[\u{10000}-\u{10ffff}]/u;
const ASCII = /^[\0-\x7f]*$/;
// MySQL's latin1 is cp1252, which has these where Latin-1 has control characters.
const CP1252 = '€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ';
const LATIN1 = new RegExp(`^[\\0-\\x7f\\xa0-\\xff${CP1252}]*$`);
const OF_CP1252 = new RegExp(`[${CP1252}]`);

/** The character sets whose bytes sort as keys do, and what they hold. */
const CHARSETS: Readonly<Record<string, Charset>> = {
  utf8mb4: { maxBytes: 4, holds: () => true },
  utf8mb3: { maxBytes: 3, holds: (text) => !FOUR_BYTES.test(text) },
  utf8: { maxBytes: 3, holds: (text) => !FOUR_BYTES.test(text) },
  latin1: { maxBytes: 1, holds: (text) => LATIN1.test(text) },
  ascii: { maxBytes: 1, holds: (text) => ASCII.test(text) },
};

/** What a character set holds; undefined for one whose text cannot be vouched for. */
export const charsetOf = (name: string | null): Charset | undefined => CHARSETS[name ?? ''];

/** Why text that a column holds cannot be in a key, or null: its bytes would sort otherwise than keys do. */
export const unfitAsKey = (charset: string | null, text: string): string | null =>
  charset === 'latin1' && OF_CP1252.test(text) ? 'has characters that latin1 sorts otherwise than keys are' : null;

/** Text as the bytes that a column of the character set stores, of keys. */
export const bytesIn = (charset: string, text: string): Buffer =>
  Buffer.from(text, charset === 'latin1' ? 'latin1' : 'utf8');

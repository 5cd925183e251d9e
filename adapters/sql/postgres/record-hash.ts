import { quote } from './catalog.ts';

/** A column as far as hashing it goes. */
export interface HashedColumn {
  readonly name: string;
  /** Its type's name in `pg_type`. */
  readonly type: string;
  readonly nullable: boolean;
}

/** Types whose values are hashed as they are: text by its bytes, integers by theirs. All others as they are printed. */
const TEXTS: ReadonlySet<string> = new Set(['text', 'varchar']);
const SMALL_INTEGERS: ReadonlySet<string> = new Set(['int2', 'int4']);

const list = (parts: readonly string[], between = ', '): string => parts.join(between);

const inGroups = <T>(items: readonly T[], size: number): readonly (readonly T[])[] =>
  Array.from({ length: Math.ceil(items.length / size) }, (_, i) => items.slice(i * size, (i + 1) * size));

/** Bits of an int8 that are no sign. */
const BITS = 63;

/**
 * The 128 bits of a record's digest, as SQL. PostgreSQL's hash of a text takes a seed of 64 bits: integers are laid into
 * the seeds, two small ones or a large one into each, as to hash one by itself costs as much as a text.
 */
export class RecordHash {
  /** What a row must hold, of the table `x`. */
  readonly values: readonly string[];
  /** The table `z` of one row, from the parameters `$1` and `$2`, the seeds, and `$3`, a text that no value is. */
  readonly start: string;
  readonly halves: readonly [string, string];

  /** `columns` in an order that does not depend on the table's. */
  constructor(columns: readonly HashedColumn[]) {
    const small = columns.filter(({ type }) => SMALL_INTEGERS.has(type));
    const large = columns.filter(({ type }) => type === 'int8');
    const texts = columns.filter(({ type }) => TEXTS.has(type));
    const printed = columns.filter((column) => ![small, large, texts].some((some) => some.includes(column)));
    // A NULL where none can be makes the hash NULL, and of a type that was changed meanwhile the cast fails.
    const held = ({ name, type, nullable }: HashedColumn): string => {
      const value = `x.${quote(name)}::${type === 'int8' ? 'int8' : 'int4'}`;
      return nullable ? `coalesce(${value}, 0)` : value;
    };
    const words = [
      ...inGroups(small, 2).map(([first, second]) => {
        const high = `(${held(first as HashedColumn)}::int8 << 32)`;
        return second === undefined ? high : `${high} # ${held(second)}::int8`;
      }),
      ...large.map(held),
    ];
    // Which integers are NULL: columns that cannot be add nothing, and hash alike in a table where they can.
    const nulls = inGroups([...small, ...large], BITS).map((group) =>
      list(
        group.flatMap(({ name, nullable }, bit) =>
          nullable ? [`CASE WHEN x.${quote(name)} IS NULL THEN ${2n ** BigInt(bit)}::int8 ELSE 0 END`] : [],
        ),
        ' | ',
      ),
    );
    const inputs = texts.map((_, i) => `coalesce(v${i}, z.nothing)`);
    if (printed.length > 0) inputs.push('coalesce(t, z.nothing)');
    this.values = [
      ...texts.map(({ name }, i) => `x.${quote(name)} AS v${i}`),
      ...(printed.length === 0 ? [] : [`ROW(${list(printed.map(({ name }) => `x.${quote(name)}`))})::text AS t`]),
      ...words.map((word, i) => `${word} AS w${i}`),
      ...nulls.flatMap((bits, i) => (bits === '' ? [] : [`${bits} AS n${i}`])),
    ];
    const hash = (seed: string, input = "''", word?: string): string =>
      `hashtextextended(${input} COLLATE "C", ${seed}${word === undefined ? '' : ` # ${word}`})`;
    const began = (seed: string, looking: boolean): string =>
      nulls.reduce(
        (before, bits, i) => hash(before, undefined, looking && bits !== '' ? `n${i}` : undefined),
        hash(seed),
      );
    const looking = nulls.some((bits) => bits !== '');
    const half = (name: string): string => {
      let before = looking ? began(`z.${name}`, true) : `z.${name}0`;
      for (let i = 0; i < Math.max(inputs.length, words.length); i += 1) {
        before = hash(before, inputs[i], i < words.length ? `w${i}` : undefined);
      }
      return before;
    };
    this.start = `(SELECT ${list([
      '$1::int8 AS a',
      '$2::int8 AS b',
      `${began('$1::int8', false)} AS a0`,
      `${began('$2::int8', false)} AS b0`,
      '$3::text AS nothing',
    ])} OFFSET 0) AS z`;
    this.halves = [half('a'), half('b')];
  }
}

import type { Bound } from '../column-codec.ts';
import type { KeyRange } from '../dialect.ts';
import type { KeyColumn, Layout } from '../layout.ts';
import { columnType } from './column-type.ts';
import { bytesLiteral, literal, quote, textLiteral } from './literal.ts';

/** A column of the key as both tables have it. */
export interface KeyPart {
  readonly column: KeyColumn;
  /** Quoted, like {@link KeyPart.ordered}. */
  readonly name: string;
  /** Where the column's collation takes different text for equal: its character set. */
  readonly charset: string | null;
  /** The column of the stamp table that has the collation of the records'; itself where that is by bytes. */
  readonly ordered: string;
}

/** An expression and the text of a value that it is compared with. */
export type Term = readonly [expression: string, value: string];

/**
 * How keys stand in statements, of the records' table (`r`) and of the stamp table (`s`).
 *
 * Text keys are compared by their bytes everywhere. Where a column's collation compares otherwise (the usual case), its
 * index is used by asking for what the collation takes for equal, and for the same bytes of that. The stamp table has
 * such a column twice: as bytes, which are its key, and with the collation, by which scans go through both tables in
 * the order of their indexes: by the collation first, and by bytes among what it takes for equal.
 */
export class KeyTerms {
  readonly parts: readonly KeyPart[];
  /** Those of them that make the unit. */
  readonly unit: readonly KeyPart[];
  /** Those of them that the stamp table has twice. */
  readonly twice: readonly KeyPart[];

  constructor({ keys, unit, stampColumn, deletedColumn }: Layout) {
    const taken = new Set(
      [...keys.map(({ name }) => name), stampColumn, deletedColumn].map((name) => name.toLowerCase()),
    );
    const free = (wish: string): string => (taken.has(wish.toLowerCase()) ? free(`${wish}_`) : wish);
    this.parts = keys.map((column): KeyPart => {
      const name = quote(column.name);
      const charset = column.collate ? columnType(column.declared).charset : null;
      return { column, name, charset, ordered: charset === null ? name : quote(free(`${column.name}_in_order`)) };
    });
    this.unit = unit.map((column) => this.parts.find((part) => part.column === column) as KeyPart);
    this.twice = this.parts.filter(({ charset }) => charset !== null);
  }

  exact({ charset }: KeyPart, value: Bound): string {
    return charset === null ? literal(value) : bytesLiteral(String(value), charset);
  }

  native({ charset }: KeyPart, value: Bound): string {
    return charset === null ? literal(value) : textLiteral(String(value), charset);
  }

  bytes(name: string): string {
    return `CAST(${name} AS BINARY)`;
  }

  /** The stamp of a key. */
  ofStamp(key: readonly Bound[], alias = ''): string {
    return this.parts.map((part, i) => `${alias}${part.name} = ${this.exact(part, key[i] as Bound)}`).join(' AND ');
  }

  /** The record of a key, or of a part of it. */
  ofRecord(key: readonly Bound[], alias = '', parts = this.parts): string {
    return parts
      .flatMap((part, i) => {
        const name = `${alias}${part.name}`;
        const equal = `${name} = ${this.native(part, key[i] as Bound)}`;
        return part.charset === null ? [equal] : [equal, `${this.bytes(name)} = ${this.exact(part, key[i] as Bound)}`];
      })
      .join(' AND ');
  }

  /** Those of many keys, and perhaps of some that the collation takes for equal. */
  ofAny(keys: readonly (readonly Bound[])[], alias: 'r.' | 's.'): string {
    const value = (part: KeyPart, bound: Bound): string =>
      alias === 's.' ? this.exact(part, bound) : this.native(part, bound);
    const [only] = this.parts;
    if (only !== undefined && this.parts.length === 1) {
      return `${alias}${only.name} IN (${keys.map(([bound]) => value(only, bound as Bound)).join(', ')})`;
    }
    return `(${keys
      .map(
        (key) =>
          `(${this.parts.map((part, i) => `${alias}${part.name} = ${value(part, key[i] as Bound)}`).join(' AND ')})`,
      )
      .join(' OR ')})`;
  }

  /** A record's stamp: the stamp table has an index of these bytes. */
  stampOfRecord(): string {
    return this.parts
      .map(({ name, charset }) => `s.${name} = ${charset === null ? `r.${name}` : this.bytes(`r.${name}`)}`)
      .join(' AND ');
  }

  /** A stamp's record: the records' own index is of this collation. */
  recordOfStamp(): string {
    return this.parts
      .flatMap(({ name, charset, ordered }) => [
        `r.${name} = s.${ordered}`,
        ...(charset === null ? [] : [`${this.bytes(`r.${name}`)} = s.${name}`]),
      ])
      .join(' AND ');
  }

  /** Behind (or not behind) a bound, compared one after the other: a comparison of lists uses no index. */
  beyond(terms: readonly Term[], behind: boolean): string {
    const [first, ...rest] = terms;
    if (first === undefined) return behind ? 'FALSE' : 'TRUE';
    const [column, value] = first;
    const strictly = behind ? '>' : '<';
    if (rest.length === 0) return `${column} ${behind ? '>' : '<='} ${value}`;
    const equal = `${column} = ${value} AND ${this.beyond(rest, behind)}`;
    return `${column} ${strictly}= ${value} AND (${column} ${strictly} ${value} OR (${equal}))`;
  }

  /** The order of scans: by the collations, and by bytes among what they take for equal. */
  bounds(alias: 'r.' | 's.', { after, upTo }: KeyRange): readonly string[] {
    const terms = (key: readonly Bound[]): readonly Term[] => [
      ...this.parts.map(
        (part, i) =>
          [`${alias}${alias === 's.' ? part.ordered : part.name}`, this.native(part, key[i] as Bound)] as const,
      ),
      ...this.parts.flatMap((part, i) => {
        if (part.charset === null) return [];
        const column = `${alias}${part.name}`;
        return [[alias === 's.' ? column : this.bytes(column), this.exact(part, key[i] as Bound)] as const];
      }),
    ];
    return [
      ...(after === null ? [] : [this.beyond(terms(after), true)]),
      ...(upTo === null ? [] : [this.beyond(terms(upTo), false)]),
    ];
  }
}

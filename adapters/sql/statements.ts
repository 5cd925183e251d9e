import type { KeyColumn, Layout } from './layout.ts';

/** What the shared statements need to know of a database's language. Parameters are `?` everywhere. */
export interface Grammar {
  quote(name: string): string;
  /** A text expression compared and ordered by its bytes. */
  bytewise(expression: string): string;
  /** Bytes, or NULL, as hexadecimal text. */
  hexadecimal(expression: string): string;
}

/** How a page of rows reads: `layout.names` (of a page of stamps only the key), then the stamp in hexadecimal. */
export interface PageShape {
  /** The stamp table is there. */
  readonly stamped: boolean;
  readonly stampsOnly: boolean;
}

/** Which ends a range has. */
export interface PageBounds {
  readonly after: boolean;
  readonly upTo: boolean;
}

/** The statements of one table that read alike everywhere. */
export class Statements {
  readonly #layout: Layout;
  readonly #grammar: Grammar;
  readonly records: string;
  readonly stamps: string;

  constructor(layout: Layout, grammar: Grammar) {
    this.#layout = layout;
    this.#grammar = grammar;
    this.records = grammar.quote(layout.table);
    this.stamps = grammar.quote(layout.stampTable);
  }

  quote(name: string): string {
    return this.#grammar.quote(name);
  }

  /** The key columns of the records' table (`r`), comparable by bytes, or of the stamp table (`s`), which always are. */
  keys(alias: 'r' | 's', columns: readonly KeyColumn[] = this.#layout.keys): string[] {
    return columns.map(({ name, collate }) => {
      const column = `${alias}.${this.quote(name)}`;
      return alias === 'r' && collate ? this.#grammar.bytewise(column) : column;
    });
  }

  /** `r` and `s` have the same key. The stamp table stands first, as its collation is the one that counts. */
  sameKey(): string {
    return this.#layout.keys.map(({ name }) => `s.${this.quote(name)} = r.${this.quote(name)}`).join(' AND ');
  }

  /** Each column equals a parameter. */
  equal(columns: readonly string[]): string {
    return columns.map((column) => `${column} = ?`).join(' AND ');
  }

  /** The key stands before or behind a key of parameters. */
  compare(columns: readonly string[], operator: '>' | '<='): string {
    const marks = columns.map(() => '?').join(', ');
    return columns.length === 1
      ? `${columns[0]} ${operator} ${marks}`
      : `(${columns.join(', ')}) ${operator} (${marks})`;
  }

  #where(conditions: readonly string[]): string {
    return conditions.length === 0 ? '' : ` WHERE ${conditions.join(' AND ')}`;
  }

  #stamp(): string {
    return this.#grammar.hexadecimal(`s.${this.quote(this.#layout.stampColumn)}`);
  }

  #conditions(keys: readonly string[], { after, upTo }: PageBounds): string[] {
    return [...(after ? [this.compare(keys, '>')] : []), ...(upTo ? [this.compare(keys, '<=')] : [])];
  }

  /** The records or stamps of a range, as a WHERE; parameters: the bounds. Nothing for all of them. */
  within(keys: readonly string[], bounds: PageBounds): string {
    return this.#where(this.#conditions(keys, bounds));
  }

  #recordsPage({ stamped, stampsOnly }: PageShape, conditions: readonly string[]): string {
    const { keys, names } = this.#layout;
    const columns = stampsOnly ? keys.map(({ name }) => name) : names;
    const selection = [...columns.map((name) => `r.${this.quote(name)}`), stamped ? this.#stamp() : 'NULL'].join(', ');
    const join = stamped ? ` LEFT JOIN ${this.stamps} AS s ON ${this.sameKey()}` : '';
    const order = this.keys('r').join(', ');
    const from = `FROM ${this.records} AS r${join}`;
    return `SELECT ${selection} ${from}${this.#where(conditions)} ORDER BY ${order} LIMIT ?`;
  }

  /** The records of a page; parameters: the bounds, the limit. */
  page(shape: PageShape, bounds: PageBounds): string {
    return this.#recordsPage(shape, this.#conditions(this.keys('r'), bounds));
  }

  /** How many stamps a range has, as far as one counts; parameters: the bounds, the limit. */
  countStamps(bounds: PageBounds): string {
    const range = this.within(this.keys('s'), bounds);
    return `SELECT count(*) FROM (SELECT 1 FROM ${this.stamps} AS s${range} LIMIT ?)`;
  }

  /** The stamps of a range that have no record: their keys and themselves; parameters: the bounds, the limit. */
  tombstones(bounds: PageBounds): string {
    const keys = this.keys('s');
    const none = `NOT EXISTS (SELECT 1 FROM ${this.records} AS r WHERE ${this.sameKey()})`;
    const range = this.#where([...this.#conditions(keys, bounds), none]);
    const order = keys.join(', ');
    return `SELECT ${order}, ${this.#stamp()} FROM ${this.stamps} AS s${range} ORDER BY ${order} LIMIT ?`;
  }

  /** The records of a unit; parameters: the unit, the key that it goes on after, the limit. */
  list(stamped: boolean, after: boolean): string {
    const { keys, unit } = this.#layout;
    // Of the unit's own columns nothing is compared, or its records would all be read that stand before.
    const rest = keys.filter((key) => !unit.includes(key));
    const conditions = [
      this.equal(this.keys('r', unit)),
      ...(after ? [rest.length === 0 ? '0' : this.compare(this.keys('r', rest), '>')] : []),
    ];
    return this.#recordsPage({ stamped, stampsOnly: false }, conditions);
  }
}

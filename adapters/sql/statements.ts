import type { KeyColumn, Layout } from './layout.ts';

/** What the shared statements need to know of a database's language. Parameters are `?` everywhere. */
export interface Grammar {
  quote(name: string): string;
  /** A text expression compared and ordered by its bytes. */
  bytewise(expression: string): string;
}

/** How a page of rows reads: stamp, 1 if there is no record, the key, then `layout.names` (none for stamps only). */
export interface PageShape {
  /** The stamp table is there. */
  readonly stamped: boolean;
  readonly stampsOnly: boolean;
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

  /** The key columns of the records' table (`r`), comparable by bytes, or of the stamp table (`s`, or `p` for a page of it), which always are. */
  keys(alias: 'r' | 's' | 'p', columns: readonly KeyColumn[] = this.#layout.keys): string[] {
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

  #selection({ stamped, stampsOnly }: PageShape): string {
    const { keys, names, stampColumn } = this.#layout;
    return [
      stamped ? `s.${this.quote(stampColumn)} AS stamp` : 'NULL AS stamp',
      '0 AS gone',
      ...keys.map(({ name }, i) => `r.${this.quote(name)} AS k${i}`),
      ...(stampsOnly ? [] : names.map((name, i) => `r.${this.quote(name)} AS c${i}`)),
    ].join(', ');
  }

  #recordsPage(shape: PageShape, conditions: readonly string[]): string {
    const join = shape.stamped ? ` LEFT JOIN ${this.stamps} AS s ON ${this.sameKey()}` : '';
    const order = this.keys('r').join(', ');
    const from = `FROM ${this.records} AS r${join}`;
    return `SELECT ${this.#selection(shape)} ${from}${this.#where(conditions)} ORDER BY ${order} LIMIT ?`;
  }

  /**
   * A page of a range; parameters: the bounds, then the limit (all of it three times when stamped: [bounds, limit]
   * twice, then the limit).
   *
   * Of both tables the first `limit` rows are read and merged. Every stamp among them belongs to an entry, so the
   * first `limit` entries are among those rows, and no page reads more than twice its size, however few tombstones
   * there are.
   */
  page(shape: PageShape, bounds: { readonly after: boolean; readonly upTo: boolean }): string {
    const conditions = (keys: readonly string[]): string[] => [
      ...(bounds.after ? [this.compare(keys, '>')] : []),
      ...(bounds.upTo ? [this.compare(keys, '<=')] : []),
    ];
    const records = this.#recordsPage(shape, conditions(this.keys('r')));
    if (!shape.stamped) return records;
    const { keys, names, stampColumn } = this.#layout;
    const stampKeys = this.keys('s');
    const pageKeys = this.keys('p');
    const some = `SELECT * FROM ${this.stamps} AS p${this.#where(conditions(pageKeys))} ORDER BY ${pageKeys.join(', ')} LIMIT ?`;
    const columns = [
      `s.${this.quote(stampColumn)}`,
      '1',
      ...stampKeys,
      ...(shape.stampsOnly ? [] : names.map(() => 'NULL')),
    ].join(', ');
    const tombstones = `SELECT ${columns} FROM (${some}) AS s WHERE NOT EXISTS (SELECT 1 FROM ${this.records} AS r WHERE ${this.sameKey()})`;
    const order = keys.map(({ codec }, i) => (codec.text ? this.#grammar.bytewise(`k${i}`) : `k${i}`)).join(', ');
    return `SELECT * FROM (SELECT * FROM (${records}) AS live UNION ALL SELECT * FROM (${tombstones}) AS gone) AS both_ ORDER BY ${order} LIMIT ?`;
  }

  /** The records of a unit; parameters: the unit, the key that it goes on after, the limit. */
  list(stamped: boolean, after: boolean): string {
    const conditions = [
      this.equal(this.keys('r', this.#layout.unit)),
      ...(after ? [this.compare(this.keys('r'), '>')] : []),
    ];
    return this.#recordsPage({ stamped, stampsOnly: false }, conditions);
  }
}

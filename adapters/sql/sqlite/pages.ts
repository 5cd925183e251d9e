import { compareText } from '../../../src/core/record-key.ts';
import { parseStamp } from '../../../src/core/stamp.ts';
import type { Bound } from '../column-codec.ts';
import type { HeldAt, KeyRange } from '../dialect.ts';
import type { Layout } from '../layout.ts';
import type { PageBounds, PageShape, Statements } from '../statements.ts';
import type { SqliteConnection } from './connection.ts';

type Cells = readonly unknown[];

/** Orders cells as SQLite orders a column of one type. */
export function compareCells(a: readonly unknown[], b: readonly unknown[]): number {
  for (const [i, x] of a.entries()) {
    const y = b[i];
    if (typeof x === 'string' && typeof y === 'string') {
      const order = compareText(x, y);
      if (order !== 0) return order;
    } else if (x instanceof Uint8Array && y instanceof Uint8Array) {
      const order = Buffer.compare(x, y);
      if (order !== 0) return order;
    } else if (x !== y) {
      return (x as bigint) < (y as bigint) ? -1 : 1;
    }
  }
  return 0;
}

const stampOf = (cell: unknown): HeldAt['stamp'] => (cell === null ? null : parseStamp(String(cell)));

/** Reads a table and its stamp table in the order of the key, both by their indexes. */
export class Pages {
  readonly #connection: SqliteConnection;
  readonly #statements: Statements;
  readonly #layout: Layout;
  /** Where the key's columns stand in a row, and in a row of the key alone. */
  readonly #places: readonly number[];
  readonly #keyPlaces: readonly number[];
  /** Which of the key's columns are not the unit's. */
  readonly #rest: readonly number[];

  constructor(connection: SqliteConnection, statements: Statements, layout: Layout) {
    this.#connection = connection;
    this.#statements = statements;
    this.#layout = layout;
    this.#places = layout.keys.map(({ index }) => index);
    this.#keyPlaces = layout.keys.map((_, i) => i);
    this.#rest = layout.keys.flatMap((key, i) => (layout.unit.includes(key) ? [] : [i]));
  }

  #records(rows: readonly Cells[], stampsOnly: boolean): HeldAt[] {
    const places = stampsOnly ? this.#keyPlaces : this.#places;
    const stampAt = stampsOnly ? places.length : this.#layout.names.length;
    return rows.map((row) => ({ stamp: stampOf(row[stampAt]), key: places.map((place) => row[place]), row }));
  }

  list(unit: readonly Bound[], after: readonly Bound[] | null, limit: number, stamped: boolean): HeldAt[] {
    const rows = this.#connection.all(this.#statements.list(stamped, after !== null), [
      ...unit,
      ...this.#rest.flatMap((i) => (after === null ? [] : [after[i] as Bound])),
      limit,
    ]);
    return this.#records(rows, false);
  }

  /** The first `limit` records and tombstones of a range, both of one moment. */
  page(range: KeyRange, limit: number, shape: PageShape): HeldAt[] {
    return shape.stamped
      ? this.#connection.snapshot(() => this.#both(range, limit, shape))
      : this.#live(range, limit, shape);
  }

  #live({ after, upTo }: KeyRange, limit: number, shape: PageShape): HeldAt[] {
    const sql = this.#statements.page(shape, { after: after !== null, upTo: upTo !== null });
    return this.#records(this.#connection.all(sql, [...(after ?? []), ...(upTo ?? []), limit]), shape.stampsOnly);
  }

  #both({ after, upTo }: KeyRange, limit: number, shape: PageShape): HeldAt[] {
    const live = this.#live({ after, upTo }, limit, shape);
    const stamped = live.reduce((count, { stamp }) => (stamp === null ? count : count + 1), 0);
    // Behind the last record of a full page no tombstone is of this page.
    const end = live.length < limit ? upTo : (live.at(-1)?.key ?? upTo);
    const bounds: PageBounds = { after: after !== null, upTo: end !== null };
    const given = [...(after ?? []), ...(end ?? [])];
    const [count] = this.#connection.get(this.#statements.countStamps(bounds), [...given, stamped + 1]) ?? [];
    // Where every stamp is that of a record, none is looked for.
    if (Number(count) === stamped) return live;
    const keys = this.#layout.keys.length;
    const gone = this.#connection
      .all(this.#statements.tombstones(bounds), [...given, limit])
      .map((row): HeldAt => ({ stamp: stampOf(row[keys]), key: row.slice(0, keys), row: null }));
    return merged(live, gone, limit);
  }
}

/** The first of two lists in key order. */
function merged(live: readonly HeldAt[], gone: readonly HeldAt[], limit: number): HeldAt[] {
  const page: HeldAt[] = [];
  for (let i = 0, j = 0; page.length < limit; ) {
    const [record, tombstone] = [live[i], gone[j]];
    const first =
      record === undefined || (tombstone !== undefined && compareCells(tombstone.key, record.key) < 0)
        ? tombstone
        : record;
    if (first === undefined) break;
    if (first === record) i += 1;
    else j += 1;
    page.push(first);
  }
  return page;
}

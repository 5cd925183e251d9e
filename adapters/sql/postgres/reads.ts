import { parseStamp, STAMP_MIN, type Stamp } from '../../../src/core/stamp.ts';
import type { Bound } from '../column-codec.ts';
import type { Held, HeldAt, KeyRange } from '../dialect.ts';
import { arrayOf } from './binary-array.ts';
import type { ReadCell } from './cell.ts';
import type { PgDatabase } from './database.ts';
import { classify } from './faults.ts';
import { listText, MORE_STAMPS, pageText } from './page-texts.ts';
import { PipelineFailed, type Rows, type Step } from './pipeline.ts';
import type { Plan } from './plan.ts';
import { BARE_COPIES, LOOK, type ReadTexts, readTexts, stampsText } from './texts.ts';

const READ_ROWS = 500;
const STAMP_ROWS = 2_000;

type Row = Rows[number];

/** Reads one table and its stamp table. */
export class Reads {
  readonly #database: PgDatabase;
  readonly #plan: Plan;
  readonly #names: readonly ReadCell[];
  readonly #keys: readonly ReadCell[];
  /** Where the key's columns stand in a row, and in a row of the key alone. */
  readonly #places: readonly number[];
  readonly #keyPlaces: readonly number[];
  readonly #texts = new Map<string, ReadTexts>();
  #stamped = false;
  #bare: Stamp | null = null;
  /** A page that was read as if there were few stamps has met as many as it has records. */
  #manyStamps = false;

  constructor(database: PgDatabase, plan: Plan) {
    this.#database = database;
    this.#plan = plan;
    this.#names = plan.layout.names.map((name) => plan.reader(name));
    this.#keys = plan.layout.keys.map(({ name }) => plan.reader(name));
    this.#places = plan.layout.keys.map(({ index }) => index);
    this.#keyPlaces = plan.layout.keys.map((_, i) => i);
  }

  /** The stamp table was seen. Looked for again with every read while it was not, and when a statement misses it. */
  get stamped(): boolean {
    return this.#stamped;
  }

  /** The stamp of records that have none in that table: the least, where nobody but us can have put them there. */
  get bare(): Stamp | null {
    return this.#bare;
  }

  async lookForStamps(): Promise<boolean> {
    const [rows] = await this.#database.read([this.#looking]);
    return this.#seen(rows);
  }

  get #looking(): Step {
    return { sql: LOOK, values: [this.#plan.stamps, BARE_COPIES] };
  }

  #seen(rows: Rows | undefined): boolean {
    const [stamped, bare] = rows?.[0] ?? [];
    this.#stamped = stamped === 't';
    this.#bare = this.#stamped && bare === 't' ? STAMP_MIN : null;
    return this.#stamped;
  }

  /** The stamp in a cell, of a record or of nothing. */
  #stampOf(cell: string | null | undefined, there: boolean): Stamp | null {
    return typeof cell === 'string' ? parseStamp(cell.slice(2)) : there ? this.#bare : null;
  }

  /** The step that `stepOf` makes, with or without the stamp table, whichever is right at that moment. */
  async #read(stepOf: (stamped: boolean) => Step): Promise<Rows> {
    if (!this.#stamped) {
      const [looked, rows = []] = await this.#database.read([this.#looking, stepOf(false)]);
      if (!this.#seen(looked)) return rows;
    }
    try {
      const [rows = []] = await this.#database.read([stepOf(true)]);
      return rows;
    } catch (error) {
      if (!(error instanceof PipelineFailed) || classify(error).kind !== 'no-table') throw error;
      if (await this.lookForStamps()) throw this.#database.fault(error);
      const [rows = []] = await this.#database.read([stepOf(false)]);
      return rows;
    }
  }

  #readTexts(stamped: boolean, withRow: boolean): ReadTexts {
    const name = `${stamped} ${withRow}`;
    const texts = this.#texts.get(name) ?? readTexts(this.#plan, stamped, withRow);
    this.#texts.set(name, texts);
    return texts;
  }

  /** A record's columns in the order of `layout.names`, as they would be bound. */
  cells(row: Row): readonly unknown[] {
    return this.#cells(row, this.#names);
  }

  #cells(row: Row, readers: readonly ReadCell[]): readonly unknown[] {
    return row.map((cell, i) => (cell === null ? null : (readers[i] as ReadCell)(cell)));
  }

  #held(row: Row): Held | undefined {
    const [stamp, there, ...cells] = row;
    if (there !== 't' && typeof stamp !== 'string') return undefined;
    return { stamp: this.#stampOf(stamp, there === 't'), row: there === 't' ? this.cells(cells) : null };
  }

  async read(keys: readonly (readonly Bound[])[], stampsOnly: boolean): Promise<(Held | undefined)[]> {
    const [only] = keys;
    if (only === undefined) return [];
    if (keys.length === 1) {
      const [row] = await this.#read((stamped) => ({ sql: this.#readTexts(stamped, !stampsOnly).one, values: only }));
      return [row && this.#held(row)];
    }
    const found: (Held | undefined)[] = [];
    for (let from = 0; from < keys.length; from += READ_ROWS) {
      const chunk = keys.slice(from, from + READ_ROWS);
      const values = only.map((_, column) => chunk.map((key) => key[column] as Bound));
      const rows = await this.#read((stamped) => ({ sql: this.#readTexts(stamped, !stampsOnly).many, values }));
      found.push(...rows.map((row) => this.#held(row)));
    }
    return found;
  }

  /** In one cell for all keys: rows of their own would cost more than the stamps that stand in them. */
  async stamps(keys: readonly (readonly Bound[])[]): Promise<(Stamp | null)[]> {
    const { layout } = this.#plan;
    const found: (Stamp | null)[] = [];
    for (let from = 0; from < keys.length; from += STAMP_ROWS) {
      const chunk = keys.slice(from, from + STAMP_ROWS);
      const values = layout.keys.map(({ name }, column) =>
        arrayOf(
          this.#plan.cast(name),
          chunk.map((key) => key[column] as Bound),
        ),
      );
      const rows = await this.#read((stamped) =>
        stamped ? { sql: stampsText(this.#plan, this.#bare !== null), values } : { sql: 'SELECT NULL', values: [] },
      );
      const cell = rows[0]?.[0];
      const texts = typeof cell === 'string' ? cell.split(',') : chunk.map(() => '');
      for (const text of texts) found.push(text === '' ? null : parseStamp(text));
    }
    return found;
  }

  /** A row of a page. Its cells are read in place, as there are many of them. */
  #heldAt(row: Row, stampsOnly: boolean): HeldAt {
    const readers = stampsOnly ? this.#keys : this.#names;
    const cells = row as unknown[];
    for (let i = 0; i < readers.length; i += 1) {
      const cell = row[i];
      if (typeof cell === 'string') cells[i] = (readers[i] as ReadCell)(cell);
    }
    const places = stampsOnly ? this.#keyPlaces : this.#places;
    const there = row[readers.length] !== '1';
    return {
      stamp: this.#stampOf(row[readers.length + 1], there),
      key: places.map((place) => cells[place]),
      row: there ? cells : null,
    };
  }

  /** A page of a range in scan order: that of the unique index, by the collations of its own columns. */
  async page(range: KeyRange, limit: number, stampsOnly: boolean, recordsOnly: boolean): Promise<HeldAt[]> {
    const { scanOrder } = this.#plan;
    const ordered = (key: readonly Bound[] | null): Bound[] =>
      key === null ? [] : scanOrder.map((place) => key[place] as Bound);
    const values = [...ordered(range.after), ...ordered(range.upTo), BigInt(limit)];
    const bounds = { after: range.after !== null, upTo: range.upTo !== null };
    // Planned for its bounds, as a plan for any would read from the beginning of the table.
    const fewStamps = recordsOnly && !stampsOnly && !this.#manyStamps;
    const rows = await this.#read((stamped) => ({
      sql: pageText(this.#plan, { stamped, stampsOnly, fewStamps, ...bounds }),
      values,
      fresh: true,
    }));
    if (!fewStamps || rows[0]?.[this.#names.length] !== MORE_STAMPS)
      return rows.map((row) => this.#heldAt(row, stampsOnly));
    this.#manyStamps = true;
    return this.page(range, limit, stampsOnly, recordsOnly);
  }

  async list(unit: readonly Bound[], after: readonly Bound[] | null, limit: number): Promise<HeldAt[]> {
    const { keys, unit: unitKeys } = this.#plan.layout;
    const rest = keys.flatMap((key, i) => (unitKeys.includes(key) ? [] : [i]));
    // A unit of the whole key has one record, and none behind it.
    if (after !== null && rest.length === 0) return [];
    const values = [...unit, ...(after === null ? [] : rest.map((i) => after[i] as Bound)), BigInt(limit)];
    const rows = await this.#read((stamped) => ({
      sql: listText(this.#plan, stamped, after !== null),
      values,
      fresh: true,
    }));
    return rows.map((row) => this.#heldAt(row, false));
  }
}

import type { RangeDigest, RangeSeed } from '../../../src/core/store.ts';
import type { Bound } from '../column-codec.ts';
import type { KeyRange, RangeAccess } from '../dialect.ts';
import type { KeyColumn } from '../layout.ts';
import { type PgColumn, quote } from './catalog.ts';
import type { PgDatabase } from './database.ts';
import { classify } from './faults.ts';
import { PipelineFailed, type Rows, type Step } from './pipeline.ts';
import type { Plan } from './plan.ts';

/**
 * For the transaction: how values are printed, whatever role and database have set; ranges by the index and nothing else,
 * as statistics cannot tell how short they are; and no longer than a statement may take anyway.
 */
const PINNED = `SELECT ${Object.entries({
  TimeZone: "'UTC'",
  DateStyle: "'ISO, YMD'",
  IntervalStyle: "'postgres'",
  extra_float_digits: "'1'",
  bytea_output: "'hex'",
  enable_seqscan: "'off'",
  enable_bitmapscan: "'off'",
  max_parallel_workers_per_gather: "'0'",
  jit: "'off'",
  statement_timeout:
    "CASE current_setting('statement_timeout') WHEN '0' THEN '60s' ELSE current_setting('statement_timeout') END",
})
  .map(([name, value]) => `set_config('${name}', ${value}, true)`)
  .join(', ')}`;

const list = (parts: readonly string[], between = ', '): string => parts.join(between);

const columnOf = (plan: Plan, name: string): PgColumn | undefined =>
  plan.table.columns.find((column) => column.name === name);

/** How a part of the key sorts: text by its collation, everything else the same everywhere. */
const orderOf = (plan: Plan, { name, codec }: KeyColumn): string | null =>
  codec.text ? (columnOf(plan, name)?.order ?? null) : '';

/** Digests of a table whose ranges are the same ones in another table; undefined where nobody can tell. */
export const rangesOf = (database: PgDatabase, plan: Plan): PgRanges | undefined =>
  plan.scanKeys.some((key) => orderOf(plan, key) === null) ? undefined : new PgRanges(database, plan);

/** Types whose values are hashed as they are: text by its bytes, and integers that a double holds. */
const TEXTS: ReadonlySet<string> = new Set(['text', 'varchar']);
const SMALL_INTEGERS: ReadonlySet<string> = new Set(['int2', 'int4']);

/**
 * Digests of ranges of one table's records. What is hashed are the columns as PostgreSQL prints them: the very text that a
 * scan would read, so that equal texts are equal records wherever columns are held and decoded alike. Stamps are left
 * out, as records with equal values are equal whatever their stamps say.
 */
class PgRanges implements RangeAccess {
  readonly form: string;
  readonly #database: PgDatabase;
  readonly #plan: Plan;
  /** Columns that are read for a record's digest, as `v0`, `v1`… and, of all types without a hash of their own, `t`. */
  readonly #values: readonly string[];
  /** Turns a seed into one half of the digest of such columns; `nothing` is a text that no value is. */
  readonly #hash: (seed: string, nothing: string) => string;

  constructor(database: PgDatabase, plan: Plan) {
    this.#database = database;
    this.#plan = plan;
    const { layout, scanKeys } = plan;
    const { document, nulls } = layout;
    const typeOf = (name: string): string => columnOf(plan, name)?.type.name ?? '';
    // In an order that does not depend on the table's.
    const columns = layout.columns.toSorted((a, b) => (a.field < b.field ? -1 : 1));
    this.form = JSON.stringify({
      server: 'postgres',
      keys: scanKeys.map((key) => [key.field, orderOf(plan, key)]),
      columns: columns.map(({ field, name, type }) => [field, type, typeOf(name)]),
      document: document && typeOf(document.name),
      nulls,
    });
    const all = [...columns.map(({ name }) => name), ...(document === null ? [] : [document.name])];
    const apart = all.filter((name) => TEXTS.has(typeOf(name)) || SMALL_INTEGERS.has(typeOf(name)));
    const printed = all.filter((name) => !apart.includes(name));
    this.#values = [
      ...apart.map((name, i) => `${quote(name)} AS v${i}`),
      ...(printed.length === 0 ? [] : [`ROW(${list(printed.map(quote))})::text AS t`]),
    ];
    this.#hash = (seed, nothing) =>
      apart.reduce(
        (before, name, i) =>
          TEXTS.has(typeOf(name))
            ? `hashtextextended(coalesce(v${i}, ${nothing}) COLLATE "C", ${before})`
            : `hashfloat8extended(coalesce(v${i}::float8, 'Infinity'), ${before})`,
        // A parameter must be of use in every statement.
        `hashtextextended(${printed.length === 0 ? nothing : `coalesce(t, ${nothing})`} COLLATE "C", ${seed})`,
      );
  }

  /** Both halves of a digest, and their parameters: `$1` and `$2` the seeds, `$3` what stands for NULL. */
  get #halves(): readonly string[] {
    return ['$1::int8', '$2::int8'].map((seed) => this.#hash(seed, '$3::text'));
  }

  /** Records in scan order: the key's columns as `c0`, `c1`…, and what else is asked of them. */
  #rows(conditions: readonly string[], limit: string, values: readonly string[]): string {
    const { records, scanKeys, layout } = this.#plan;
    const keys = layout.keys.map(({ name }, i) => `${quote(name)} AS c${i}`);
    const where = conditions.length === 0 ? '' : ` WHERE ${list(conditions, ' AND ')}`;
    return (
      `SELECT ${list([...keys, ...values])} FROM ${records}${where} ` +
      `ORDER BY ${list(scanKeys.map(({ name }) => quote(name)))} LIMIT ${limit}`
    );
  }

  /** Conditions of a range whose bounds are expressions in scan order. */
  #within(after: readonly string[] | null, upTo: readonly string[] | null): readonly string[] {
    const row = `ROW(${list(this.#plan.scanKeys.map(({ name }) => quote(name)))})`;
    return [
      ...(after === null ? [] : [`${row} > ROW(${list(after)})`]),
      ...(upTo === null ? [] : [`${row} <= ROW(${list(upTo)})`]),
    ];
  }

  #inScanOrder(key: readonly Bound[] | null): readonly Bound[] {
    return key === null ? [] : this.#plan.scanOrder.map((place) => key[place] as Bound);
  }

  /** @throws StoreFault */
  async #ask(steps: readonly Step[]): Promise<readonly Rows[]> {
    try {
      const [, ...answers] = await this.#database.read([{ sql: PINNED, values: [] }, ...steps]);
      return answers;
    } catch (error) {
      if (error instanceof PipelineFailed && classify(error).kind === 'no-table') throw this.#database.fault(error);
      throw error;
    }
  }

  #key(cells: readonly (string | null | undefined)[]): readonly unknown[] {
    const { layout, reader } = this.#plan;
    return layout.keys.map(({ name }, i) => (cells[i] == null ? null : reader(name)(cells[i] as string)));
  }

  async cut(range: KeyRange, size: number, count: number): Promise<(readonly unknown[])[]> {
    const { scanKeys, layout } = this.#plan;
    const marks = (from: number): readonly string[] => scanKeys.map((_, i) => `$${from + i}`);
    const after = range.after && marks(3);
    const upTo = range.upTo && marks(3 + (after?.length ?? 0));
    const keys = list(layout.keys.map((_, i) => `c${i}`));
    const order = list(scanKeys.map((column) => `c${layout.keys.indexOf(column)}`));
    const rows = this.#rows(this.#within(after, upTo), '$1::int8', []);
    const sql =
      `SELECT ${keys} FROM (SELECT ${keys}, row_number() OVER (ORDER BY ${order}) AS n FROM (${rows}) AS r) AS q ` +
      'WHERE n % $2::int8 = 0 ORDER BY n';
    const bounds = [...this.#inScanOrder(range.after), ...this.#inScanOrder(range.upTo)];
    const [found = []] = await this.#ask([
      { sql, values: [BigInt(size * count), BigInt(size), ...bounds], fresh: true },
    ]);
    return found.map((row) => this.#key(row));
  }

  async of(ranges: readonly KeyRange[], most: number, seed: RangeSeed): Promise<readonly RangeDigest[]> {
    const sums = `SELECT count(*) AS n, ${list(this.#halves.map((half) => `sum(${half})`))}`;
    const found: RangeDigest[] = new Array(ranges.length);
    for (const [i, records, a, b] of await this.#each(ranges, (rows) => `${sums} FROM (${rows}) AS r`, most, seed)) {
      found[Number(i)] = { records: Number(records), digest: `${a}:${b}` };
    }
    return found;
  }

  async keys(ranges: readonly KeyRange[], most: number, seed: RangeSeed): ReturnType<RangeAccess['keys']> {
    const keys = list(this.#plan.layout.keys.map((_, i) => `c${i}`));
    const rows = (source: string): string => `SELECT ${list(this.#halves)}, ${keys} FROM (${source}) AS r`;
    const found = ranges.map((): { readonly key: readonly unknown[]; readonly digest: string }[] => []);
    for (const [i, a, b, ...cells] of await this.#each(ranges, rows, most, seed)) {
      found[Number(i)]?.push({ digest: `${a}:${b}`, key: this.#key(cells) });
    }
    return found;
  }

  /**
   * One SELECT of each range's first `most + 1` rows, in one trip; the number of its range stands in front of each
   * answer. Ranges without an end have statements of their own: a bound that may be missing is none that an index serves.
   */
  async #each(
    ranges: readonly KeyRange[],
    select: (rows: string) => string,
    most: number,
    seed: RangeSeed,
  ): Promise<Rows> {
    const { scanKeys } = this.#plan;
    const numbered = ranges.map((range, i) => ({ ...range, i }));
    const steps = [...Map.groupBy(numbered, ({ after, upTo }) => `${after === null} ${upTo === null}`).values()].map(
      (group): Step => {
        const [{ after, upTo } = { after: null, upTo: null }] = group;
        const bounds = [['after', after] as const, ['upto', upTo] as const].filter(([, bound]) => bound !== null);
        const names = bounds.flatMap(([name]) => scanKeys.map((_, column) => `${name}${column}`));
        const casts = bounds.flatMap(() => scanKeys.map(({ name }) => this.#plan.cast(name)));
        const given = ['int8', ...casts].map((cast, n) => `$${n + 5}::${cast}[]`);
        const named = (name: string, there: unknown): readonly string[] | null =>
          there === null ? null : scanKeys.map((_, column) => `g.${name}${column}`);
        const rows = this.#rows(this.#within(named('after', after), named('upto', upTo)), '$4::int8', this.#values);
        const columns = bounds.flatMap(([name]) =>
          scanKeys.map((_, column) =>
            group.map((range) => this.#inScanOrder(name === 'after' ? range.after : range.upTo)[column] as Bound),
          ),
        );
        return {
          sql: `SELECT g.i, q.* FROM unnest(${list(given)}) AS g(${list(['i', ...names])}), LATERAL (${select(rows)}) AS q`,
          values: [...seed, seed.join(' '), BigInt(most + 1), group.map(({ i }) => BigInt(i)), ...columns],
        };
      },
    );
    return (await this.#ask(steps)).flat();
  }
}

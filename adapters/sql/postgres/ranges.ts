import type { RangeDigest, RangeSeed } from '../../../src/core/digests.ts';
import type { Bound } from '../column-codec.ts';
import type { KeyRange, RangeAccess } from '../dialect.ts';
import type { KeyColumn } from '../layout.ts';
import { arrayOf } from './binary-array.ts';
import { type PgColumn, quote } from './catalog.ts';
import type { PgDatabase } from './database.ts';
import { classify } from './faults.ts';
import { PipelineFailed, type Rows, type Step } from './pipeline.ts';
import type { Plan } from './plan.ts';
import { RecordHash } from './record-hash.ts';

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

/**
 * Digests of ranges of one table's records. What is hashed are the columns as PostgreSQL prints them: the very text that a
 * scan would read, so that equal texts are equal records wherever columns are held and decoded alike. Stamps are left
 * out, as records with equal values are equal whatever their stamps say.
 */
class PgRanges implements RangeAccess {
  readonly form: string;
  readonly #database: PgDatabase;
  readonly #plan: Plan;
  readonly #hash: RecordHash;

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
    const names = [...columns, ...(document === null ? [] : [document])].map(({ name }) => name);
    this.#hash = new RecordHash(
      names.map((name) => ({ name, type: typeOf(name), nullable: columnOf(plan, name)?.nullable ?? true })),
    );
  }

  /** Both halves of a record's digest. What should not be NULL, as the table said when it was opened, is no digest. */
  get #halves(): readonly string[] {
    return this.#hash.halves.map((half) => `coalesce(${half}, (random() * 1e18)::int8)`);
  }

  /** The digest of a range: no two of its records have the same key, so nothing cancels out. */
  get #sums(): readonly string[] {
    return ['count(*) AS n', ...this.#halves.map((half, i) => `bit_xor(${half}) AS d${i}`)];
  }

  #parameters(seed: RangeSeed): readonly Bound[] {
    return [...seed, seed.join(' ')];
  }

  /**
   * Records in scan order: the key's columns as `c0`, `c1`…, and what else is asked of them. Columns stand with their table
   * and this with another name, as both may have names of ours.
   */
  #rows(conditions: readonly string[], limit: string, values: readonly string[]): string {
    const { records, scanKeys, layout } = this.#plan;
    const keys = layout.keys.map(({ name }, i) => `x.${quote(name)} AS c${i}`);
    const where = conditions.length === 0 ? '' : ` WHERE ${list(conditions, ' AND ')}`;
    return (
      `SELECT ${list([...keys, ...values])} FROM ${records} AS x${where} ` +
      `ORDER BY ${list(scanKeys.map(({ name }) => `x.${quote(name)}`))} LIMIT ${limit}`
    );
  }

  /** Conditions of a range whose bounds are expressions in scan order. */
  #within(after: readonly string[] | null, upTo: readonly string[] | null): readonly string[] {
    const row = `ROW(${list(this.#plan.scanKeys.map(({ name }) => `x.${quote(name)}`))})`;
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

  /** Range by range behind the last key of the one before, so that the records are read once for both. */
  async cut(range: KeyRange, size: number, count: number, seed: RangeSeed): ReturnType<RangeAccess['cut']> {
    const { scanKeys, layout } = this.#plan;
    const keys = layout.keys.map((_, i) => `(array_agg(c${i}))[count(*)::int4] AS k${i}`);
    const last = scanKeys.map((column) => `w.k${layout.keys.indexOf(column)}`);
    const marks = (from: number): readonly string[] => scanKeys.map((_, i) => `$${from + i}`);
    const after = range.after && marks(6);
    const upTo = range.upTo && marks(6 + (after?.length ?? 0));
    const digest = (from: readonly string[] | null): string =>
      `LATERAL (SELECT ${list([...this.#sums, ...keys])} FROM (${this.#rows(this.#within(from, upTo), '$4::int8', this.#hash.values)}) AS r) AS q`;
    const sql =
      `WITH RECURSIVE w AS (SELECT 1 AS i, q.* FROM ${this.#hash.start}, ${digest(after)} UNION ALL ` +
      `SELECT w.i + 1, q.* FROM w, ${this.#hash.start}, ${digest(last)} WHERE w.i < $5::int8 AND w.n = $4::int8) ` +
      'SELECT * FROM w ORDER BY i';
    const bounds = [...this.#inScanOrder(range.after), ...this.#inScanOrder(range.upTo)];
    const values = [...this.#parameters(seed), BigInt(size), BigInt(count), ...bounds];
    const [found = []] = await this.#ask([{ sql, values, fresh: true }]);
    return found.map(([, records, a, b, ...cells]) => ({
      records: Number(records),
      digest: `${a}:${b}`,
      key: () => this.#key(cells),
    }));
  }

  async of(ranges: readonly KeyRange[], most: number, seed: RangeSeed): Promise<readonly RangeDigest[]> {
    const sums = (rows: string): string => `SELECT ${list(this.#sums)} FROM (${rows}) AS r`;
    const found: RangeDigest[] = new Array(ranges.length);
    for (const [i, records, a, b] of await this.#each(ranges, sums, most, seed)) {
      found[Number(i)] = { records: Number(records), digest: `${a}:${b}` };
    }
    return found;
  }

  async keys(ranges: readonly KeyRange[], most: number, seed: RangeSeed): ReturnType<RangeAccess['keys']> {
    const digest = list(
      this.#halves.map((half) => `int8send(${half})`),
      ' || ',
    );
    // A row of its own for each record would cost more than its digest; `concat` prints as a page does.
    const cells = this.#plan.layout.keys.map((_, i) => `json_agg(concat(c${i}))`);
    const packed = `SELECT count(*), string_agg(${digest}, ''), ${list(cells)}`;
    const found: Awaited<ReturnType<RangeAccess['keys']>>[number][] = new Array(ranges.length);
    for (const [i, records, digests, ...keys] of await this.#each(
      ranges,
      (rows) => `${packed} FROM (${rows}) AS r`,
      most,
      seed,
    )) {
      let columns: readonly (readonly string[])[] | undefined;
      found[Number(i)] = {
        records: Number(records),
        digests: digests?.slice(2) ?? '',
        key: (place) => {
          columns ??= keys.map((texts) => JSON.parse(texts ?? '[]'));
          return this.#key(columns.map((texts) => texts[place]));
        },
      };
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
        const rows = this.#rows(
          this.#within(named('after', after), named('upto', upTo)),
          '$4::int8',
          this.#hash.values,
        );
        const columns = bounds.flatMap(([name]) =>
          scanKeys.map((_, column) =>
            arrayOf(
              this.#plan.cast(scanKeys[column]?.name ?? ''),
              group.map((range) => this.#inScanOrder(name === 'after' ? range.after : range.upTo)[column] as Bound),
            ),
          ),
        );
        const places = group.map(({ i }) => BigInt(i));
        return {
          sql: `SELECT g.i, q.* FROM ${this.#hash.start}, unnest(${list(given)}) AS g(${list(['i', ...names])}), LATERAL (${select(rows)}) AS q`,
          values: [...this.#parameters(seed), BigInt(most + 1), arrayOf('bigint', places), ...columns],
        };
      },
    );
    return (await this.#ask(steps)).flat();
  }
}

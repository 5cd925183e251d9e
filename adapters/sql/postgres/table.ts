import { InvalidConfiguration } from '../../../src/core/errors.ts';
import type { Side } from '../../../src/core/stage.ts';
import type { Stamp } from '../../../src/core/stamp.ts';
import type { CasOutcome, PutFault } from '../../../src/core/store.ts';
import type { Bound } from '../column-codec.ts';
import type { Held, HeldAt, KeyRange, RangeAccess, TableAccess, Write } from '../dialect.ts';
import { type Ask, declarationsOf, quote } from './catalog.ts';
import type { PgDatabase } from './database.ts';
import { classify } from './faults.ts';
import { PipelineFailed, type Rows, type Step } from './pipeline.ts';
import type { Plan } from './plan.ts';
import { rangesOf } from './ranges.ts';
import { Reads } from './reads.ts';
import { BARE_COPIES } from './texts.ts';
import { Writes } from './writes.ts';

const SMALL_TABLE = 20_000;
const SAMPLES_PER_CUT = 32;
/** Rows are looked at by the page of 8 kB; fewer pages would make shares uneven. */
const LEAST_PAGES = 64;

/** How many pages a table (or all its partitions together) has, and how many rows it is thought to have. */
const SIZE = `SELECT coalesce(sum(pg_relation_size(c.oid)), 0) / current_setting('block_size')::int8,
    sum(greatest(c.reltuples, 0))::int8, bool_or(c.reltuples < 0 AND c.relkind = 'r')
  FROM pg_class c
  WHERE c.oid = $1::oid OR c.oid IN (SELECT relid FROM pg_partition_tree($1::oid) WHERE isleaf)`;

/**
 * Whoever may use the records must be able to use their stamps: another role may have made these. Of the role that
 * makes them nothing is said, as they are its own.
 */
const GRANTS = `SELECT format('GRANT %s ON %s TO %s', string_agg(privilege, ', ' ORDER BY privilege), $2::text, role)
  FROM (SELECT DISTINCT a.privilege_type AS privilege,
      CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS role
    FROM pg_class c, aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) AS a
    WHERE c.oid = $1::oid AND a.privilege_type IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')) AS q
  WHERE role <> quote_ident(current_user) GROUP BY role ORDER BY role`;

/** One table and its stamp table. */
export class PgTableAccess implements TableAccess {
  readonly ranges: RangeAccess | undefined;
  readonly #database: PgDatabase;
  readonly #plan: Plan;
  readonly #reads: Reads;
  readonly #writes: Writes;

  constructor(database: PgDatabase, plan: Plan) {
    this.#database = database;
    this.#plan = plan;
    this.ranges = rangesOf(database, plan);
    this.#reads = new Reads(database, plan);
    this.#writes = new Writes(database, plan, this.#reads);
  }

  // --- preparing ---------------------------------------------------------------------------------

  /** The DDL of the stamp table: the key as the table itself declares it, in the order of its index. */
  #creation(): string {
    const { layout, scanKeys, stamps } = this.#plan;
    const columns = [
      ...layout.keys.map(({ name, declared }) => `${quote(name)} ${declared} NOT NULL`),
      `${quote(layout.stampColumn)} bytea NOT NULL`,
      `${quote(layout.deletedColumn)} boolean NOT NULL`,
      `PRIMARY KEY (${scanKeys.map(({ name }) => quote(name)).join(', ')})`,
    ].join(', ');
    // Every write of a record rewrites its stamp, which stays on its page while that has room.
    return `CREATE TABLE ${stamps} (${columns}) WITH (fillfactor = 85)`;
  }

  /** Says of a table without records that those without a stamp will be copies; nobody but its owner can. */
  #marking(): string {
    const { records, stamps } = this.#plan;
    return `BEGIN IF pg_has_role((SELECT relowner FROM pg_class WHERE oid = to_regclass('${stamps.replaceAll("'", "''")}')), 'USAGE') AND NOT EXISTS (SELECT 1 FROM ${records}) THEN COMMENT ON TABLE ${stamps} IS '${BARE_COPIES}'; END IF; END`;
  }

  /** Undefined: there is no stamp table. Null: it is none. Else how its key is to be changed to hold the records' one. */
  async #changes(): Promise<readonly string[] | null | undefined> {
    const { layout, records, stamps } = this.#plan;
    const ask: Ask = (steps) => this.#database.read(steps);
    const found = await declarationsOf(ask, stamps);
    if (found.size === 0) return undefined;
    const keys = layout.keys.map(({ name }) => name);
    if (![...keys, layout.stampColumn, layout.deletedColumn].every((name) => found.has(name))) return null;
    // As they are now: the service's own migrations may have widened a column since it was looked at.
    const wanted = await declarationsOf(ask, records);
    return keys
      .filter((name) => (wanted.get(name) ?? found.get(name)) !== found.get(name))
      .map((name) => `ALTER COLUMN ${quote(name)} TYPE ${wanted.get(name)}`);
  }

  async prepared(): Promise<boolean> {
    await this.#reads.lookForStamps();
    return (await this.#changes())?.length === 0;
  }

  async prepare(dryRun: boolean, side: Side): Promise<readonly string[]> {
    const { layout, table, stamps } = this.#plan;
    const changes = await this.#changes();
    if (changes === null) {
      throw new InvalidConfiguration(
        `table ${layout.table}: the table "${layout.stampTable}" is there, but holds no stamps`,
        { expected: 'a name of its own in `stampTable`' },
      );
    }
    if (changes !== undefined && changes.length > 0) {
      throw new InvalidConfiguration(
        `table ${layout.table}: the key of "${layout.stampTable}" has other types, and refuses keys that the table takes`,
        { expected: 'the types of the table itself', remedy: `ALTER TABLE ${stamps} ${changes.join(', ')};` },
      );
    }
    if (changes !== undefined) return [];
    const create = this.#creation();
    const [found = []] = await this.#database.read([{ sql: GRANTS, values: [table.oid, stamps] }]);
    const grants = found.map(([grant]) => String(grant));
    if (!dryRun) {
      await this.#database.keep([
        // Another process may be at it; CREATE TABLE IF NOT EXISTS alone fails for one of two.
        { sql: 'SELECT pg_advisory_xact_lock(hashtextextended($1::text, 0))', values: [`changeover ${stamps}`] },
        { sql: create.replace('CREATE TABLE', 'CREATE TABLE IF NOT EXISTS'), values: [], fresh: true },
        ...grants.map((sql) => ({ sql, values: [], fresh: true })),
        ...(side === 'new' ? [{ sql: `DO ${literal(this.#marking())}`, values: [], fresh: true }] : []),
      ]);
      await this.#reads.lookForStamps();
    }
    return [create, ...grants];
  }

  async dropStampTable(): Promise<void> {
    const { stamps } = this.#plan;
    if (!(await this.#reads.lookForStamps())) return;
    const drop = `LOCK TABLE ${stamps}; IF NOT EXISTS (SELECT 1 FROM ${stamps}) THEN DROP TABLE ${stamps}; END IF;`;
    await this.#unlessMissing({ sql: `DO ${literal(`BEGIN ${drop} END`)}`, values: [], fresh: true });
    await this.#reads.lookForStamps();
  }

  async #unlessMissing(...steps: readonly Step[]): Promise<readonly Rows[]> {
    try {
      return await this.#database.keep(steps);
    } catch (error) {
      if (error instanceof PipelineFailed && classify(error).kind === 'no-table') return [];
      throw error;
    }
  }

  // --- reading and writing -----------------------------------------------------------------------

  read(keys: readonly (readonly Bound[])[], stampsOnly: boolean): Promise<(Held | undefined)[]> {
    return this.#reads.read(keys, stampsOnly);
  }

  stamps(keys: readonly (readonly Bound[])[]): Promise<(Stamp | null)[]> {
    return this.#reads.stamps(keys);
  }

  page(range: KeyRange, limit: number, stampsOnly: boolean, recordsOnly: boolean): Promise<HeldAt[]> {
    return this.#reads.page(range, limit, stampsOnly, recordsOnly);
  }

  list(unit: readonly Bound[], after: readonly Bound[] | null, limit: number): Promise<HeldAt[]> {
    return this.#reads.list(unit, after, limit);
  }

  write(writes: readonly Write[]): Promise<(CasOutcome | PutFault)[]> {
    return this.#writes.write(writes);
  }

  // --- sizes -------------------------------------------------------------------------------------

  async #size(): Promise<{ readonly pages: number; readonly rows: number; readonly unknown: boolean }> {
    const [rows] = await this.#database.read([{ sql: SIZE, values: [this.#plan.table.oid] }]);
    const [pages, count, unknown] = rows?.[0] ?? [];
    return { pages: Number(pages), rows: Number(count), unknown: unknown === 't' };
  }

  async estimate(): Promise<number | null> {
    const sql = `SELECT count(*) FROM (SELECT 1 FROM ${this.#plan.records} LIMIT ${SMALL_TABLE + 1}) AS few`;
    const [counted] = await this.#database.read([{ sql, values: [] }]);
    const count = Number(counted?.[0]?.[0]);
    if (count <= SMALL_TABLE) return count;
    const { rows, unknown } = await this.#size();
    return unknown ? null : rows;
  }

  async divide(count: number): Promise<(readonly unknown[])[]> {
    const { records, stamps } = this.#plan;
    const { pages } = await this.#size();
    const wanted = Math.max(LEAST_PAGES, count * SAMPLES_PER_CUT);
    const sample = pages > wanted * 2 ? ` TABLESAMPLE SYSTEM (${((100 * wanted) / pages).toFixed(6)})` : '';
    const cuts = await this.#cuts(`${records} AS r${sample}`, 'r', count);
    if (cuts.length > 0 || !(await this.#reads.lookForStamps())) return cuts;
    return this.#cuts(`${stamps} AS r`, 'r', count);
  }

  /** Keys at even distances among those of a source, in scan order. */
  async #cuts(source: string, alias: string, count: number): Promise<(readonly unknown[])[]> {
    const { scanKeys, layout } = this.#plan;
    const order = scanKeys.map(({ name }) => `${alias}.${quote(name)}`).join(', ');
    const columns = layout.keys.map(({ name }, i) => `${alias}.${quote(name)} AS k${i}`).join(', ');
    const keys = layout.keys.map((_, i) => `k${i}`).join(', ');
    const sql =
      `SELECT ${keys} FROM (SELECT ${columns}, row_number() OVER (ORDER BY ${order}) AS n, count(*) OVER () AS m FROM ${source}) AS q ` +
      'WHERE n * ($1::int8 + 1) / (m + 1) > (n - 1) * ($1::int8 + 1) / (m + 1) ORDER BY n';
    const [rows = []] = await this.#database.read([{ sql, values: [BigInt(count)], fresh: true }]);
    return rows.map((row) =>
      row.map((cell, i) => (cell === null ? null : this.#plan.reader(layout.keys[i]?.name ?? '')(cell))),
    );
  }

  // --- removing ----------------------------------------------------------------------------------

  /** Partitions count their rows' places each by itself, so the partition is part of the place. */
  #deletion(table: string, partitioned: boolean): string {
    const where = partitioned
      ? `(tableoid, ctid) IN (SELECT tableoid, ctid FROM ${table} LIMIT $1::int8)`
      : `ctid = ANY (ARRAY(SELECT ctid FROM ${table} LIMIT $1::int8))`;
    return `WITH gone AS (DELETE FROM ${table} WHERE ${where} RETURNING 1) SELECT count(*) FROM gone`;
  }

  async deleteRecords(limit: number): Promise<number> {
    const sql = this.#deletion(this.#plan.records, this.#plan.table.partitioned);
    const [rows] = await this.#database.keep([{ sql, values: [BigInt(limit)] }]);
    return Number(rows?.[0]?.[0]);
  }

  async deleteStamps(limit: number): Promise<number> {
    if (!this.#reads.stamped && !(await this.#reads.lookForStamps())) return 0;
    const sql = this.#deletion(this.#plan.stamps, false);
    const [rows] = await this.#unlessMissing({ sql, values: [BigInt(limit)] });
    return Number(rows?.[0]?.[0] ?? 0);
  }
}

/** A text constant of SQL. */
const literal = (text: string): string => {
  const escaped = text.replaceAll("'", "''").replaceAll('\\', '\\\\');
  return `E'${escaped}'`;
};

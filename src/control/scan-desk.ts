import type { Delivery, ScanChunk } from '../../verify/scan-share.ts';
import type { NodeInfo } from '../core/control-client.ts';
import { ChangeoverError, ControlUnavailable } from '../core/errors.ts';
import { keyFromJson, keyToJson } from '../core/key-json.ts';
import type { Side } from '../core/stage.ts';
import type { Partition } from '../core/store.ts';
import { errorCode } from './control-dialect.ts';
import { Mutex } from './mutex.ts';
import type { PostgresConnection } from './postgres-connection.ts';
import type { PostgresPlace } from './postgres-place.ts';
import type { OpenScan, OpenScanPartition, ScanLease, ScanOrder } from './scan-row.ts';
import { TABLES_LOCK, tablesIn } from './scan-tables.ts';

/** A chunk that waits in the database; `id` tells it from others. */
export interface WaitingChunk extends ScanChunk {
  readonly id: number;
  readonly side: Side;
}

/** What became of a delivery: taken; too much waits already; or the partition is somebody else's, or the scan over. */
export type Delivered = 'taken' | 'full' | 'lost';

/** A verifier that says nothing for so long is dead, and what it left is removed. */
const ALIVE_S = 15;
/** Nobody else takes a partition whose holder says this often that it lives. */
const LEASE_S = 10;
/** Chunks of one verification that wait in the database at most; with what was removed and not yet reused about twice. */
export const MOST_WAITING = 128;
const COLLECTED_AT_ONCE = 16;
/** A server that does not answer for so long is given up. */
const UNANSWERED_MS = 30_000;
/** `undefined_table`: nobody has shared a verification in this database yet. */
const NO_TABLE = '42P01';

type Row = Readonly<Record<string, unknown>>;

/**
 * Where a verifier and its helpers meet: partitions with leases and fences, and digests on their way. All of it is in
 * single statements beside the control plane's own transactions, whose lock chunks would hold up. One connection.
 */
export class ScanDesk {
  readonly #place: PostgresPlace;
  readonly #schema: string;
  readonly #mutex = new Mutex();
  #connection: PostgresConnection | null = null;

  constructor(place: PostgresPlace) {
    this.#place = place;
    this.#schema = `"${place.schema}"`;
  }

  /** Offers a scan, and removes what verifiers left behind that are dead. @throws ControlUnavailable */
  async begin(
    migration: string,
    mapping: string,
    process: NodeInfo,
    order: ScanOrder,
    partitions: Readonly<Record<Side, readonly Partition[]>>,
  ): Promise<number> {
    const rows = (['old', 'new'] as const).flatMap((side) =>
      partitions[side].map((partition) => ({ side, partition: JSON.stringify(partition) })),
    );
    return this.#exclusively(async (connection) => {
      await this.#makeTables(connection);
      await connection.client.query(this.#removeDead);
      const { rows: made } = await connection.client.query(
        `with scan as (
           insert into ${this.#schema}.scans (migration, mapping, process, scan_order, alive_until)
           values ($1, $2, $6, $3, clock_timestamp() + interval '${ALIVE_S} s') returning id
         ), parts as (
           insert into ${this.#schema}.scan_partitions (scan, side, partition)
           select scan.id, p.side, p.partition from scan, unnest($4::text[], $5::text[]) with ordinality p(side, partition, n)
           order by p.n
         )
         select id from scan`,
        [
          migration,
          mapping,
          JSON.stringify(order),
          rows.map(({ side }) => side),
          rows.map((row) => row.partition),
          JSON.stringify(process),
        ],
      );
      return Number(made[0]?.id);
    });
  }

  /** Keeps a scan alive; its partitions that are not done, or null where it is gone. @throws ControlUnavailable */
  async keep(scan: number): Promise<readonly OpenScanPartition[] | null> {
    const kept = await this.#rows(
      `update ${this.#schema}.scans set alive_until = clock_timestamp() + interval '${ALIVE_S} s' where id = $1 returning id`,
      [scan],
    );
    if (kept.length === 0) return null;
    return (await this.#partitions([scan])).map(openPartition);
  }

  /** The scans of some migrations that are under way; those of dead verifiers are removed. @throws ControlUnavailable */
  async open(migrations: readonly string[]): Promise<readonly OpenScan[]> {
    const scans = await this.#rows(
      `select id, migration, mapping, process, alive_until > clock_timestamp() as alive from ${this.#schema}.scans
       where migration = any($1) order by id`,
      [migrations],
      [],
    );
    const alive = scans.filter((row) => row['alive'] === true);
    if (alive.length < scans.length) await this.#rows(this.#removeDead, []);
    if (alive.length === 0) return [];
    const partitions = await this.#partitions(alive.map(({ id }) => Number(id)));
    return alive.map((row) => ({
      id: Number(row['id']),
      migration: String(row['migration']),
      mapping: String(row['mapping']),
      process: JSON.parse(String(row['process'])) as NodeInfo,
      partitions: partitions.filter(({ scan }) => scan === row['id']).map(openPartition),
    }));
  }

  /** What a scan needs, or null where it is gone. @throws ControlUnavailable */
  async order(scan: number): Promise<ScanOrder | null> {
    const [row] = await this.#rows(`select scan_order from ${this.#schema}.scans where id = $1`, [scan]);
    return row === undefined ? null : (JSON.parse(String(row['scan_order'])) as ScanOrder);
  }

  /** Gives a helper a partition that is nobody's and that has not failed; null where somebody was faster. */
  take(scan: number, partition: number, runner: string, process: NodeInfo): Promise<ScanLease | null> {
    return this.#lease(
      runner,
      `p.id = $3 and not p.failed`,
      `clock_timestamp() + interval '${LEASE_S} s'`,
      [scan, runner, partition, JSON.stringify(process)],
      '$4',
    );
  }

  /**
   * Gives the verifier one, for good: what it has scanned is known to it alone. One that it was given and knows nothing
   * of, as the answer was lost, it is given again.
   */
  takeOwn(scan: number, side: Side, runner: string, held: Iterable<number>): Promise<ScanLease | null> {
    const values = [scan, runner, side, [...held]];
    return this.#lease(runner, 'p.side = $3', `'infinity'`, values, 'null', OWN);
  }

  /** Says that the holder of a partition is at work; false where it is not its holder any more. */
  async renew({ id, runner, fence }: ScanLease): Promise<boolean> {
    const rows = await this.#rows(
      `update ${this.#schema}.scan_partitions p set lease_until = clock_timestamp() + interval '${LEASE_S} s'
       from ${this.#schema}.scans s where ${HELD} returning p.id`,
      [id, runner, fence],
    );
    return rows.length > 0;
  }

  /**
   * Hands over a chunk together with the place behind it: both or neither. Where no answer comes, it is not to be sent
   * again: the partition's next holder sees what became of it.
   */
  async deliver({ id, runner, fence }: ScanLease, delivery: Delivery): Promise<Delivered> {
    const { data, records, leftovers, cursor, done } = delivery;
    const held = await this.#rows(
      `select (select count(*) from ${this.#schema}.scan_chunks c where c.scan = s.id) as waiting
       from ${this.#schema}.scan_partitions p, ${this.#schema}.scans s where ${HELD}`,
      [id, runner, fence],
    );
    if (held.length === 0) return 'lost';
    if (Number(held[0]?.['waiting']) >= MOST_WAITING) return 'full';
    const lines = JSON.stringify(leftovers.map((ref) => ({ id: ref.id, key: keyToJson(ref.key) })));
    const taken = await this.#rows(
      `with held as (
         update ${this.#schema}.scan_partitions p
         set cursor = $4, done = $5, lease_until = clock_timestamp() + interval '${LEASE_S} s'
         from ${this.#schema}.scans s where ${HELD} returning p.scan, p.side
       )
       insert into ${this.#schema}.scan_chunks (scan, side, records, leftovers, data)
       select scan, side, $6, $7, $8 from held returning id`,
      [id, runner, fence, cursor, done, records, lines, data],
    );
    return taken.length > 0 ? 'taken' : 'lost';
  }

  /** The verifier has scanned a partition of its own. */
  async finishOwn({ id, runner, fence }: ScanLease): Promise<void> {
    await this.#rows(
      `update ${this.#schema}.scan_partitions set done = true where id = $1 and runner = $2 and fence = $3 returning id`,
      [id, runner, fence],
    );
  }

  /** Gives a partition back; one that failed is the verifier's from then on. */
  async release({ id, runner, fence }: ScanLease, failed: boolean): Promise<void> {
    await this.#rows(
      `update ${this.#schema}.scan_partitions p set lease_until = '-infinity', failed = p.failed or $4
       from ${this.#schema}.scans s where ${HELD} returning p.id`,
      [id, runner, fence, failed],
    );
  }

  /** Frees a partition whose holder has surely ended. */
  async free(partition: number, fence: number): Promise<boolean> {
    const rows = await this.#rows(
      `update ${this.#schema}.scan_partitions set lease_until = '-infinity'
       where id = $1 and fence = $2 and not done returning id`,
      [partition, fence],
    );
    return rows.length > 0;
  }

  /** Some of the chunks that wait, but for those that are known already. */
  async waiting(scan: number, but: Iterable<number>): Promise<readonly WaitingChunk[]> {
    const rows = await this.#rows(
      `select id, side, records, leftovers, data from ${this.#schema}.scan_chunks
       where scan = $1 and not id = any($2::bigint[]) order by id limit ${COLLECTED_AT_ONCE}`,
      [scan, [...but]],
    );
    return rows.map((row) => ({
      id: Number(row['id']),
      side: row['side'] as Side,
      records: Number(row['records']),
      leftovers: (JSON.parse(String(row['leftovers'])) as { id: string; key: Parameters<typeof keyFromJson>[0] }[]).map(
        ({ id, key }) => ({ id, key: keyFromJson(key) }),
      ),
      data: row['data'] as Buffer,
    }));
  }

  /** Removes chunks that were taken over. */
  async drop(ids: readonly number[]): Promise<void> {
    await this.#rows(`delete from ${this.#schema}.scan_chunks where id = any($1::bigint[]) returning 1`, [ids]);
  }

  /** Makes room where chunks were: the database would do it by itself, but in its own time. */
  async sweep(): Promise<void> {
    await this.#exclusively((connection) => connection.query(`vacuum ${this.#schema}.scan_chunks`));
  }

  /** Ends a scan for all who take part, and removes everything of it. */
  async end(scan: number): Promise<void> {
    await this.#rows(`delete from ${this.#schema}.scans where id = $1 returning 1`, [scan], []);
  }

  /** Idempotent. */
  async close(): Promise<void> {
    await this.#mutex.idle();
    await this.#connection?.close();
    this.#connection = null;
  }

  get #removeDead(): string {
    return `delete from ${this.#schema}.scans where alive_until < clock_timestamp()`;
  }

  async #makeTables(connection: PostgresConnection): Promise<void> {
    // Asked first: making what is there already would wait for everybody who uses it.
    const [there] = await connection.query(`select to_regclass('${this.#schema}.scan_chunks') as made`);
    if (there?.rows[0]?.['made'] != null) return;
    const lock = `select pg_advisory_xact_lock(${TABLES_LOCK}, ${this.#place.lockId})`;
    try {
      await connection.query(`begin; ${lock}; ${tablesIn(this.#schema)}; commit`);
    } catch (error) {
      await connection.query('rollback').catch(() => {});
      throw error;
    }
  }

  async #lease(
    runner: string,
    which: string,
    until: string,
    values: readonly unknown[],
    process: string,
    free = FREE,
  ): Promise<ScanLease | null> {
    const [row] = await this.#rows(
      `update ${this.#schema}.scan_partitions set runner = $2, process = ${process}, fence = fence + 1, lease_until = ${until}
       where id = (
         select p.id from ${this.#schema}.scan_partitions p join ${this.#schema}.scans s on s.id = p.scan
         where p.scan = $1 and ${which} and not p.done and ${free} and s.alive_until > clock_timestamp()
         order by p.id limit 1 for update of p skip locked
       )
       returning id, scan, side, partition, cursor, fence`,
      values,
    );
    if (row === undefined) return null;
    return {
      scan: Number(row['scan']),
      id: Number(row['id']),
      side: row['side'] as Side,
      partition: JSON.parse(String(row['partition'])) as Partition,
      cursor: row['cursor'] as string | null,
      fence: Number(row['fence']),
      runner,
    };
  }

  #partitions(scans: readonly number[]): Promise<readonly Row[]> {
    return this.#rows(
      `select id, scan, side, failed, fence, process, lease_until <= clock_timestamp() as free
       from ${this.#schema}.scan_partitions where scan = any($1::bigint[]) and not done order by id`,
      [scans],
    );
  }

  /** Rows of one statement; `unmade` where the tables are not there. */
  #rows(text: string, values: readonly unknown[], unmade?: readonly Row[]): Promise<readonly Row[]> {
    return this.#exclusively(async ({ client }) => {
      try {
        return (await client.query<Row>(text, [...values])).rows;
      } catch (error) {
        // A statement that was refused is over; the connection is as good as before.
        if (unmade !== undefined && errorCode(error) === NO_TABLE) return unmade;
        throw error;
      }
    });
  }

  #exclusively<T>(run: (connection: PostgresConnection) => Promise<T>): Promise<T> {
    return this.#mutex.run(async () => {
      let connection: PostgresConnection | null = null;
      const late = setTimeout(() => connection?.destroy(), UNANSWERED_MS);
      try {
        connection = await this.#connected();
        return await run(connection);
      } catch (error) {
        if (error instanceof ChangeoverError) throw error;
        // It may be the connection's; the next call has a new one.
        connection?.destroy();
        throw new ControlUnavailable(`${this.#place.label} failed with ${errorCode(error) || 'no answer'}`, {
          cause: error,
        });
      } finally {
        clearTimeout(late);
      }
    });
  }

  async #connected(): Promise<PostgresConnection> {
    if (this.#connection === null || this.#connection.lost) {
      this.#connection = null;
      // Whoever has no PostgreSQL need not have its driver.
      const { PostgresConnection } = await import('./postgres-connection.ts');
      this.#connection = await PostgresConnection.open(this.#place);
    }
    return this.#connection;
  }
}

/** Of a statement over partitions `p` and scans `s`: the lease is still the caller's, and somebody waits for it. */
const HELD =
  'p.id = $1 and p.runner = $2 and p.fence = $3 and not p.done and s.id = p.scan and s.alive_until > clock_timestamp()';

/** Nobody's, of a statement over partitions `p`; or the caller's ($2), who does not hold it ($4). */
const FREE = 'p.lease_until <= clock_timestamp()';
const OWN = `(${FREE} or (p.runner = $2 and p.process is null and not p.id = any($4::bigint[])))`;

const openPartition = (row: Row): OpenScanPartition => ({
  id: Number(row['id']),
  side: row['side'] as Side,
  free: row['free'] === true,
  failed: row['failed'] === true,
  fence: Number(row['fence']),
  process: row['process'] === null ? null : (JSON.parse(String(row['process'])) as NodeInfo),
});

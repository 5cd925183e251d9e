import type { Clock } from '../../../src/core/clock.ts';
import { ReplicaLag } from '../../../src/core/replica-lag.ts';
import type { Ask } from './catalog.ts';

/**
 * Where the server is in its log, and where the standbys are that apply it. Of standbys others see only that they are
 * there, unless they have the role pg_monitor. A subscriber of a publication is no replica: it says what it likes.
 */
const PLACES = `SELECT CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_current_wal_lsn() - '0/0'::pg_lsn END,
    s.replay_lsn - '0/0'::pg_lsn
  FROM pg_stat_replication s
  WHERE s.state IN ('streaming', 'catchup') AND s.replay_lsn IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM pg_replication_slots l WHERE l.active_pid = s.pid AND l.slot_type = 'logical')`;

/** The streaming replicas of a server. */
export class Replicas {
  readonly #ask: Ask;
  readonly #clock: Clock;
  readonly #lag = new ReplicaLag();

  constructor(ask: Ask, clock: Clock) {
    this.#ask = ask;
    this.#clock = clock;
  }

  /** See `Store.replicaLag`. */
  async lag(): Promise<number | null> {
    const [rows = []] = await this.#ask([{ sql: PLACES, values: [] }]);
    const primary = rows[0]?.[0] ?? null;
    const replicas = rows.map(([, place]) => BigInt(String(place)));
    return this.#lag.measure(this.#clock.monotonic(), BigInt(primary ?? 0), primary === null ? [] : replicas);
  }
}

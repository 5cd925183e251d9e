import type { Document, Timestamp } from 'mongodb';
import { ReplicaLag } from '../../src/core/replica-lag.ts';
import { classify } from './faults.ts';
import type { Wire } from './wire.ts';

const PRIMARY = 1;
const SECONDARY = 2;

/** The secondaries of a replica set. */
export class Replicas {
  readonly #wire: Wire;
  readonly #lag = new ReplicaLag();

  constructor(wire: Wire) {
    this.#wire = wire;
  }

  /** See `Store.replicaLag`. Needs the privilege replSetGetStatus, which the role clusterMonitor has. */
  async lag(): Promise<number | null> {
    if (!this.#wire.replicated) return null;
    const status = await this.#ask({ replSetGetStatus: 1 });
    const hello = status === null ? null : await this.#ask({ hello: 1 });
    if (status === null || hello === null) return null;
    // Hidden members serve nobody, and those that are kept behind on purpose are hidden.
    const serving = new Set([...names(hello['hosts']), ...names(hello['passives'])]);
    const members = (status['members'] ?? []) as readonly Document[];
    const primary = members.find(({ state }) => state === PRIMARY);
    const healthy = members.filter(
      ({ state, health, name }) => state === SECONDARY && health === 1 && serving.has(name),
    );
    const replicas = primary === undefined ? [] : healthy.map(placeOf);
    return this.#lag.measure(this.#wire.clock.monotonic(), placeOf(primary ?? {}), replicas);
  }

  /** Null where the server does not know the command, or this user may not give it. */
  #ask(command: Document): Promise<Document | null> {
    const { client } = this.#wire;
    return this.#wire.read(Object.keys(command)[0] ?? '', (signal) =>
      client
        .db('admin')
        .command(command, { signal, promoteLongs: false, readPreference: 'primary' })
        .catch((error: unknown) => {
          if (classify(error).kind === 'unable') return null;
          throw error;
        }),
    );
  }
}

const names = (list: unknown): readonly unknown[] => (Array.isArray(list) ? list : []);

/** Where a member is in the log. */
const placeOf = ({ optime }: Document): bigint => (optime?.ts as Timestamp | undefined)?.toBigInt() ?? 0n;

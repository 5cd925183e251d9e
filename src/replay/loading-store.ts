import type { Entry, PutFault, PutOutcome, Store } from '../core/store.ts';

/**
 * A store as a preload sees it (R20): it is never asked what it has, and puts are loads where the store has them. Keeps
 * in mind until when a put that had no answer may still arrive; puts under a guard do no harm when they do.
 */
export class LoadingStore {
  readonly store: Store;
  readonly #open = new Map<symbol, number>();
  #looseUntil = 0;

  constructor(target: Store) {
    const load = target.load?.bind(target);
    this.store = {
      get label() {
        return target.label;
      },
      get capabilities() {
        return target.capabilities;
      },
      get native() {
        return target.native;
      },
      get pressure() {
        return target.pressure ?? 0;
      },
      getMany: async (keys) => keys.map(() => undefined),
      putManyIfNewer:
        load === undefined
          ? (entries, deadline) => target.putManyIfNewer(entries, deadline)
          : (entries, deadline) => this.#load(load, entries, deadline),
      replicaLag: async () => (await target.replicaLag?.()) ?? null,
      get: (id, key) => target.get(id, key),
      putIfNewer: (entry, deadline) => target.putIfNewer(entry, deadline),
      compareAndSet: (entry, expected, deadline) => target.compareAndSet(entry, expected, deadline),
      putPlain: (entry, deadline) => target.putPlain(entry, deadline),
      list: (unit, after, limit) => target.list(unit, after, limit),
      open: () => target.open(),
      close: () => target.close(),
      now: () => target.now(),
      prepare: (options) => target.prepare(options),
      prepared: () => target.prepared(),
      inspect: () => target.inspect(),
      check: (entry) => target.check(entry),
      roundTrip: (entry) => target.roundTrip(entry),
      partitions: (count) => target.partitions(count),
      scan: (partition, options) => target.scan(partition, options),
      decode: (row) => target.decode(row),
      estimate: () => target.estimate(),
      wipe: (options) => target.wipe(options),
      finish: (options) => target.finish(options),
    };
  }

  /** The latest deadline of a load that may still arrive, those without an answer yet included; 0: none may. */
  get looseUntil(): number {
    return Math.max(this.#looseUntil, ...this.#open.values());
  }

  async #load(
    load: NonNullable<Store['load']>,
    entries: readonly Entry[],
    deadline: number,
  ): Promise<(PutOutcome | PutFault)[]> {
    const call = Symbol('load');
    this.#open.set(call, deadline);
    // One that throws stays open: nobody knows.
    const { outcomes, loose } = await load(entries, deadline);
    if (loose) this.#looseUntil = Math.max(this.#looseUntil, deadline);
    this.#open.delete(call);
    return [...outcomes];
  }
}

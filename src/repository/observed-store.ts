import type { Entry, Store } from '../core/store.ts';
import type { MeasuredCall } from '../core/telemetry.ts';
import type { Key } from '../core/value.ts';

/** What a call is about; its objects are those that the caller passed. */
export interface CallSubject {
  /** Of the first record, or the unit of a list; undefined where nothing was asked for. */
  readonly key: Key | undefined;
  /** What was read, one by one. */
  readonly keys?: readonly Key[];
  /** What was written. */
  readonly entry?: Entry;
}

/** Runs a call, and sees how it ends. Whatever it answers or throws is the call's own. */
export type ObserveCall = <T>(call: MeasuredCall, subject: CallSubject, run: () => Promise<T>) => Promise<T>;

/** The same store, with the calls of operations, mirrors and shadow reads observed. */
export function observedStore(store: Store, observe: ObserveCall): Store {
  return {
    get label() {
      return store.label;
    },
    get capabilities() {
      return store.capabilities;
    },
    get native() {
      return store.native;
    },
    get away() {
      return store.away ?? false;
    },
    get pressure() {
      return store.pressure ?? 0;
    },
    get: (id, key) => observe('get', { key, keys: [key] }, () => store.get(id, key)),
    getMany: (refs, options) => {
      const keys = refs.map(({ key }) => key);
      return observe('getMany', { key: keys[0], keys }, () => store.getMany(refs, options));
    },
    putIfNewer: (entry, deadline) =>
      observe('putIfNewer', { key: entry.key, entry }, () => store.putIfNewer(entry, deadline)),
    compareAndSet: (entry, expected, deadline) =>
      observe('compareAndSet', { key: entry.key, entry }, () => store.compareAndSet(entry, expected, deadline)),
    putPlain: (entry, deadline) =>
      observe('putPlain', { key: entry.key, entry }, () => store.putPlain(entry, deadline)),
    list: (unit, after, limit) => observe('list', { key: unit }, () => store.list(unit, after, limit)),
    // What only replays, verifications and people do is not observed here.
    putManyIfNewer: (entries, deadline) => store.putManyIfNewer(entries, deadline),
    open: () => store.open(),
    close: () => store.close(),
    now: () => store.now(),
    prepare: (options) => store.prepare(options),
    prepared: () => store.prepared(),
    inspect: () => store.inspect(),
    check: (entry) => store.check(entry),
    roundTrip: (entry) => store.roundTrip(entry),
    partitions: (count) => store.partitions(count),
    scan: (partition, options) => store.scan(partition, options),
    decode: (row) => store.decode(row),
    estimate: () => store.estimate(),
    wipe: (options) => store.wipe(options),
    finish: (options) => store.finish(options),
  };
}

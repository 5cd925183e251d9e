import type { KeySpec } from '../core/record-key.ts';
import type { Side } from '../core/stage.ts';
import type { Store } from '../core/store.ts';
import type { MeasuredCall, MigrationMetrics } from '../core/telemetry.ts';
import type { Key } from '../core/value.ts';
import type { MigrationSession } from './migration-session.ts';

/** The same store, with the calls of operations, mirrors and shadow reads measured. */
export function measuredStore(
  store: Store,
  side: Side,
  metrics: MigrationMetrics,
  session: MigrationSession,
  keys: KeySpec,
): Store {
  const { clock } = session.fleet;
  const measure = <T>(call: MeasuredCall, key: Key | undefined, run: () => Promise<T>): Promise<T> => {
    const begun = clock.monotonic();
    const { ruleset } = session.epoch;
    const stage = key === undefined ? 'off' : ruleset.route(keys.unit(key)).stage;
    const ended = (failed: boolean): void => metrics.storeCall(call, stage, side, clock.monotonic() - begun, failed);
    return run().then(
      (answer) => {
        ended(false);
        return answer;
      },
      (error: unknown) => {
        ended(true);
        throw error;
      },
    );
  };
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
    get pressure() {
      return store.pressure ?? 0;
    },
    get: (id, key) => measure('get', key, () => store.get(id, key)),
    getMany: (refs, options) => measure('getMany', refs[0]?.key, () => store.getMany(refs, options)),
    putIfNewer: (entry, deadline) => measure('putIfNewer', entry.key, () => store.putIfNewer(entry, deadline)),
    compareAndSet: (entry, expected, deadline) =>
      measure('compareAndSet', entry.key, () => store.compareAndSet(entry, expected, deadline)),
    putPlain: (entry, deadline) => measure('putPlain', entry.key, () => store.putPlain(entry, deadline)),
    list: (unit, after, limit) => measure('list', unit, () => store.list(unit, after, limit)),
    // What only replays, verifications and people do is not measured here.
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

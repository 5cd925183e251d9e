import type { KeySpec } from '../core/record-key.ts';
import type { Side } from '../core/stage.ts';
import type { Store } from '../core/store.ts';
import type { MigrationMetrics } from '../core/telemetry.ts';
import type { MigrationSession } from './migration-session.ts';
import { observedStore } from './observed-store.ts';

/** The same store, with the calls of operations, mirrors and shadow reads measured. */
export function measuredStore(
  store: Store,
  side: Side,
  metrics: MigrationMetrics,
  session: MigrationSession,
  keys: KeySpec,
): Store {
  const { clock } = session.fleet;
  return observedStore(store, (call, { key }, run) => {
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
  });
}

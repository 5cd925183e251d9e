import type { KeySpec } from '../core/record-key.ts';
import { otherSide, type Side } from '../core/stage.ts';
import type { Store } from '../core/store.ts';
import type { CallOrigin, CallPart, MigrationTraces } from '../core/telemetry.ts';
import type { MigrationSession } from './migration-session.ts';
import { type CallSubject, observedStore } from './observed-store.ts';

/** Who began what is done to an entry or a key, and at which store. */
interface Begun {
  readonly side: Side;
  readonly origin: CallOrigin;
  /** A shadow read has begun: whatever is read under this key from now on is a recheck. */
  compared: boolean;
}

/**
 * What a call is a part of. A mirror put puts the very entry that its lead wrote, and a shadow read is of the very key
 * that its lead read: what else happens at the time says nothing about whose they are, as they wait in queues.
 */
class CallParts {
  readonly #begun = new WeakMap<object, Begun>();

  partOf(side: Side, authority: Side, { entry, keys = [] }: CallSubject): CallPart {
    const known = this.#begun.get(entry ?? keys[0] ?? this);
    if (known === undefined) return { role: 'lead', origin: null };
    if (entry !== undefined) return { role: side === known.side ? 'lead' : 'mirror', origin: known.origin };
    // An update that begins anew after a handover reads its key on the other side, but that one leads.
    if (side !== known.side && side !== authority) known.compared = true;
    return { role: known.compared ? 'shadow' : 'lead', origin: known.origin };
  }

  begun(side: Side, { entry, keys = [] }: CallSubject, origin: CallOrigin): void {
    for (const subject of entry === undefined ? keys : [entry]) {
      if (!this.#begun.has(subject)) this.#begun.set(subject, { side, origin, compared: false });
    }
  }
}

/** Both stores, with a span for each call of an operation, a mirror or a shadow read. */
export function tracedStores(
  stores: Readonly<Record<Side, Store>>,
  traces: MigrationTraces,
  session: MigrationSession,
  keys: KeySpec,
): Readonly<Record<Side, Store>> {
  const parts = new CallParts();
  const traced = (side: Side): Store =>
    observedStore(stores[side], (call, subject, run) => {
      const { key } = subject;
      const route = key === undefined ? null : session.epoch.ruleset.route(keys.unit(key));
      const { role, origin } = parts.partOf(side, route?.authority ?? otherSide(side), subject);
      return traces.storeCall({ call, stage: route?.stage ?? 'off', store: side, role, origin }, run, (started) =>
        parts.begun(side, subject, started),
      );
    });
  return { old: traced('old'), new: traced('new') };
}

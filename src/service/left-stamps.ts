import type { ControlPlaneApi } from '../control/control-plane.ts';
import { leftStamp } from '../control/left-stamp.ts';
import { NotPrepared, StoreFault } from '../core/errors.ts';
import type { Side } from '../core/stage.ts';
import type { Finding, Store } from '../core/store.ts';
import type { Logger } from '../core/telemetry.ts';
import type { StorePair } from './open-stores.ts';

/** Whether nobody writes stamps for a migration yet, as far as its control plane knows. */
export async function writesNoStamps(plane: ControlPlaneApi, name: string): Promise<boolean> {
  if (!(await plane.migrations()).includes(name)) return true;
  const { stamping, finished } = await plane.ruleset(name);
  return stamping === 'off' && !finished;
}

/**
 * What to say of a store that holds stamps though this migration wrote none: it is part of one that another control plane
 * knows, where the other store may lead. From anew the old one would lead, with whatever it lacks.
 */
export async function leftStampFindings(
  store: Store,
  side: Side,
  signal?: AbortSignal | undefined,
): Promise<readonly Finding[]> {
  if (!(await leftStamp(store, signal))) return [];
  return [
    {
      name: 'stamps:left',
      kind: 'stamps',
      level: 'problem',
      message: `${store.label} holds stamps that this control plane knows nothing of: a migration went on elsewhere, or was not finished, and there ${side === 'old' ? 'the other store' : 'this store'} may lead by now`,
      remedy:
        'name its own control plane in `control`, or restore it; finish it there (changeover finish); where it is lost, docs/control-plane.md, "Making it anew"',
    },
  ];
}

/**
 * Keeps a process from beginning under a control plane that knows nothing of its migration, beside stores that another one
 * has moved: a mistyped path, a volume that is not there, a database that was made anew. The old store would lead.
 * @throws NotPrepared
 */
export async function refuseLeftStamps(
  plane: ControlPlaneApi,
  name: string,
  stores: StorePair,
  logger: Logger,
): Promise<void> {
  if ((await plane.migrations()).includes(name)) return;
  for (const side of ['old', 'new'] as const) {
    if (stores[side].away === true) continue;
    try {
      const [left] = await leftStampFindings(stores[side], side);
      if (left !== undefined) throw new NotPrepared(left.message, { remedy: left.remedy });
    } catch (err) {
      // A service may be allowed less than to scan.
      if (!(err instanceof StoreFault)) throw err;
      logger.warn({ err, migration: name, side }, 'nobody could look for stamps of another control plane');
    }
  }
}

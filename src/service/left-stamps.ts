import type { ControlPlaneApi } from '../control/control-plane.ts';
import { leftStamp } from '../control/left-stamp.ts';
import type { Side } from '../core/stage.ts';
import type { Finding, Store } from '../core/store.ts';

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

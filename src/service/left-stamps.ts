import type { ControlPlaneApi } from '../control/control-plane.ts';
import { leftStamp } from '../control/left-stamp.ts';
import { type Clock, sleep } from '../core/clock.ts';
import { NotPrepared } from '../core/errors.ts';
import type { Side } from '../core/stage.ts';
import type { Finding, Store } from '../core/store.ts';
import type { Logger } from '../core/telemetry.ts';
import type { StorePair } from './open-stores.ts';

/** A store that has not answered by then keeps no service from starting. */
const LOOK_MS = 5_000;

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
  clock: Clock,
  logger: Logger,
): Promise<void> {
  if ((await plane.migrations()).includes(name)) return;
  await Promise.all(
    (['old', 'new'] as const)
      .filter((side) => stores[side].away !== true)
      .map(async (side) => {
        // Only what was found refuses: a service may be allowed less than to scan, and meet rows that nobody can read.
        const left = await leftSoon(stores[side], side, clock).catch((err: unknown) => {
          logger.warn({ err, migration: name, side }, 'nobody could look for stamps of another control plane');
        });
        if (left) throw new NotPrepared(left.message, { remedy: left.remedy });
      }),
  );
}

/** What is to be said of stamps that were left in a store. @throws Error where it has not answered in time */
async function leftSoon(store: Store, side: Side, clock: Clock): Promise<Finding | undefined> {
  const answered = new AbortController();
  const late = async (): Promise<never> => {
    await sleep(clock, LOOK_MS, answered.signal);
    throw new Error(`${store.label} has not answered within ${LOOK_MS} ms`);
  };
  try {
    const [left] = await Promise.race([leftStampFindings(store, side, answered.signal), late()]);
    return left;
  } finally {
    answered.abort();
  }
}

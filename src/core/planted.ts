import { type Stamp, stampIncarnation, stampMs } from './stamp.ts';
import type { Entry } from './store.ts';

/**
 * Records that a verification plants (verify/planted.ts) carry stamps of an incarnation that no process is ever given:
 * by that, and not by their keys, they are known, left out of counts and removed.
 */
export const PLANTED_INCARNATION = 0;

/** How the texts of their keys begin. */
export const PLANTED_TEXT = '~changeover-';

/** Whether an entry was planted by a verification, this one or another. */
export const isPlanted = (stamp: Stamp | null): boolean =>
  stamp?.endsWith('00000000') === true && stampIncarnation(stamp) === PLANTED_INCARNATION && stampMs(stamp) > 0;

/** Whether callers must not see an entry: planted by its stamp or, where a native row has none, by a text of its key. */
export function isHidden({ stamp, key }: Entry): boolean {
  if (stamp !== null) return isPlanted(stamp);
  for (const field in key) {
    const part = key[field];
    if (typeof part === 'string' && part.startsWith(PLANTED_TEXT)) return true;
  }
  return false;
}

import { signal } from '@preact/signals';
import type { RampView } from '../../server/api-types.ts';

/** When the last ramp began whose way back was seen, by migration. */
type Seen = Readonly<Record<string, number>>;

const KEY = 'changeover.seen-ramps';

/** A browser that keeps nothing forgets with the page. */
function kept(): Seen {
  try {
    const value: unknown = JSON.parse(localStorage.getItem(KEY) ?? '{}');
    return typeof value === 'object' && value !== null ? (value as Seen) : {};
  } catch {
    return {};
  }
}

const seen = signal(kept());
// Another page of this browser.
addEventListener('storage', ({ key }) => {
  if (key === KEY || key === null) seen.value = kept();
});

export const wasSeen = ({ migration, startedAt }: RampView): boolean => startedAt <= (seen.value[migration] ?? 0);

export function markSeen({ migration, startedAt }: RampView): void {
  seen.value = { ...kept(), ...seen.value, [migration]: startedAt };
  try {
    localStorage.setItem(KEY, JSON.stringify(seen.value));
  } catch {
    // For this page it is seen.
  }
}

import { canonicalHash } from '../core/canonical.ts';
import { InvalidArgument } from '../core/errors.ts';
import type { Route } from '../core/ruleset.ts';
import { parseStamp, STAMP_MIN, type Stamp } from '../core/stamp.ts';
import type { Entry, Expected } from '../core/store.ts';

/** A record with the version that `replace` wants back. Versions are opaque and survive a handover. */
export interface Versioned<R> {
  readonly record: R;
  readonly version: string;
}

/** Records without a stamp of their own are told apart by their value; that is the same on both stores. */
export function versionOf(entry: Entry): string {
  return entry.stamp === null || entry.stamp === STAMP_MIN ? `plain:${canonicalHash(entry.value)}` : entry.stamp;
}

/** The stamp that a version stands for; null where it stands for a value. @throws InvalidArgument when it is none. */
export function parseVersion(version: unknown): Stamp | null {
  if (typeof version === 'string' && version.startsWith('plain:')) return null;
  if (typeof version === 'string') {
    try {
      return parseStamp(version);
    } catch {
      // Falls through to the error for people.
    }
  }
  throw new InvalidArgument('ifVersion is no version of a record', {
    expected: 'what get(key, { version: true }) gave',
  });
}

/** What a compare-and-set on what was read expects; values too where plain writers leave no stamp (R16). */
export function expectedOf(entry: Entry | undefined, route: Route): Expected {
  if (entry === undefined || entry.value === null) return { kind: 'absent' };
  const { stamp, value } = entry;
  return route.stamping === 'on' ? { kind: 'version', stamp } : { kind: 'version', stamp, value };
}

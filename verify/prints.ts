import type { Stamp } from '../src/core/stamp.ts';
import { type Candidate, NO_RECORD, printOf } from './join.ts';
import { digestText } from './record-digest.ts';
import type { DigestSink } from './scan-store.ts';

interface Seen {
  readonly stamp: Stamp | null;
  readonly digest: string;
}

/** What one side holds under a few keys, for {@link joinPrints}. */
export class Prints implements DigestSink {
  readonly partitions = 1;
  readonly seen = new Map<string, Seen>();

  append(_partition: number, id: string, [a = 0, b = 0, c = 0]: Int32Array, stamp: Stamp | null): void {
    this.seen.set(id, { stamp, digest: digestText(a, b, c) });
  }

  async relieve(): Promise<void> {}
}

const print = (seen: Seen | undefined): string => (seen === undefined ? NO_RECORD : printOf(seen.stamp, seen.digest));

/** Compares both sides of a few keys; how many records they hold equally, and what differs. */
export function joinPrints(
  { seen: old }: Prints,
  { seen: fresh }: Prints,
): { readonly equal: number; readonly candidates: readonly Candidate[] } {
  const ids = [...new Set([...old.keys(), ...fresh.keys()])];
  const differing = ids.filter((id) => old.get(id)?.digest !== fresh.get(id)?.digest);
  return {
    equal: ids.length - differing.length,
    candidates: differing.map((id) => ({ id, old: print(old.get(id)), new: print(fresh.get(id)) })),
  };
}

import { systemClock } from '../src/core/clock.ts';
import { KeySpec } from '../src/core/record-key.ts';
import { DEFAULT_SETTINGS } from '../src/core/settings.ts';
import type { Side } from '../src/core/stage.ts';
import { identityCodec, type Store } from '../src/core/store.ts';
import { replay } from '../src/replay/replay.ts';
import { newShares } from '../src/replay/replay-share.ts';
import { Census } from '../verify/census.ts';
import { NO_RULES } from '../verify/compare.ts';
import type { BenchPlace } from './replay-places.ts';

const KEYS = new KeySpec(['user_key', 'id'], ['user_key']);
const PARTITIONS = 16;

export const rate = (records: number, ms: number): number => (records * 1_000) / ms;

/** The place as a store, prepared. */
export async function openPlace({ store }: Pick<BenchPlace, 'store'>, side: Side): Promise<Store> {
  const opened = await store.create({ migration: 'bench', side, keys: KEYS, codec: identityCodec, clock: systemClock });
  await opened.open();
  await opened.prepare();
  return opened;
}

/**
 * Replays everything as the command does, without a control plane; how long it took, ms. The first replay of a migration
 * takes the census: it puts every record through both stores' encodings and compares what comes back. Later ones do not.
 * @throws when not every record arrived
 */
export async function timedReplay(
  stores: { readonly old: Store; readonly new: Store },
  records: number,
  { first, target = stores.new }: { readonly first: boolean; readonly target?: Store },
): Promise<number> {
  const source = stores.old;
  const census = first ? new Census({ stores, keys: KEYS, rules: NO_RULES, clock: systemClock }) : null;
  const shares = newShares(await source.partitions(PARTITIONS));
  const begun = performance.now();
  await replay({
    source,
    target,
    shares,
    includes: null,
    journal: { checkpoint: async () => ({ yours: true, settings: DEFAULT_SETTINGS }) },
    settings: DEFAULT_SETTINGS,
    clock: systemClock,
    random: Math.random,
    onRejected: async () => {},
    whole: first,
    ...(census === null ? {} : { onRead: (entry) => census.add(entry) }),
  });
  const ms = performance.now() - begun;
  const seen = shares.reduce((sum, share) => sum + share.applied + share.skipped, 0);
  const lost = census?.report(true).losses ?? [];
  if (seen !== records || lost.length > 0) throw new Error(`${seen} of ${records} records arrived; ${lost.join(', ')}`);
  return ms;
}

/** A plain script: pages are read one after the other, so many writes of a page or of a part of it are under way. */
export async function plainCopy<T>(
  parts: AsyncIterable<T>,
  write: (part: T) => Promise<void>,
  inFlight: number,
): Promise<number> {
  const begun = performance.now();
  const writing = new Set<Promise<void>>();
  for await (const part of parts) {
    const written = write(part).finally(() => writing.delete(written));
    writing.add(written);
    if (writing.size >= inFlight) await Promise.race(writing);
  }
  await Promise.all(writing);
  return performance.now() - begun;
}

/** Records a second of a plain read of everything. */
export async function readRate(place: Pick<BenchPlace, 'read'>): Promise<number> {
  const begun = performance.now();
  let seen = 0;
  for await (const page of place.read()) seen += page.length;
  return rate(seen, performance.now() - begun);
}

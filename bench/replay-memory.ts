import { argv, memoryUsage, stdout } from 'node:process';
import { memory } from '../adapters/memory/index.ts';
import { systemClock } from '../src/core/clock.ts';
import { KeySpec } from '../src/core/record-key.ts';
import { DEFAULT_SETTINGS } from '../src/core/settings.ts';
import { makeStamp } from '../src/core/stamp.ts';
import {
  type Entry,
  identityCodec,
  type Partition,
  type ScanOptions,
  type ScanPage,
  type Store,
} from '../src/core/store.ts';
import { replay } from '../src/replay/replay.ts';
import { newShares } from '../src/replay/replay-share.ts';
import { Census } from '../verify/census.ts';
import { NO_RULES } from '../verify/compare.ts';
import { recordOf } from './replay-places.ts';

const KEYS = new KeySpec(['user_key', 'id'], ['user_key']);

function entryOf(n: number): Entry {
  const value = { ...recordOf(n) };
  const key = { user_key: value.user_key, id: value.id };
  return { id: KEYS.id(key), key, stamp: makeStamp(1_700_000_000_000, n % 65_536, 1), value };
}

/** A memory store of which a part is another's. */
async function storeWith(side: 'old' | 'new', part: Partial<Store>): Promise<Store> {
  const store = await memory().create({
    migration: 'bench',
    side,
    keys: KEYS,
    codec: identityCodec,
    clock: systemClock,
  });
  return new Proxy(store, {
    get(target, name) {
      const own: unknown = Reflect.get(part, name);
      const member: unknown = own ?? Reflect.get(target, name, target);
      return own === undefined && typeof member === 'function' ? member.bind(target) : member;
    },
  });
}

/** As many records as one likes, which take no room: they are made as they are read. */
const endless = (records: number): Promise<Store> =>
  storeWith('old', {
    async *scan(_: Partition, { cursor, pageSize }: ScanOptions): AsyncGenerator<ScanPage> {
      for (let at = Number(cursor ?? 0); at < records; at += pageSize) {
        const size = Math.min(pageSize, records - at);
        yield { entries: Array.from({ length: size }, (__, i) => entryOf(at + i)), cursor: String(at + size) };
      }
    },
  });

/** Takes everything a little later, and keeps nothing. */
const forgetful = (): Promise<Store> =>
  storeWith('new', {
    getMany: async (keys) => keys.map(() => undefined),
    async putManyIfNewer(entries) {
      await new Promise((resolve) => setTimeout(resolve, 2));
      return entries.map(() => ({ kind: 'applied', previous: 'absent' }));
    },
  });

/** Backfills so many records within one process, census included, and prints what memory it took at the most, MB. */
const records = Number(argv[2] ?? 2_000_000);
const stores = { old: await endless(records), new: await forgetful() };
const census = new Census({ stores, keys: KEYS, rules: NO_RULES, clock: systemClock });
const shares = newShares([{ id: 'all' }]);
let most = 0;
const look = setInterval(() => {
  most = Math.max(most, memoryUsage.rss());
}, 20);
await replay({
  source: stores.old,
  target: stores.new,
  shares,
  includes: null,
  journal: { checkpoint: async () => ({ yours: true, settings: DEFAULT_SETTINGS }) },
  settings: DEFAULT_SETTINGS,
  clock: systemClock,
  random: Math.random,
  whole: true,
  onRead: (entry) => census.add(entry),
  onRejected: async () => {},
});
clearInterval(look);
const applied = shares.reduce((sum, share) => sum + share.applied, 0);
if (applied !== records || census.sampled !== records) throw new Error(`${applied} of ${records} records arrived`);
stdout.write(`${Math.round(most / 1_048_576)}\n`);

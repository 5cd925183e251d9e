import { systemClock } from '../../src/core/clock.ts';
import { KeySpec } from '../../src/core/record-key.ts';
import { identityCodec, type Store } from '../../src/core/store.ts';
import { verifyStores } from '../../verify/full-scan.ts';
import { NO_MONGODB, NO_POSTGRES } from '../fleet.ts';
import { atLeast, type Line, type NotMeasured, type Result } from '../line.ts';
import { byTurns, type Contender, pairingOf } from '../paired.ts';
import { type BenchPlace, mongodbBench, postgresBench, sqliteBench } from '../replay-places.ts';

const RECORDS = 100_000;
const MOST_ROUNDS = 7;
const KEYS = new KeySpec(['user_key', 'id'], ['user_key']);
const AT_LEAST = 0.7;
const KEYS_A_SECOND = 80_000;

interface Pair {
  readonly from: BenchPlace;
  readonly to: BenchPlace;
  /** How databases may say what is equal, so that it is not read; null where they may not. */
  readonly unread: string | null;
}

async function* pairs(): AsyncIterable<Pair | NotMeasured> {
  for (const unread of ['by SQLite itself', null]) yield { from: sqliteBench(), to: sqliteBench(), unread };
  const { CHANGEOVER_TEST_POSTGRES_URL: postgres, CHANGEOVER_TEST_MONGODB_URL: mongodb } = process.env;
  if (postgres === undefined) {
    yield { line: 'verify, PostgreSQL and PostgreSQL', because: NO_POSTGRES };
    yield { line: 'verify, PostgreSQL and MongoDB', because: NO_POSTGRES };
    return;
  }
  for (const unread of ['by digests of the server', null]) {
    yield { from: await postgresBench(postgres), to: await postgresBench(postgres), unread };
  }
  if (mongodb === undefined) {
    yield { line: 'verify, PostgreSQL and MongoDB', because: NO_MONGODB };
    return;
  }
  yield { from: await postgresBench(postgres), to: await mongodbBench(mongodb), unread: null };
}

async function open({ store }: BenchPlace, side: 'old' | 'new'): Promise<Store> {
  const opened = await store.create({ migration: 'bench', side, keys: KEYS, codec: identityCodec, clock: systemClock });
  await opened.open();
  await opened.prepare();
  return opened;
}

const rate = (records: number, ms: number): number => (records * 1_000) / ms;

/** Records of both stores together, a second: each was read, decoded, hashed and compared, or found equal by the databases. */
async function verify(old: Store, fresh: Store, records: number, byDigests: boolean): Promise<number> {
  const begun = performance.now();
  const { verdict, counts, scanned } = await verifyStores({
    migration: 'bench',
    old,
    new: fresh,
    keys: KEYS,
    authority: () => 'old',
    includes: null,
    rules: {},
    clock: systemClock,
    revision: 1,
    mappingHash: 'bench',
    ttlMs: 60_000,
    dirty: { ranges: 0, rejected: 0 },
    byDigests,
  });
  const ms = performance.now() - begun;
  if (verdict !== 'consistent' || counts.equal !== records)
    throw new Error(`${verdict}: ${counts.equal} of ${records}`);
  if (byDigests !== scanned.byDigests > 0) throw new Error(`${scanned.byDigests} were found equal by the databases`);
  return rate(records * 2, ms);
}

async function read(place: BenchPlace, records: number): Promise<number> {
  const begun = performance.now();
  let seen = 0;
  for await (const page of place.read()) seen += page.length;
  if (seen !== records) throw new Error(`${seen} of ${records} records were read`);
  return rate(seen, performance.now() - begun);
}

/** A verification of two equal stores beside a script that only reads the slower one. */
export const verifyLine: Line = {
  name: 'verify',
  async *measure({ rounds, scale }) {
    const records = Math.ceil(RECORDS * scale);
    for await (const pair of pairs()) {
      if ('because' in pair) {
        yield pair;
        continue;
      }
      const { from, to, unread } = pair;
      const [old, fresh] = [await open(from, 'old'), await open(to, 'new')];
      try {
        await from.seed(records);
        await to.seed(records);
        const ours: Contender = { name: 'a verification', run: () => verify(old, fresh, records, unread !== null) };
        const raw: Contender = {
          name: 'reading the slower side',
          run: async () => Math.min(await read(from, records), await read(to, records)),
        };
        const figures = (await byTurns([ours, raw], Math.min(rounds, MOST_ROUNDS))) as [number, number][];
        const pairing = pairingOf(figures);
        yield {
          line: `verify, ${from.name} and ${to.name}${unread === null ? '' : `, ${unread}`}`,
          compared: `${records} equal records of 400 bytes a side${unread === null ? '' : ', which the verification need not read'}: records of both sides together a second, beside a script that reads the slower side by its driver and does nothing else`,
          unit: 'records/s',
          pairing,
          target: atLeast(pairing.ratio.median, AT_LEAST, `at least ${AT_LEAST} of the read`),
        } satisfies Result;
        const once = pairingOf(figures.map(([both, one]) => [both / 2, one]));
        yield {
          line: `the same, ${from.name} and ${to.name}${unread === null ? '' : `, ${unread}`}, a record of both sides counted once`,
          compared: 'the same figures: keys that were verified a second, beside records that the script read',
          unit: 'records/s',
          pairing: once,
          target: from.name === to.name ? null : atLeast(once.a.median, KEYS_A_SECOND, 'above 80,000 records/s'),
        } satisfies Result;
      } finally {
        await old.close();
        await fresh.close();
        await from.drop();
        await to.drop();
      }
    }
  },
};

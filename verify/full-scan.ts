import type { Clock, Random } from '../src/core/clock.ts';
import { Interrupted, InvalidArgument } from '../src/core/errors.ts';
import { PageSize } from '../src/core/page-size.ts';
import type { KeySpec } from '../src/core/record-key.ts';
import type { Side } from '../src/core/stage.ts';
import type { Entry, KeyRef, Partition, Store } from '../src/core/store.ts';
import type { Key } from '../src/core/value.ts';
import { type CompareRules, validateRules } from './compare.ts';
import type { DivergenceCause } from './divergence.ts';
import { readAgain, settleAll } from './in-parallel.ts';
import { joinSpills } from './join.ts';
import { Planting } from './planting.ts';
import { joinPrints, Prints } from './prints.ts';
import { Recheck, type Settled } from './recheck.ts';
import { digestSeed, RecordDigests } from './record-digest.ts';
import { adoptChunk, inSample, type Sample, type ScanShare, sharesOf } from './scan-share.ts';
import { scanPartition, scanStore, takeEntries } from './scan-store.ts';
import { compareByDigests, type DigestJob, haveDigests } from './server-digests.ts';
import { Spill } from './spill.ts';
import { compareAsPair } from './store-pair.ts';
import { Tally, type VerifyProgress } from './tally.ts';
import { TemporaryDirectory } from './temporary-directory.ts';
import type { VerifyReport } from './verify-report.ts';

/** What {@link verifyStores} needs to know. Required where a wrong guess would make the verdict wrong. */
export interface VerifyOptions {
  readonly migration: string;
  readonly old: Store;
  readonly new: Store;
  readonly keys: KeySpec;
  /** Which store leads a unit under the revision that is verified. */
  readonly authority: (unit: string) => 'old' | 'new';
  /** Whether a unit is verified; null is all of them. */
  readonly includes: ((unit: string) => boolean) | null;
  /** Only this unit, by its fields: it is listed, and nothing else read, where a store can list. @default all */
  readonly unit?: Key | null;
  /** Only this share of the units, others in every run, the same in both stores: above 0, at most 1. @default 1 */
  readonly sample?: number;
  /** Plants known divergences in both stores, and is inconclusive if it does not find each of them. @default false */
  readonly prove?: boolean;
  readonly rules: CompareRules;
  readonly clock: Clock;
  readonly revision: number;
  readonly mappingHash: string;
  /** How long the verdict holds. */
  readonly ttlMs: number;
  /** What the control plane still has to replay in the verified positions. */
  readonly dirty: { readonly ranges: number; readonly rejected: number };
  /** Positions that were asked for and left out, as words for the report; any makes the verdict inconclusive. */
  readonly skipped?: readonly string[];
  /** What is known about a key that turned out divergent. */
  readonly knownDirt?: ((unit: string, id: string) => DivergenceCause | undefined) | undefined;
  /** Whether the store that follows is known to be complete where a unit stands. */
  readonly covered?: ((unit: string) => boolean) | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: VerifyProgress) => void) | undefined;
  /** Shares of a store that are scanned at once, and batches of point reads in flight. @default 4 */
  readonly concurrency?: number;
  /** Into how many shares each store is split. @default concurrency */
  readonly partitions?: number;
  /** Entries a page of a scan; with `concurrency` it bounds the records that are held decoded. @default 1000 */
  readonly pageSize?: number;
  /** What the scan and the comparison may keep in memory, both sides together. @default 64 MiB */
  readonly memoryBudgetBytes?: number;
  /** Where the rest goes. @default the system's temporary directory */
  readonly spillDirectory?: string;
  /** The waits between the looks at a key that differs. @default [100, 400, 1500, 3000] */
  readonly recheckMs?: readonly number[];
  /** A difference younger than this may be a mirror write on its way. @default the sum of `recheckMs` */
  readonly youngMs?: number;
  /** A follower that is behind for longer lost its mirror write. @default 60 000 */
  readonly lostAfterMs?: number;
  /** How many divergences are listed; all are counted. @default 100 */
  readonly maxDivergences?: number;
  /** @default Math.random */
  readonly random?: Random;
  /** Has others scan too. One unit is read here alone. @default null */
  readonly share?: ScanShare | null;
  /** Has the servers compare what they can, where all is verified: what they hold equally is not read. @default true */
  readonly byDigests?: boolean;
}

export const DEFAULT_RECHECK_MS: readonly number[] = Object.freeze([100, 400, 1_500, 3_000]);
const DEFAULT_BUDGET = 64 * 1024 * 1024;

/**
 * Proves that two stores hold the same records, or says where they do not: one scan of each store, but for what their
 * servers say is equal; digests spilled by hash partition, unequal partitions joined, and every key that differs read
 * again from both stores until it is plain whether it is wrong or was on its way. Memory is bounded whatever the stores
 * hold.
 *
 * @throws Interrupted when `signal` aborts. @throws StoreFault when a store stays unreachable.
 * @throws InvalidConfiguration for compare rules that cannot be followed.
 */
export async function verifyStores(options: VerifyOptions): Promise<VerifyReport> {
  validateRules(options.rules);
  const settings = resolve(options);
  const own = new AbortController();
  const signal = options.signal === undefined ? own.signal : AbortSignal.any([options.signal, own.signal]);
  const directory = new TemporaryDirectory(options.spillDirectory);
  try {
    return await run({ ...settings, signal }, own, directory);
  } catch (error) {
    if (options.signal?.aborted) {
      throw new Interrupted('the verification was interrupted', {
        remedy: 'run it again: a verification starts from the beginning',
        cause: options.signal.reason,
      });
    }
    throw error;
  } finally {
    await directory.close();
  }
}

type Resolved = Required<Omit<VerifyOptions, 'signal' | 'onProgress' | 'spillDirectory' | 'knownDirt' | 'covered'>> &
  Pick<VerifyOptions, 'onProgress' | 'knownDirt' | 'covered'>;

function resolve(options: VerifyOptions): Resolved {
  const concurrency = options.concurrency ?? 4;
  const recheckMs = options.recheckMs ?? DEFAULT_RECHECK_MS;
  const resolved: Resolved = {
    ...options,
    unit: options.unit ?? null,
    sample: options.sample ?? 1,
    prove: options.prove ?? false,
    skipped: options.skipped ?? [],
    concurrency,
    partitions: options.partitions ?? concurrency,
    pageSize: options.pageSize ?? 1_000,
    memoryBudgetBytes: options.memoryBudgetBytes ?? DEFAULT_BUDGET,
    recheckMs,
    youngMs: options.youngMs ?? recheckMs.reduce((sum, ms) => sum + ms, 0),
    lostAfterMs: options.lostAfterMs ?? 60_000,
    maxDivergences: options.maxDivergences ?? 100,
    random: options.random ?? Math.random,
    share: options.share ?? null,
    byDigests: options.byDigests ?? true,
  };
  for (const name of ['concurrency', 'partitions', 'pageSize', 'memoryBudgetBytes'] as const) {
    if (!Number.isInteger(resolved[name]) || resolved[name] < 1) {
      throw new InvalidArgument(`${name} is ${resolved[name]}`, { expected: 'a whole number of at least 1' });
    }
  }
  if (!(resolved.sample > 0 && resolved.sample <= 1)) {
    throw new InvalidArgument(`the sample is ${resolved.sample}`, { expected: 'a share above 0 and at most 1' });
  }
  for (const ms of [...recheckMs, resolved.youngMs, resolved.lostAfterMs, resolved.ttlMs, resolved.maxDivergences]) {
    if (!Number.isFinite(ms) || ms < 0) {
      throw new InvalidArgument(`a time or count is ${ms}`, { expected: 'a number of 0 or more' });
    }
  }
  return resolved;
}

/** Which units are verified: the positions, one unit, a sample; null is all. */
function includesOf({ keys, includes, unit }: Resolved, sample: Sample | null): ((unit: string) => boolean) | null {
  const conditions: ((name: string) => boolean)[] = includes === null ? [] : [includes];
  if (unit !== null) {
    const only = keys.unit(unit);
    conditions.push((name) => name === only);
  }
  if (sample !== null) conditions.push((name) => inSample(name, sample));
  const [first, ...rest] = conditions;
  if (first === undefined) return null;
  return rest.length === 0 ? first : (name) => conditions.every((condition) => condition(name));
}

/** Enough that a few differences leave most partitions unread, and that one fits into its share of memory. */
function hashPartitions(estimates: readonly (number | null)[], budgetBytes: number): number {
  const known = estimates.filter((estimate) => estimate !== null);
  if (known.length === 0) return 1_024;
  const records = Math.max(...known);
  const forMemory = (records * 2 * 300) / (budgetBytes / 4);
  return Math.min(4_096, Math.max(16, Math.ceil(records / 500), Math.ceil(forMemory)));
}

async function run(
  settings: Resolved & { readonly signal: AbortSignal },
  own: AbortController,
  directory: TemporaryDirectory,
): Promise<VerifyReport> {
  settings.signal.throwIfAborted();
  const sample = settings.sample === 1 ? null : { share: settings.sample, salt: `${settings.random()} ` };
  const includes = includesOf(settings, sample);
  const planting = new Planting({ ...settings, includes });
  const report = async (): Promise<VerifyReport> => {
    if (settings.prove) await planting.plant();
    return compare({ ...settings, includes }, sample, own, directory, planting);
  };
  const drawn = await report().catch(async (error: unknown) => {
    await planting.remove();
    throw error;
  });
  if (!settings.prove) return drawn;
  const left = await planting.remove();
  if (left.length === 0) return drawn;
  const verdict = drawn.verdict === 'consistent' ? 'inconclusive' : drawn.verdict;
  return { ...drawn, verdict, reasons: [...drawn.reasons, ...left] };
}

async function compare(
  settings: Resolved & { readonly signal: AbortSignal },
  sample: Sample | null,
  own: AbortController,
  directory: TemporaryDirectory,
  planting: Planting,
): Promise<VerifyReport> {
  const { clock, signal, memoryBudgetBytes } = settings;
  const startedAt = clock.now();
  const estimates = [settings.old, settings.new].map((store) => readAgain(settings, () => store.estimate()));
  await settleAll(estimates);
  const [oldEstimate = null, newEstimate = null] = await Promise.all(estimates);
  const count = hashPartitions([oldEstimate, newEstimate], memoryBudgetBytes);
  // A quarter of the budget a side: its arena, and the copy of it that is sorted for writing.
  const spills = {
    old: new Spill(count, memoryBudgetBytes / 8, directory),
    new: new Spill(count, memoryBudgetBytes / 8, directory),
  };
  const seed = digestSeed(settings.random);
  const digests = new RecordDigests(settings.rules, seed);
  const tally = new Tally(settings, { old: oldEstimate, new: newEstimate }, count);
  const onSettled = (settled: Settled): void => {
    if (!planting.settled(settled.id, settled.word.word)) tally.settled(settled);
  };
  const { knownDirt, covered } = settings;
  const recheck = new Recheck({ ...settings, digests, knownDirt, covered, onSettled });

  // The first failure stops both scans; the failures that follow from the stop say nothing.
  let failure: { readonly error: unknown } | null = null;
  const fail = (error: unknown): void => {
    failure ??= { error };
    own.abort();
  };
  const leftover = (side: Side, ref: KeyRef): void => {
    tally.leftover();
    if (settings.prove) planting.leftover(side, ref);
  };
  const pages = { old: new PageSize(), new: new PageSize() };
  const scanOf = (side: Side) => ({
    ...settings,
    pages: pages[side],
    digests,
    side,
    store: settings[side],
    sink: spills[side],
    onPage: (records: number): void => tally.page(side, records),
    planted: {
      has: (id: string): boolean => planting.has(id),
      leftover: (entry: Entry): void => leftover(side, entry),
    },
  });
  const split = async (side: Side): Promise<readonly Partition[]> => {
    const shares = sharesOf([oldEstimate, newEstimate], settings.partitions);
    return readAgain(settings, () => settings[side].partitions(shares));
  };
  /** The shares that are still to be scanned; null is all. */
  const byDigests = async (): Promise<readonly Partition[] | null> => {
    if (!settings.byDigests || settings.includes !== null) return null;
    const job: DigestJob = {
      ...settings,
      estimated: Math.max(oldEstimate ?? 0, newEstimate ?? 0),
      onEqual: (records) => tally.equalByDigest(records),
      take: (entries) => {
        const prints = { old: new Prints(), new: new Prints() };
        for (const side of ['old', 'new'] as const) {
          takeEntries({ ...scanOf(side), sink: prints[side] }, entries[side]);
        }
        const { equal, candidates } = joinPrints(prints.old, prints.new);
        tally.equal(equal);
        for (const candidate of candidates) recheck.add(candidate, clock.monotonic());
        return recheck.relieve();
      },
    };
    return (await compareAsPair(job)) ?? (haveDigests(job.old, job.new) ? compareByDigests(job) : null);
  };
  const share = async (only: readonly Partition[] | null): Promise<boolean> => {
    if (settings.share === null || settings.unit !== null || only?.length === 0) return false;
    const { pageSize } = settings;
    const both = { old: only ?? (await split('old')), new: only ?? (await split('new')) };
    return settings.share({
      ...settings,
      plan: { seed, hashPartitions: count, pageSize, sample, planted: planting.ids },
      partitions: both,
      scanHere: (side, partition, from, stop) => scanPartition({ ...scanOf(side), signal: stop }, partition, from),
      adopt: async (side, chunk) => {
        for (const ref of chunk.leftovers) leftover(side, ref);
        await adoptChunk(spills[side], chunk);
        tally.page(side, chunk.records);
      },
    });
  };
  try {
    const only = await byDigests();
    if (!(await share(only))) {
      await settleAll([scanStore({ ...scanOf('old'), only, fail }), scanStore({ ...scanOf('new'), only, fail })]);
    }
    for (const spill of [spills.old, spills.new]) await spill.seal();
  } catch (error) {
    throw (failure as { readonly error: unknown } | null)?.error ?? error;
  }

  const scannedAt = clock.monotonic();
  await joinSpills(
    {
      directory,
      budgetBytes: memoryBudgetBytes / 2,
      signal,
      onEqual: (records) => tally.equal(records),
      onCandidate: (candidate) => recheck.add(candidate, scannedAt),
      onJoin: (kind) => tally.joined(kind),
      onPartition: (done) => tally.compared(done, recheck.candidates),
      relieve: () => recheck.relieve(),
    },
    spills.old,
    spills.new,
  );
  await recheck.finish();
  const keptBytes = { old: spills.old.totalBytes, new: spills.new.totalBytes };
  const spilledBytes = spills.old.fileBytes + spills.new.fileBytes;
  const proof = settings.prove ? planting.outcome() : null;
  const candidates = recheck.candidates - (proof?.planted ?? 0);
  return tally.report({ startedAt, keptBytes, spilledBytes, candidates, proof });
}

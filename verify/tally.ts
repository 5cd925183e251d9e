import type { Clock } from '../src/core/clock.ts';
import { weighValue } from '../src/core/page-size.ts';
import { compareText, type KeySpec } from '../src/core/record-key.ts';
import type { Key } from '../src/core/value.ts';
import { type FieldDifference, maskDifference } from './compare.ts';
import type { DivergenceKind } from './divergence.ts';
import { keyFromId } from './key-text.ts';
import type { Settled } from './recheck.ts';
import { BY_PROOF, type Divergence, type Proof, type VerifyReport, WAIT_FOR_REPAIR } from './verify-report.ts';

/** About what the values of listed divergences may take in memory. */
const MOST_LISTED_BYTES = 32 * 1024 * 1024;

/** How far a verification is; cheap to take, called after every page and every compared partition. */
export interface VerifyProgress {
  readonly phase: 'scan' | 'compare';
  readonly scanned: { readonly old: number; readonly new: number };
  /** An estimate of all records of each store, where it has one. */
  readonly estimated: { readonly old: number | null; readonly new: number | null };
  /** Hash partitions compared, of how many. */
  readonly compared: number;
  readonly partitions: number;
  /** Keys that differed at first sight and are read again. */
  readonly candidates: number;
}

export interface TallyContext {
  readonly migration: string;
  readonly keys: KeySpec;
  readonly clock: Pick<Clock, 'now'>;
  readonly revision: number;
  readonly mappingHash: string;
  readonly ttlMs: number;
  readonly dirty: { readonly ranges: number; readonly rejected: number };
  readonly skipped: readonly string[];
  readonly unit: Key | null;
  readonly sample: number;
  readonly prove: boolean;
  readonly maxDivergences: number;
  readonly onProgress?: ((progress: VerifyProgress) => void) | undefined;
}

/** Counts what a verification finds and draws up its report. */
export class Tally {
  readonly #context: TallyContext;
  readonly #estimated: VerifyProgress['estimated'];
  readonly #partitions: number;
  readonly #scanned = { old: 0, new: 0 };
  readonly #counts = { old: 0, new: 0, equal: 0, missing: 0, extra: 0, different: 0, stale: 0, pending: 0 };
  readonly #listed: { readonly id: string; readonly divergence: Divergence }[] = [];
  #listedBytes = 0;
  #digested = 0;
  #joined = 0;
  #split = 0;
  #compared = 0;
  #leftovers = 0;

  constructor(context: TallyContext, estimated: VerifyProgress['estimated'], partitions: number) {
    this.#context = context;
    this.#estimated = estimated;
    this.#partitions = partitions;
  }

  page(side: 'old' | 'new', records: number): void {
    this.#scanned[side] += records;
    this.#progress('scan', 0);
  }

  /** Records that both sides hold equally. */
  equal(records: number): void {
    this.#counts.old += records;
    this.#counts.new += records;
    this.#counts.equal += records;
  }

  /** Records that the servers of both sides say they hold equally. */
  equalByDigest(records: number): void {
    this.#digested += records;
    this.equal(records);
    for (const side of ['old', 'new'] as const) this.page(side, records);
  }

  /** A planted record of another run was met. */
  leftover(): void {
    this.#leftovers += 1;
  }

  joined(kind: 'joined' | 'split'): void {
    if (kind === 'joined') this.#joined += 1;
    else this.#split += 1;
  }

  /** A hash partition of the first level is done. */
  compared(partitions: number, candidates: number): void {
    this.#compared = partitions;
    this.#progress('compare', candidates);
  }

  settled({ id, old, new: fresh, word }: Settled): void {
    const counts = this.#counts;
    const oldLives = old !== undefined && old.value !== null;
    const newLives = fresh !== undefined && fresh.value !== null;
    if (oldLives) counts.old += 1;
    if (newLives) counts.new += 1;
    if (word.word === 'equal') {
      if (oldLives && newLives) counts.equal += 1;
      return;
    }
    if (word.word === 'pending' || word.word === 'ahead') {
      counts.pending += 1;
      return;
    }
    counts[word.word] += 1;
    if (this.#listed.length >= this.#context.maxDivergences) return;
    this.#listed.push({
      id,
      divergence: {
        key: keyFromId(id, this.#context.keys.fields),
        kind: word.kind,
        cause: word.cause,
        fields: this.#kept(word.fields),
        ...(word.ageMs === null ? {} : { ageMs: word.ageMs }),
        stamps: { old: old?.stamp ?? null, new: fresh?.stamp ?? null },
      },
    });
  }

  /** With their values while there is room for them. */
  #kept(fields: readonly FieldDifference[]): readonly FieldDifference[] {
    if (this.#listedBytes >= MOST_LISTED_BYTES) return fields.map(maskDifference);
    for (const { old, new: fresh } of fields) this.#listedBytes += weighValue(old) + weighValue(fresh);
    return fields;
  }

  report(run: {
    readonly startedAt: number;
    /** What was kept of each side's records, in memory and in files. */
    readonly keptBytes: { readonly old: number; readonly new: number };
    readonly spilledBytes: number;
    readonly candidates: number;
    readonly proof: Proof | null;
  }): VerifyReport {
    const { migration, revision, mappingHash, ttlMs, clock, keys, unit, sample } = this.#context;
    const { proof } = run;
    const finishedAt = clock.now();
    const kinds: readonly DivergenceKind[] = ['missing', 'extra', 'different', 'stale'];
    const divergent = kinds.reduce((sum, kind) => sum + this.#counts[kind], 0);
    const reasons = this.#reasons(proof, finishedAt - run.startedAt);
    const blind = proof !== null && proof.missed.length > 0;
    return {
      migration,
      // One that misses what it was shown proves nothing, not even by what it found.
      verdict: divergent > 0 && !blind ? 'divergent' : reasons.length > 0 ? 'inconclusive' : 'consistent',
      counts: { ...this.#counts },
      divergences: this.#listed.sort((a, b) => compareText(a.id, b.id)).map(({ divergence }) => divergence),
      truncated: divergent > this.#listed.length,
      reasons,
      ...(unit === null ? {} : { unit: keys.unit(unit) }),
      ...(sample === 1 ? {} : { sample }),
      ...(proof === null ? {} : { proof }),
      revision,
      mappingHash,
      startedAt: new Date(run.startedAt).toISOString(),
      finishedAt: new Date(finishedAt).toISOString(),
      expiresAt: new Date(finishedAt + ttlMs).toISOString(),
      scanned: {
        old: { records: this.#scanned.old, bytes: run.keptBytes.old },
        new: { records: this.#scanned.new, bytes: run.keptBytes.new },
        byDigests: this.#digested,
        spilledBytes: run.spilledBytes,
        hashPartitions: this.#partitions,
        joinedPartitions: this.#joined,
        splitPartitions: this.#split,
        candidates: run.candidates,
      },
    };
  }

  #reasons(proof: Proof | null, tookMs: number): readonly string[] {
    const { dirty, skipped, prove, sample, unit, ttlMs } = this.#context;
    const reasons: string[] = [];
    if (proof !== null && proof.missed.length > 0) {
      reasons.push(
        `invalid: ${proof.missed.length} of ${proof.planted} planted records missed (${proof.missed.join(', ')})`,
      );
    }
    if (proof?.refused != null) reasons.push(`not proven: a record could not be planted: ${proof.refused}`);
    if (this.#leftovers > 0 && !prove) {
      reasons.push(`${this.#leftovers} planted record(s) of a proof that was ended are left; ${BY_PROOF}`);
    }
    if (tookMs > ttlMs) reasons.push('it took longer than a verdict holds');
    if (dirty.ranges > 0) reasons.push(`${dirty.ranges} dirty range(s) ${WAIT_FOR_REPAIR}`);
    if (dirty.rejected > 0)
      reasons.push(
        `${dirty.rejected} key(s) were rejected by the follower and ${WAIT_FOR_REPAIR}: mend the records or the constraint first`,
      );
    if (this.#counts.old + this.#counts.new === 0) {
      if (unit !== null) reasons.push('neither store has a record of the unit');
      else if (sample !== 1) reasons.push('the sample held no record: take a larger one');
    }
    for (const what of skipped) reasons.push(`not verified: ${what}`);
    if (this.#counts.pending > 0)
      reasons.push(
        `${this.#counts.pending} record(s) kept changing while they were compared: verify again, when less is written or less at once (--positions)`,
      );
    return reasons;
  }

  #progress(phase: VerifyProgress['phase'], candidates: number): void {
    this.#context.onProgress?.({
      phase,
      scanned: { ...this.#scanned },
      estimated: this.#estimated,
      compared: this.#compared,
      partitions: this.#partitions,
      candidates,
    });
  }
}

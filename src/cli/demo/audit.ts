import type { ReadRecord, WriteRecord } from './journal.ts';

/*
 * The audit of the demonstration. It shares nothing with changeover: from what callers wrote down and from what a store
 * holds in the end it decides whether any order of the writes explains both.
 *
 * A key is a register. Write a comes before write b for certain when a's caller had its answer before b's caller began;
 * all else may have happened in either order. So a final value is explained if it is that of a write which may have been
 * the last: no acknowledged write began after its end. A write whose answer nobody saw may take effect at any later
 * time, or never.
 */

/** What a store holds under a key. */
export interface FinalRecord {
  readonly write: string;
  readonly count: number;
  /** What is wrong with the record's content, if anything. */
  readonly fault: string | null;
}

export type FindingKind =
  /** An acknowledged write has left no trace. */
  | 'lost'
  /** An acknowledged delete has left no trace: the record is there again, or still. */
  | 'resurrected'
  /** An older record stands where an acknowledged write should. */
  | 'stale'
  /** Two acknowledged updates changed the same version, or a counter has missed or doubled increments. */
  | 'lost update'
  /** A record that no write explains, or one of a write that was answered with "nothing written". */
  | 'unexplained'
  /** A record whose content is not what was written. */
  | 'corrupt'
  /** A caller read what was certainly overwritten already. */
  | 'stale read';

export interface Finding {
  readonly kind: FindingKind;
  readonly key: string;
  readonly detail: string;
}

export interface AuditReport {
  readonly findings: readonly Finding[];
  readonly keys: number;
  readonly records: number;
  readonly acknowledged: number;
  /** Writes that may or may not have happened. */
  readonly uncertain: number;
  readonly reads: number;
}

export interface AuditInput {
  readonly writes: readonly WriteRecord[];
  readonly reads: readonly ReadRecord[];
  readonly final: ReadonlyMap<string, FinalRecord>;
}

const LONG_AGO = Number.NEGATIVE_INFINITY;

/** Holds a history against what a store holds after it. */
export function audit({ writes, reads, final }: AuditInput): AuditReport {
  const writesOf = Map.groupBy(writes, ({ key }) => key);
  const readsOf = Map.groupBy(reads, ({ key }) => key);
  const keys = new Set([...writesOf.keys(), ...readsOf.keys(), ...final.keys()]);
  const findings: Finding[] = [];
  for (const key of keys) {
    const register = new Register(writesOf.get(key) ?? []);
    const report = (kind: FindingKind, detail: string): void => {
      findings.push({ kind, key, detail });
    };
    register.auditFinal(final.get(key), report);
    register.auditUpdates(report);
    register.auditReads(readsOf.get(key) ?? [], report);
  }
  return {
    findings,
    keys: keys.size,
    records: final.size,
    acknowledged: writes.filter(({ outcome }) => outcome === 'applied').length,
    uncertain: writes.filter(({ outcome }) => outcome === 'unknown').length,
    reads: reads.length,
  };
}

/**
 * The part of a history that a store has surely seen which was written until some moment between `from` and `to`:
 * later writes are gone, those about that time may or may not be there.
 */
export function historyUntil(writes: readonly WriteRecord[], from: number, to: number): readonly WriteRecord[] {
  return writes
    .filter(({ start }) => start < to)
    .map((write) =>
      write.end <= from || write.outcome === 'failed'
        ? write
        : { ...write, outcome: 'unknown' as const, end: Number.POSITIVE_INFINITY },
    );
}

type Report = (kind: FindingKind, detail: string) => void;

/** All writes of one key. */
class Register {
  /** Writes that happened or may have happened, by name. */
  readonly #possible = new Map<string, WriteRecord>();
  readonly #refused = new Set<string>();
  readonly #acknowledged: readonly WriteRecord[];
  readonly #deletes: readonly WriteRecord[];
  readonly #overwritten: Horizon;
  readonly #present: Horizon;

  constructor(writes: readonly WriteRecord[]) {
    for (const write of writes) {
      if (write.outcome === 'failed') this.#refused.add(write.write);
      else this.#possible.set(write.write, write);
    }
    const possible = [...this.#possible.values()];
    this.#acknowledged = possible.filter(({ outcome }) => outcome === 'applied');
    this.#deletes = possible.filter(({ kind }) => kind === 'delete');
    this.#overwritten = new Horizon(this.#acknowledged);
    this.#present = new Horizon(this.#acknowledged.filter(({ kind }) => kind !== 'delete'));
  }

  auditFinal(final: FinalRecord | undefined, report: Report): void {
    if (final === undefined) {
      const gone = this.#lastAbsence(Number.POSITIVE_INFINITY);
      const lost = this.#acknowledged.filter(({ kind, start }) => kind !== 'delete' && start > gone);
      if (lost.length > 0) report('lost', `there is no record, although ${names(lost)} came after every delete`);
      return;
    }
    if (final.fault !== null) report('corrupt', final.fault);
    const last = this.#explain(final.write, report);
    if (last === undefined) return;
    const later = this.#acknowledged.filter(({ start }) => start > last.end);
    const newest = later.reduce<WriteRecord | null>(
      (max, one) => (max === null || one.start > max.start ? one : max),
      null,
    );
    if (newest?.kind === 'delete') report('resurrected', `${last.write} is back after the delete ${newest.write}`);
    else if (newest !== null) report('stale', `${last.write} stands where ${names(later)} came later`);
    const changed = this.#acknowledged.find(({ from }) => from === last.write);
    if (changed !== undefined && newest === null) {
      report('stale', `${last.write} stands although ${changed.write} has changed it`);
    }
    this.#auditCount(final, report);
  }

  /** Compare-and-set allows one acknowledged successor a version; increments count each once. */
  auditUpdates(report: Report): void {
    const successors = Map.groupBy(
      this.#acknowledged.filter(({ from }) => typeof from === 'string'),
      ({ from }) => from as string,
    );
    for (const [from, updates] of successors) {
      if (updates.length > 1) report('lost update', `${names(updates)} both changed ${from}`);
    }
    const from = this.#acknowledged.filter((write) => write.from !== undefined);
    this.auditReads(
      from.map(({ key, start, end, from }) => ({ key, start, end, write: from ?? null, foreign: false })),
      report,
    );
  }

  auditReads(reads: readonly ReadRecord[], report: Report): void {
    for (const { start, end, write, foreign } of reads) {
      if (foreign) report('corrupt', `a caller read fields that nobody wrote, in ${write}`);
      if (write === null) {
        if (this.#present.before(start) > this.#lastAbsence(end)) report('stale read', 'a caller missed a record');
        continue;
      }
      const seen = this.#explain(write, report);
      if (seen === undefined) continue;
      if (seen.start > end) report('unexplained', `${write} was read before it was written`);
      if (this.#overwritten.before(start) > seen.end) report('stale read', `a caller read ${write} after its time`);
    }
  }

  #auditCount({ count }: FinalRecord, report: Report): void {
    const possible = [...this.#possible.values()];
    if (!possible.every(({ kind }) => kind === 'count')) return;
    const counts = this.#acknowledged.map((write) => write.count ?? 0);
    const least = Math.max(this.#acknowledged.length, ...counts);
    if (count < least || count > possible.length) {
      report('lost update', `the counter stands at ${count}; ${least} to ${possible.length} increments were made`);
    }
    if (new Set(counts).size !== counts.length) report('lost update', 'two increments came to the same number');
  }

  #explain(write: string, report: Report): WriteRecord | undefined {
    const found = this.#possible.get(write);
    if (found !== undefined && found.kind !== 'delete') return found;
    const refused = this.#refused.has(write);
    report('unexplained', refused ? `${write} was answered with "nothing written"` : `nobody wrote ${write}`);
    return undefined;
  }

  /** The end of the latest write before `until` after which there may have been no record. */
  #lastAbsence(until: number): number {
    return this.#deletes.reduce((last, { start, end }) => (start <= until ? Math.max(last, end) : last), LONG_AGO);
  }
}

/** For any moment: the latest beginning among the writes that had ended by then. */
class Horizon {
  readonly #ends: readonly number[];
  readonly #starts: readonly number[];

  constructor(writes: readonly WriteRecord[]) {
    const byEnd = writes.toSorted((a, b) => a.end - b.end);
    this.#ends = byEnd.map(({ end }) => end);
    let latest = LONG_AGO;
    this.#starts = byEnd.map(({ start }) => {
      latest = Math.max(latest, start);
      return latest;
    });
  }

  before(moment: number): number {
    let low = 0;
    let high = this.#ends.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#ends[middle] as number) < moment) low = middle + 1;
      else high = middle;
    }
    return low === 0 ? LONG_AGO : (this.#starts[low - 1] as number);
  }
}

const MOST_NAMES = 3;

function names(writes: readonly WriteRecord[]): string {
  const first = writes.slice(0, MOST_NAMES).map(({ write }) => write);
  return `${first.join(', ')}${writes.length > MOST_NAMES ? ` and ${writes.length - MOST_NAMES} more` : ''}`;
}

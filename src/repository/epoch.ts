import type { Ruleset } from '../core/ruleset.ts';

/** What a write in flight can be told when its epoch ends. */
export interface InFlightWrite {
  /** An emergency holds the write's range: answer the caller and mark the key, whatever the store does (R17). */
  abandon(): void;
  /** The acknowledgement has waited long enough: make the mirror's key dirty instead of waiting for it (R7). */
  markMirror(): void;
  readonly unit: string;
  /** Its neighbours in {@link InFlight}; nobody else's business. */
  before?: InFlightWrite | null | undefined;
  after?: InFlightWrite | null | undefined;
}

/** A set of writes in the order in which they came, as a list that they carry themselves: every write passes through. */
export class InFlight implements Iterable<InFlightWrite> {
  #newest: InFlightWrite | null = null;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Adds a write that is in no list. */
  add(write: InFlightWrite): void {
    const before = this.#newest;
    write.before = before;
    write.after = null;
    if (before !== null) before.after = write;
    this.#newest = write;
    this.#size += 1;
  }

  /** False if it is not, or no longer, in the list. */
  delete(write: InFlightWrite): boolean {
    const { before, after } = write;
    if (before === undefined || after === undefined) return false;
    if (before !== null) before.after = after;
    if (after === null) this.#newest = before;
    else after.before = before;
    write.before = undefined;
    write.after = undefined;
    this.#size -= 1;
    return true;
  }

  clear(): void {
    for (const write of this) this.delete(write);
  }

  /** A picture of the moment: what is told may leave. */
  [Symbol.iterator](): Iterator<InFlightWrite> {
    const all: InFlightWrite[] = [];
    for (let write = this.#newest; write !== null && write !== undefined; write = write.before ?? null) all.push(write);
    return all.reverse()[Symbol.iterator]();
  }
}

/**
 * The reign of one ruleset revision in a process: the operations that began under it and are not settled.
 * A write belongs to it from the moment its lead put is first sent until that has a definite answer and its mirror put
 * has ended or is dirty (R6, R7).
 */
export class Epoch {
  readonly ruleset: Ruleset;
  readonly revision: number;
  readonly writes = new InFlight();
  reads = 0;

  constructor(ruleset: Ruleset) {
    this.ruleset = ruleset;
    this.revision = ruleset.revision;
  }
}

/**
 * The greatest revision of `epochs` (oldest first) that may be acknowledged: no write of an earlier one is in flight,
 * and where a revision drains reads, no read of an earlier one either.
 */
export function acknowledgeable(epochs: readonly Epoch[]): number {
  let revision = 0;
  let readsPending = false;
  for (const epoch of epochs) {
    if (epoch.ruleset.document.drainReads && readsPending) break;
    revision = epoch.revision;
    if (epoch.writes.size > 0) break;
    readsPending ||= epoch.reads > 0;
  }
  return revision;
}

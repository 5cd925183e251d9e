import type { Clock } from '../../src/core/clock.ts';
import type { Stamp } from '../../src/core/stamp.ts';
import type { CasOutcome, Entry, Expected, Finding } from '../../src/core/store.ts';
import { cloneValue, type StoredRecord } from '../../src/core/value.ts';
import { type Operation, refused, unanswered } from './fault.ts';

/** `refuse`: requests fail at once. `hang`: they wait, and are applied in order when the outage ends. */
export type Outage = 'none' | 'refuse' | 'hang';

/** @see MemoryDatabase */
export interface MemoryDatabaseOptions {
  /** The database's own time. @default that of the first store that connects */
  readonly clock?: Clock | undefined;
  /** How far the database's wall clock is ahead of `clock`, in ms. @default 0 */
  readonly skewMs?: number | undefined;
  /**
   * A rule of the schema: why the entry may not stand beside the live ones under other keys, or null. Sees values as
   * they are held (encoded) and must not change them. @default none
   */
  readonly constraint?: ((entry: Entry, others: Iterable<Entry>) => string | null) | undefined;
  /** What the database cannot represent, whatever else it holds; null: it can. @default everything can be held */
  readonly limit?: ((entry: Entry) => string | null) | undefined;
  /** What an inspection finds beside {@link MemoryDatabaseOptions.constraint}. @default nothing */
  readonly findings?: readonly Finding[] | undefined;
  /** Stamped writing works from the beginning, without `prepare`. @default false */
  readonly prepared?: boolean | undefined;
}

/** A write as it reaches the database: values encoded, nothing shared with the caller. */
export interface Write {
  readonly entry: Entry;
  /** Null: put if newer, or plainly. */
  readonly expected: Expected | null;
  /** Whether the stored (encoded) value is the one that `expected` names. */
  readonly matches: (stored: StoredRecord | null) => boolean;
  /** Null: the database looks at no deadline. */
  readonly deadline: number | null;
  /** Whatever is there is replaced (`load`). */
  readonly blind?: boolean;
}

/** A share of all ids: those whose hash modulo `count` is `index`. */
export interface Share {
  readonly index: number;
  readonly count: number;
}

/** FNV-1a: which share an id belongs to must not depend on the process that asks. */
function hashOf(id: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < id.length; i += 1) hash = Math.imul(hash ^ id.charCodeAt(i), 0x01000193) >>> 0;
  return hash;
}

const copyOf = (entry: Entry): Entry =>
  Object.freeze({ ...entry, ...cloneValue({ key: entry.key, value: entry.value }) });

const CONSTRAINT: Finding = Object.freeze({
  name: 'check:constraint',
  kind: 'check',
  level: 'risk',
  message: 'a constraint may refuse an entry because of the others that there are',
  remedy: 'make the database without `constraint`',
});

/**
 * The server behind memory stores: one data set, any number of clients. Every method that a request runs is one
 * synchronous, hence atomic, step.
 *
 * @example
 * const database = new MemoryDatabase({ skewMs: 250 });
 * const definition = memory({ database });
 * database.outage = 'hang';          // from here on requests wait
 * database.outage = 'none';          // and are applied, if their deadlines have not passed
 */
export class MemoryDatabase {
  /** How far the wall clock is ahead of the injected one, in ms; may be changed at any time. */
  skewMs: number;
  /** Whether stamped writes are possible. */
  prepared: boolean;
  readonly #constraint: NonNullable<MemoryDatabaseOptions['constraint']>;
  readonly #limit: NonNullable<MemoryDatabaseOptions['limit']>;
  readonly #findings: readonly Finding[];
  /** Entries here are never changed, only replaced. */
  readonly #rows = new Map<string, Entry>();
  readonly #calls = new Map<Operation, number>();
  #clock: Clock | undefined;
  #order: string[] | undefined;
  #outage: Outage = 'none';
  #waiting: { readonly go: () => void; readonly drop: (reason: Error) => void }[] = [];

  constructor(options: MemoryDatabaseOptions = {}) {
    this.#clock = options.clock;
    this.skewMs = options.skewMs ?? 0;
    this.prepared = options.prepared ?? false;
    this.#constraint = options.constraint ?? (() => null);
    this.#limit = options.limit ?? (() => null);
    this.#findings = [...(options.constraint === undefined ? [] : [CONSTRAINT]), ...(options.findings ?? [])];
  }

  get outage(): Outage {
    return this.#outage;
  }

  /** Requests that wait are let in by `none`, and lost (outcome unknown) by `refuse`. */
  set outage(outage: Outage) {
    this.#outage = outage;
    if (outage === 'hang') return;
    for (const { go, drop } of this.#waiting.splice(0)) {
      if (outage === 'none') go();
      else drop(unanswered());
    }
  }

  /** How many requests of a kind reached the database. */
  calls(op: Operation): number {
    return this.#calls.get(op) ?? 0;
  }

  /** The database's wall clock. */
  now(): number {
    return (this.#clock?.now() ?? 0) + this.skewMs;
  }

  /** Every entry, tombstones included, in the order of ids; values as they are held (encoded); copies. */
  snapshot(): Entry[] {
    return this.#ids().map((id) => copyOf(this.#rows.get(id) as Entry));
  }

  /** Puts entries there as they are, over what is there: a fixture, or a writer that knows nothing of stamps. */
  load(entries: Iterable<Entry>): void {
    for (const entry of entries) this.#set(copyOf(entry));
  }

  // --- what requests run ------------------------------------------------------------------------

  /** The first clock that connects is the database's, unless it has its own. */
  connect(clock: Clock): void {
    this.#clock ??= clock;
  }

  /** Lets a request in, and counts it; rejects, or waits, in an outage. */
  async admit(op: Operation): Promise<void> {
    if (this.#outage === 'refuse') throw refused();
    if (this.#outage === 'hang') {
      await new Promise<void>((go, drop) => {
        this.#waiting.push({ go, drop });
      });
    }
    this.#calls.set(op, this.calls(op) + 1);
  }

  /** What an inspection finds. */
  findings(): readonly Finding[] {
    return this.#findings;
  }

  /** Why this entry cannot be represented. */
  limit(entry: Entry): string | null {
    return entry.value === null ? null : this.#limit(entry);
  }

  get(id: string): Entry | undefined {
    return this.#rows.get(id);
  }

  write({ entry, expected, matches, deadline, blind = false }: Write): CasOutcome {
    const stored = this.#rows.get(entry.id);
    const live = stored !== undefined && stored.value !== null;
    if (!blind && entry.stamp !== null && stored?.stamp === entry.stamp) return { kind: 'applied', previous: 'same' };
    if (expected?.kind === 'absent' && live) return { kind: 'conflict' };
    if (expected?.kind === 'version') {
      if (stored === undefined || stored.stamp !== expected.stamp || !matches(stored.value))
        return { kind: 'conflict' };
    }
    if (!blind && entry.stamp !== null && (stored?.stamp ?? '') > entry.stamp) {
      return { kind: 'superseded', stamp: stored?.stamp as Stamp };
    }
    if (deadline !== null && this.now() >= deadline) return { kind: 'expired' };
    const tooMuch = this.limit(entry);
    if (tooMuch !== null) return { kind: 'rejected', reason: 'limit', message: tooMuch };
    const broken = entry.value === null ? null : this.#constraint(entry, this.#others(entry.id));
    if (broken !== null) return { kind: 'rejected', reason: 'constraint', message: broken };
    if (entry.stamp === null && entry.value === null) this.#delete(entry.id);
    else this.#set(entry);
    return { kind: 'applied', previous: live ? 'record' : 'absent' };
  }

  /** The next entries of a share, in the order of ids. */
  page(share: Share, after: string | undefined, limit: number): Entry[] {
    const ids = this.#ids();
    const entries: Entry[] = [];
    for (
      let i = after === undefined ? 0 : this.#placeAfter(ids, after);
      i < ids.length && entries.length < limit;
      i += 1
    ) {
      const id = ids[i] as string;
      if (hashOf(id) % share.count === share.index) entries.push(this.#rows.get(id) as Entry);
    }
    return entries;
  }

  /** The live entries. */
  *live(): Generator<Entry> {
    for (const entry of this.#rows.values()) if (entry.value !== null) yield entry;
  }

  /** Deletes up to `limit` entries; says how many there were. */
  removeSome(limit: number): number {
    const ids = [...this.#rows.keys().take(limit)];
    for (const id of ids) this.#delete(id);
    return ids.length;
  }

  /** Forgets the stamps and removes the tombstones of these entries, as far as they are still there. */
  unstamp(ids: Iterable<string>): void {
    for (const id of ids) {
      const row = this.#rows.get(id);
      if (row === undefined) continue;
      if (row.value === null) this.#delete(id);
      else if (row.stamp !== null) this.#set(Object.freeze({ ...row, stamp: null }));
    }
  }

  *#others(id: string): Generator<Entry> {
    for (const entry of this.live()) if (entry.id !== id) yield entry;
  }

  #set(entry: Entry): void {
    if (!this.#rows.has(entry.id)) this.#order = undefined;
    this.#rows.set(entry.id, entry);
  }

  #delete(id: string): void {
    if (this.#rows.delete(id)) this.#order = undefined;
  }

  /** Sorted when asked for, and kept until an id comes or goes: a quiet scan sorts once. */
  #ids(): string[] {
    this.#order ??= [...this.#rows.keys()].sort();
    return this.#order;
  }

  #placeAfter(ids: readonly string[], id: string): number {
    let low = 0;
    let high = ids.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((ids[middle] as string) <= id) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

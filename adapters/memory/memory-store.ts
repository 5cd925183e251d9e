import { equalValues } from '../../src/core/canonical.ts';
import {
  Closed,
  InvalidArgument,
  InvalidRecord,
  NotPrepared,
  NotSupported,
  StoreFault,
} from '../../src/core/errors.ts';
import { compareKeys } from '../../src/core/record-key.ts';
import type { Stamp } from '../../src/core/stamp.ts';
import {
  type Capabilities,
  type CasOutcome,
  decoded,
  type Entry,
  type Expected,
  type Inspection,
  type KeyRef,
  type LoadAnswer,
  type Partition,
  type PrepareReport,
  type PutFault,
  type PutOutcome,
  type Rejection,
  type RoundTrip,
  readable,
  type ScanOptions,
  type ScanPage,
  type StepOptions,
  type Store,
  type StoreContext,
} from '../../src/core/store.ts';
import { cloneValue, type Key, type StoredRecord } from '../../src/core/value.ts';
import type { MemoryDatabase, Share, Write } from './database.ts';
import type { Fault, FaultPlan, Operation } from './fault.ts';
import { Line } from './line.ts';
import { MemoryRecords } from './memory-records.ts';

const STEP = 500;

/** `putIfNewer` and `putPlain` expect nothing, so that their database never answers `conflict`. */
const withoutConflict = (outcome: CasOutcome): PutOutcome => {
  if (outcome.kind === 'conflict') throw new InvalidArgument('a put without an expectation cannot conflict');
  return outcome;
};

/** The greatest stamp of each key. */
function greatestStamps(entries: readonly Entry[]): ReadonlyMap<string, Stamp | null> {
  const greatest = new Map<string, Stamp | null>();
  for (const { id, stamp } of entries) {
    if ((greatest.get(id) ?? '') <= (stamp ?? '')) greatest.set(id, stamp);
  }
  return greatest;
}

/** One client of a {@link MemoryDatabase}. Made by `memory()`. */
export class MemoryStore implements Store {
  readonly label: string;
  readonly capabilities: Capabilities;
  readonly native: MemoryRecords;
  readonly #database: MemoryDatabase;
  readonly #context: StoreContext;
  readonly #line: Line;
  #closed = false;

  constructor(
    database: MemoryDatabase,
    context: StoreContext,
    capabilities: Capabilities,
    faults: FaultPlan | undefined,
  ) {
    this.label = `memory ${context.migration} ${context.side}`;
    this.capabilities = capabilities;
    this.native = new MemoryRecords(database, context.codec);
    this.#database = database;
    this.#context = context;
    this.#line = new Line(database, context.clock, faults, context);
    database.connect(context.clock);
  }

  async open(): Promise<void> {
    await this.#ask('open', [], () => undefined);
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  now(): number {
    return this.#database.now();
  }

  async prepare(options: { readonly dryRun?: boolean } = {}): Promise<PrepareReport> {
    return this.#ask('prepare', [], () => {
      const actions = this.#database.prepared ? [] : ['make room for stamps and tombstones'];
      if (options.dryRun !== true) this.#database.prepared = true;
      return { actions };
    });
  }

  async prepared(): Promise<boolean> {
    return this.#ask('prepared', [], () => this.#database.prepared);
  }

  async inspect(): Promise<Inspection> {
    return this.#ask('inspect', [], () => ({ server: 'memory', findings: this.#database.findings() }));
  }

  check(entry: Entry): Rejection | null {
    const encoded = this.#encode(entry);
    if ('kind' in encoded) return encoded;
    const message = this.#database.limit(encoded);
    return message === null ? null : { kind: 'rejected', reason: 'limit', message };
  }

  roundTrip(entry: Entry): RoundTrip {
    const encoded = this.#encode(entry);
    if ('kind' in encoded) return encoded;
    const message = this.#database.limit(encoded);
    if (message !== null) return { kind: 'rejected', reason: 'limit', message };
    return { kind: 'held', value: readable(this.#decode(encoded)).value ?? {} };
  }

  async get(id: string, _key: Key): Promise<Entry | undefined> {
    const row = await this.#ask('get', [id], () => this.#database.get(id));
    return row && this.#decode(row);
  }

  async getMany(keys: readonly KeyRef[]): Promise<(Entry | undefined)[]> {
    const ids = keys.map(({ id }) => id);
    const rows = await this.#ask('getMany', ids, () => ids.map((id) => this.#database.get(id)));
    return rows.map((row) => row && this.#decode(row));
  }

  async putIfNewer(entry: Entry, deadline: number): Promise<PutOutcome> {
    return withoutConflict(await this.#write('putIfNewer', entry, null, deadline));
  }

  putManyIfNewer(entries: readonly Entry[], deadline: number): Promise<(PutOutcome | PutFault)[]> {
    return this.#many('putManyIfNewer', entries, deadline);
  }

  async load(entries: readonly Entry[], deadline: number): Promise<LoadAnswer> {
    const outcomes = await this.#many('load', entries, deadline);
    return { outcomes, loose: outcomes.some((outcome) => outcome.kind === 'fault' && outcome.outcome === 'unknown') };
  }

  async #many(
    op: 'putManyIfNewer' | 'load',
    entries: readonly Entry[],
    deadline: number,
  ): Promise<(PutOutcome | PutFault)[]> {
    if (entries.length === 0) return [];
    const greatest = greatestStamps(entries);
    const outcomes: (PutOutcome | PutFault)[] = [];
    const writes: { readonly at: number; readonly write: Write }[] = [];
    for (const [at, entry] of entries.entries()) {
      const encoded = this.#encode(entry);
      if ('kind' in encoded) outcomes[at] = encoded;
      else {
        const write = this.#request(encoded, null, deadline);
        // Of one key, only the greatest stamp goes over what is there.
        const blind = op === 'load' && greatest.get(entry.id) === entry.stamp;
        writes.push({ at, write: blind ? { ...write, blind } : write });
      }
    }
    // The greatest stamp of a key first, so that the others meet it.
    writes.sort(({ write: { entry: a } }, { write: { entry: b } }) => {
      return (a.stamp ?? '') < (b.stamp ?? '') ? 1 : a.stamp === b.stamp ? 0 : -1;
    });
    const fault = this.#fate(
      op,
      entries.map(({ id }) => id),
    );
    const struck = new Set(fault?.ids ?? []);
    const parts = Map.groupBy(writes, ({ write }) => fault?.ids === undefined || struck.has(write.entry.id));
    const send = async (part: typeof writes, fate: Fault | undefined): Promise<void> => {
      const answers = await this.#part(op, part, fate);
      for (const [i, { at }] of part.entries()) outcomes[at] = answers[i] as PutOutcome | PutFault;
    };
    await Promise.all([...parts].map(([isStruck, part]) => send(part, isStruck ? fault : undefined)));
    return outcomes;
  }

  async compareAndSet(entry: Entry, expected: Expected, deadline: number): Promise<CasOutcome> {
    return this.#write('compareAndSet', entry, expected, deadline);
  }

  async putPlain(entry: Entry, deadline: number): Promise<PutOutcome> {
    return withoutConflict(await this.#write('putPlain', { ...entry, stamp: null }, null, deadline));
  }

  async partitions(count: number): Promise<readonly Partition[]> {
    const shares = Math.max(1, Math.floor(count));
    return this.#ask('partitions', [], () =>
      Array.from({ length: shares }, (_, index) => ({ id: `${index}/${shares}`, index, count: shares })),
    );
  }

  async *scan(partition: Partition, options: ScanOptions): AsyncGenerator<ScanPage> {
    const share: Share = { index: Number(partition['index']), count: Number(partition['count']) };
    if (!(share.index >= 0 && share.count > share.index) || !(options.pageSize > 0)) {
      throw new InvalidArgument('not a partition of this store, or an empty page', {
        expected: 'a partition from `partitions`, and a page size of at least 1',
      });
    }
    let { cursor } = options;
    for (;;) {
      options.signal?.throwIfAborted();
      const after = cursor;
      const rows = await this.#ask('scan', [], () => this.#database.page(share, after, options.pageSize));
      const last = rows.at(-1);
      if (last === undefined) return;
      cursor = last.id;
      yield { entries: rows.map((row) => this.#decode(row)), cursor };
    }
  }

  async list(unit: Key, after: Key | null, limit: number): Promise<readonly Entry[]> {
    if (!this.capabilities.list) throw new NotSupported('this store does not list the records of a unit');
    const { keys } = this.#context;
    const wanted = keys.unit(unit);
    const rows = await this.#ask('list', [], () =>
      [...this.#database.live()]
        .filter(({ key }) => keys.unit(key) === wanted)
        .filter(({ key }) => after === null || compareKeys(keys.fields, key, after) > 0)
        .sort((a, b) => compareKeys(keys.fields, a.key, b.key))
        .slice(0, limit),
    );
    return rows.map((row) => this.#decode(row));
  }

  decode(row: unknown): Entry {
    const key = this.#context.keys.keyOf(row);
    const stamp = this.native.stampOf(row);
    return { id: this.#context.keys.id(key), key, stamp, value: cloneValue(row as StoredRecord) };
  }

  async estimate(): Promise<number | null> {
    return this.#ask('estimate', [], () => this.#database.live().reduce((count) => count + 1, 0));
  }

  async wipe(options: StepOptions): Promise<void> {
    let done = 0;
    for (;;) {
      options.signal?.throwIfAborted();
      const removed = await this.#ask('wipe', [], () => this.#database.removeSome(STEP));
      if (removed === 0) return;
      done += removed;
      options.onProgress?.(done);
    }
  }

  async finish(options: StepOptions): Promise<void> {
    const everything: Share = { index: 0, count: 1 };
    let done = 0;
    let after: string | undefined;
    for (;;) {
      options.signal?.throwIfAborted();
      const from = after;
      const ids = await this.#ask('finish', [], () => {
        const page = this.#database.page(everything, from, STEP).map(({ id }) => id);
        this.#database.unstamp(page);
        if (page.length === 0) this.#database.prepared = false;
        return page;
      });
      after = ids.at(-1);
      if (after === undefined) return;
      done += ids.length;
      options.onProgress?.(done);
    }
  }

  async #write(op: Operation, entry: Entry, expected: Expected | null, deadline: number): Promise<CasOutcome> {
    const encoded = this.#encode(entry);
    if ('kind' in encoded) return encoded;
    const write = this.#request(encoded, expected, deadline);
    return this.#line.send<CasOutcome>(
      { op, apply: () => this.#apply(write), rejected: (rejection) => rejection },
      this.#fate(op, [entry.id]),
    );
  }

  async #part(
    op: Operation,
    part: readonly { readonly write: Write }[],
    fault: Fault | undefined,
  ): Promise<readonly (PutOutcome | PutFault)[]> {
    try {
      return await this.#line.send<PutOutcome[]>(
        {
          op,
          apply: () => part.map(({ write }) => withoutConflict(this.#apply(write))),
          rejected: (rejection) => part.map(() => rejection),
        },
        fault,
      );
    } catch (error) {
      if (!(error instanceof StoreFault)) throw error;
      const { outcome, message, pressure } = error;
      return part.map(() => ({ kind: 'fault', outcome, message, pressure }));
    }
  }

  #apply(write: Write): CasOutcome {
    if (write.entry.stamp !== null && !this.#database.prepared) {
      throw new NotPrepared('the store has no room for stamps', { remedy: 'changeover prepare' });
    }
    return this.#database.write(write);
  }

  #request(entry: Entry, expected: Expected | null, deadline: number): Write {
    const wanted = expected?.kind === 'version' ? cloneValue(expected.value) : undefined;
    return {
      entry,
      expected,
      matches: (stored) => {
        if (wanted === undefined) return true;
        if (wanted === null || stored === null) return wanted === stored;
        return equalValues(this.#context.codec.decode(cloneValue(stored)), wanted);
      },
      deadline: this.capabilities.lateBoundMs > 0 ? null : deadline,
    };
  }

  /** A frozen entry that shares nothing with the caller's, or why there can be none. */
  #encode(entry: Entry): Entry | Rejection {
    try {
      const value = entry.value === null ? null : this.#context.codec.encode(cloneValue(entry.value));
      return Object.freeze({ id: entry.id, key: cloneValue(entry.key), stamp: entry.stamp, value });
    } catch (error) {
      if (!(error instanceof InvalidRecord)) throw error;
      return { kind: 'rejected', reason: 'limit', message: error.message };
    }
  }

  #decode(row: Entry): Entry {
    const of = { id: row.id, key: cloneValue(row.key), stamp: row.stamp };
    if (row.value === null) return { ...of, value: null };
    return { ...of, ...decoded(this.#context.codec, cloneValue(row.value)) };
  }

  #ask<T>(op: Operation, ids: readonly string[], apply: () => T): Promise<T> {
    return this.#line.send({ op, apply }, this.#fate(op, ids));
  }

  #fate(op: Operation, ids: readonly string[]): Fault | undefined {
    if (this.#closed) throw new Closed(`${this.label} is closed`);
    return this.#line.fate(op, ids);
  }
}

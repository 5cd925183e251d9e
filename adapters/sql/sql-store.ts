import type { Clock } from '../../src/core/clock.ts';
import type { Digests } from '../../src/core/digests.ts';
import { Closed, InvalidArgument, InvalidConfiguration, NotPrepared, StoreFault } from '../../src/core/errors.ts';
import type { KeySpec } from '../../src/core/record-key.ts';
import type { Side } from '../../src/core/stage.ts';
import type { Stamp } from '../../src/core/stamp.ts';
import type {
  Capabilities,
  CasOutcome,
  Codec,
  Entry,
  Expected,
  Finding,
  Inspection,
  KeyRef,
  Partition,
  PrepareReport,
  PutFault,
  PutOutcome,
  Rejection,
  RoundTrip,
  ScanOptions,
  ScanPage,
  StepOptions,
  Store,
} from '../../src/core/store.ts';
import { identityCodec } from '../../src/core/store.ts';
import type { StorePair } from '../../src/core/store-pair.ts';
import type { Key } from '../../src/core/value.ts';
import type { Bound, ValueForms } from './column-codec.ts';
import type { Dialect, Held, KeyRange, Session, TableAccess, Write } from './dialect.ts';
import { boundOf, TableDigests } from './digests.ts';
import { info, problem } from './findings.ts';
import { GuardedWrite } from './guarded-write.ts';
import { keyToText } from './key-text.ts';
import { type Layout, makeLayout } from './layout.ts';
import type { ResolvedSqlOptions } from './options.ts';
import { RowCodec } from './row-codec.ts';
import { SqlPair } from './sql-pair.ts';

/** Where entries stand, the greatest stamp first: of one key the others then find it and are superseded. */
const highestFirst = (entries: readonly Entry[]): readonly number[] =>
  entries
    .map((_, i) => i)
    .sort((a, b) => (((entries[a] as Entry).stamp ?? '') < ((entries[b] as Entry).stamp ?? '') ? 1 : -1));

const STEP_ROWS = 1_000;
const MAX_PARTITIONS = 4_096;

/** What a store is made of. */
export interface SqlStoreParts {
  readonly dialect: Dialect;
  readonly session: Session;
  readonly side: Side;
  readonly options: ResolvedSqlOptions;
  readonly keys: KeySpec;
  readonly codec: Codec;
  readonly clock: Clock;
  readonly forms: ValueForms;
}

/** What is known once the table was looked at. */
interface Opened {
  readonly layout: Layout;
  /** Columns that hold no field. */
  readonly left: readonly string[];
  readonly rows: RowCodec;
  readonly access: TableAccess;
  readonly digests: Digests | undefined;
}

/**
 * A table seen as versioned entries. Stamps and tombstones are in a table beside it, joined by key.
 *
 * The value of an entry is always what the records' table says, its stamp what the stamp table says, even where they
 * disagree because others wrote to the table (R14): a row that appeared under a tombstone is a record with the
 * tombstone's stamp, a row that was deleted under a live stamp is a tombstone with that stamp. Verification, which
 * compares values, then sees it, and repair stamps it anew. A dialect may know that records without a stamp are copies of
 * what never had one, and leave their stamps out: they have the least.
 */
export class SqlStore implements Store {
  readonly label: string;
  readonly capabilities: Capabilities;
  readonly #parts: SqlStoreParts;
  #opening: Promise<void> | undefined;
  #opened: Opened | undefined;
  #closed = false;

  constructor(parts: SqlStoreParts) {
    const { dialect, options } = parts;
    this.#parts = parts;
    this.label = `${dialect.name} ${options.table}`;
    this.capabilities = Object.freeze({
      lateBoundMs: dialect.lateBoundMs,
      clockErrorMs: dialect.clockErrorMs,
      batchSize: dialect.batchSize,
      ...(dialect.scans === undefined ? {} : { scans: dialect.scans }),
      list: true,
    });
  }

  get native(): unknown {
    return this.#parts.session.native;
  }

  open(): Promise<void> {
    if (this.#closed) return Promise.reject(new Closed(`${this.label} is closed`));
    this.#opening ??= this.#open().catch((error: unknown) => {
      this.#opening = undefined;
      throw error;
    });
    return this.#opening;
  }

  async #open(): Promise<void> {
    const { session, options, keys, codec } = this.#parts;
    await session.open();
    const described = await session.describe(options.table);
    if (described === undefined) {
      throw new NotPrepared(`${this.label}: there is no table "${options.table}" (a view is none)`, {
        remedy: `create the table "${options.table}" as the service does (\`prepare\` makes stamp tables only)`,
      });
    }
    const layout = makeLayout(session, options, keys, described, this.#parts.forms);
    const rows = new RowCodec(layout, keys, codec);
    const access = session.table(layout);
    // What a codec of somebody's makes of a row is nothing that a server can tell.
    const ranges = codec === identityCodec ? access.ranges : undefined;
    const digests = ranges && new TableDigests(ranges, layout, rows, keys, options.json);
    const left = described.columns.filter(({ name, generated }) => !generated && !layout.names.includes(name));
    this.#opened = { layout, left: left.map(({ name }) => name), rows, access, digests };
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#opening?.catch(() => undefined);
    this.#opened = undefined;
    await this.#parts.session.close();
  }

  get #ready(): Opened {
    if (this.#opened !== undefined) return this.#opened;
    throw new Closed(`${this.label} is ${this.#closed ? 'closed' : 'not open'}`, { remedy: 'call open() first' });
  }

  get digests(): Digests | undefined {
    return this.#opened?.digests;
  }

  async pair(other: Store): Promise<StorePair | null> {
    if (!(#opened in other)) return null;
    const [ours, theirs] = [this.#ready, other.#ready];
    const pair = (await ours.access.pair?.(theirs.access)) ?? null;
    // What a codec of somebody's makes of a row is nothing that a database can tell.
    const parts = [this.#parts, other.#parts];
    const alike = parts.every(
      ({ codec, options }) => codec === identityCodec && options.json === this.#parts.options.json,
    );
    return pair && new SqlPair(pair, ours.layout, ours.rows, this.#parts.keys, alike);
  }

  now(): number {
    return this.#parts.session.now();
  }

  async prepare(options: { readonly dryRun?: boolean } = {}): Promise<PrepareReport> {
    return { actions: await this.#ready.access.prepare(options.dryRun ?? false, this.#parts.side) };
  }

  async prepared(): Promise<boolean> {
    return this.#ready.access.prepared();
  }

  /** Works, other than the rest, on a table that is missing or cannot hold the records: that is what it then says. */
  async inspect(): Promise<Inspection> {
    const { session, dialect, options } = this.#parts;
    const unfit = await this.open().then(
      () => null,
      (error: unknown) => error,
    );
    const known = unfit === null || unfit instanceof NotPrepared || unfit instanceof InvalidConfiguration;
    if (!known) throw unfit;
    const unopened: Inspection = { server: dialect.name, findings: [] };
    // A file that is not there leaves nothing to look at.
    const looked = await session.open().then(
      async () => (await session.inspect?.(this.#opened?.layout ?? null)) ?? unopened,
      () => unopened,
    );
    if (unfit === null) return { ...looked, findings: [...looked.findings, ...this.#leftOut()] };
    const { message, remedy, expected } = unfit;
    const finding = problem('missing', options.table, message, remedy ?? `expected: ${expected}`);
    return { ...looked, findings: [...looked.findings, finding] };
  }

  /** What `columns` does not name is easily forgotten there. */
  #leftOut(): readonly Finding[] {
    const { left } = this.#ready;
    if (left.length === 0) return [];
    const names = left.map((name) => `"${name}"`).join(', ');
    const what = `no field is held in ${names}: what stands there belongs to no record, and does not move`;
    return [info('missing', 'fields', what)];
  }

  async replicaLag(): Promise<number | null> {
    return (await this.#parts.session.replicaLag?.()) ?? null;
  }

  check(entry: Entry): Rejection | null {
    const bound = this.#ready.rows.bind(entry);
    return 'kind' in bound ? bound : bound.rejection;
  }

  roundTrip(entry: Entry): RoundTrip {
    const { rows } = this.#ready;
    // What a column holds is what was bound to it, or it would have been refused: `ColumnCodec` promises that.
    if (entry.value !== null && rows.holdsPlainly(entry)) return { kind: 'held', value: entry.value };
    const bound = rows.bind(entry);
    if ('kind' in bound) return bound;
    return bound.rejection ?? { kind: 'held', value: rows.record(bound.row ?? []) };
  }

  async get(id: string, key: Key): Promise<Entry | undefined> {
    const { rows, access } = this.#ready;
    const bound = rows.bindKey(key);
    if ('kind' in bound) return undefined;
    const [held] = await access.read([bound], false);
    return held && this.#entry(rows, { id, key }, held, false);
  }

  async getMany(
    keys: readonly KeyRef[],
    { stampsOnly = false }: { readonly stampsOnly?: boolean } = {},
  ): Promise<(Entry | undefined)[]> {
    const { rows, access } = this.#ready;
    // A key that no column can hold names no record.
    const bound = keys.map(({ key }) => rows.bindKey(key));
    const found = await access.read(
      bound.filter((key): key is readonly Bound[] => !('kind' in key)),
      stampsOnly,
    );
    let next = 0;
    return keys.map((ref, i) => {
      const key = bound[i];
      if (key === undefined || 'kind' in key) return undefined;
      const held = found[next];
      next += 1;
      return held && this.#entry(rows, ref, held, stampsOnly);
    });
  }

  async stamps(keys: readonly KeyRef[]): Promise<readonly (Stamp | null)[]> {
    const { rows, access } = this.#ready;
    // A key that no column can hold has no stamp.
    const bound = keys.map(({ key }) => rows.bindKey(key));
    const fitting = bound.filter((key): key is readonly Bound[] => !('kind' in key));
    const found =
      (await access.stamps?.(fitting)) ?? (await access.read(fitting, true)).map((held) => held?.stamp ?? null);
    if (fitting.length === keys.length) return found;
    let next = 0;
    return bound.map((key) => {
      if ('kind' in key) return null;
      next += 1;
      return found[next - 1] as Stamp | null;
    });
  }

  #entry(rows: RowCodec, { id, key }: KeyRef, { stamp, row }: Held, stampsOnly: boolean): Entry {
    if (row === null || stampsOnly) return { id, key, stamp, value: row === null ? null : key };
    return rows.read(id, key, stamp, row);
  }

  async putIfNewer(entry: Entry, deadline: number): Promise<PutOutcome> {
    this.#mustBeStamped(entry);
    return this.#writeOne(entry, null, deadline) as Promise<PutOutcome>;
  }

  async putManyIfNewer(entries: readonly Entry[], deadline: number): Promise<(PutOutcome | PutFault)[]> {
    const { access } = this.#ready;
    const outcomes: (PutOutcome | PutFault)[] = new Array(entries.length);
    const places: number[] = [];
    const writes: Write[] = [];
    const take = (entry: Entry, i: number): void => {
      this.#mustBeStamped(entry);
      const write = this.#write(entry, null, deadline);
      if ('kind' in write) {
        outcomes[i] = write;
        return;
      }
      places.push(i);
      writes.push(write);
    };
    if (new Set(entries.map(({ id }) => id)).size === entries.length) entries.forEach(take);
    else for (const i of highestFirst(entries)) take(entries[i] as Entry, i);
    const done = await access.write(writes);
    for (let n = 0; n < places.length; n += 1) outcomes[places[n] as number] = done[n] as PutOutcome | PutFault;
    return outcomes;
  }

  compareAndSet(entry: Entry, expected: Expected, deadline: number): Promise<CasOutcome> {
    return this.#writeOne(entry, expected, deadline);
  }

  async putPlain(entry: Entry, deadline: number): Promise<PutOutcome> {
    if (entry.stamp !== null) throw new InvalidArgument('a plain write has a stamp', { expected: 'stamp: null' });
    return this.#writeOne(entry, null, deadline) as Promise<PutOutcome>;
  }

  #mustBeStamped(entry: Entry): void {
    if (entry.stamp === null) throw new InvalidArgument('a put-if-newer has no stamp', { expected: 'a stamp' });
  }

  async #writeOne(entry: Entry, expected: Expected | null, deadline: number): Promise<CasOutcome> {
    const { access } = this.#ready;
    const write = this.#write(entry, expected, deadline);
    if ('kind' in write) return write;
    const [outcome] = await access.write([write]);
    if (outcome === undefined || outcome.kind !== 'fault') return outcome as CasOutcome;
    throw new StoreFault(outcome.message, { outcome: outcome.outcome, pressure: outcome.pressure });
  }

  #write(entry: Entry, expected: Expected | null, deadline: number): Write | Rejection {
    const { rows } = this.#ready;
    const bound = rows.bind(entry);
    return 'kind' in bound ? bound : new GuardedWrite(rows, bound, entry.stamp, expected, deadline);
  }

  async partitions(count: number): Promise<readonly Partition[]> {
    const { rows, layout, access } = this.#ready;
    const shares = Math.min(Math.max(1, Math.floor(count)), MAX_PARTITIONS);
    const cuts = shares === 1 ? [] : await access.divide(shares - 1);
    const texts = cuts.map((cells) => {
      const bound = rows.bindKey(rows.key(cells), layout.keys);
      return 'kind' in bound ? null : keyToText(bound);
    });
    const bounds = [null, ...new Set(texts.filter((text) => text !== null)), null];
    return bounds.slice(1).map((upTo, i) => ({ id: `${i + 1}/${bounds.length - 1}`, after: bounds[i] ?? null, upTo }));
  }

  async *scan(partition: Partition, options: ScanOptions): AsyncGenerator<ScanPage> {
    const { rows, access, layout } = this.#ready;
    const { pageSize, signal, stampsOnly = false, recordsOnly = false } = options;
    const upTo = boundOf(partition['upTo'], layout);
    let after = boundOf(options.cursor === undefined ? partition['after'] : options.cursor, layout);
    for (;;) {
      signal?.throwIfAborted();
      const range: KeyRange = { after, upTo };
      const page = await access.page(range, Math.max(1, pageSize), stampsOnly, recordsOnly);
      const entries = page.map((held) => rows.entry(held, stampsOnly));
      const last = entries.at(-1);
      if (last === undefined) return;
      after = rows.boundKey(last.key);
      yield { entries, cursor: keyToText(after) };
      if (page.length < pageSize) return;
    }
  }

  async list(unit: Key, after: Key | null, limit: number): Promise<readonly Entry[]> {
    const { rows, layout, access } = this.#ready;
    const bound = rows.bindKey(unit, layout.unit);
    if ('kind' in bound) return [];
    const page = await access.list(bound, after === null ? null : rows.boundKey(after), limit);
    return page.map((held) => rows.entry(held, false));
  }

  decode(row: unknown): Entry {
    return this.#ready.rows.native(row);
  }

  async estimate(): Promise<number | null> {
    return this.#ready.access.estimate();
  }

  async wipe(options: StepOptions): Promise<void> {
    const { access } = this.#ready;
    const done = await this.#steps(options, 0, () => access.deleteRecords(STEP_ROWS));
    await this.#steps(options, done, () => access.deleteStamps(STEP_ROWS));
  }

  async finish(options: StepOptions): Promise<void> {
    const { access } = this.#ready;
    await this.#steps(options, 0, () => access.deleteStamps(STEP_ROWS));
    await access.dropStampTable();
  }

  async #steps({ signal, onProgress }: StepOptions, before: number, step: () => Promise<number>): Promise<number> {
    let done = before;
    for (;;) {
      signal?.throwIfAborted();
      const rows = await step();
      if (rows === 0) return done;
      done += rows;
      onProgress?.(done);
    }
  }
}

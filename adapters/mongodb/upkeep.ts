import type { Document, IndexDescriptionInfo } from 'mongodb';
import { InvalidConfiguration } from '../../src/core/errors.ts';
import type { KeySpec } from '../../src/core/record-key.ts';
import type { Entry, PrepareReport, StepOptions } from '../../src/core/store.ts';
import type { RawDocument } from './bson-reader.ts';
import type { DocumentLayout } from './document-layout.ts';
import type { Verdict } from './faults.ts';
import type { ResolvedOptions } from './options.ts';
import type { Wire } from './wire.ts';

const STEP = 1_000;
const NAMESPACE_EXISTS = 48;

/** The collection itself: what is known of it, what it lacks, emptying it. */
export class Upkeep {
  readonly #wire: Wire;
  readonly #layout: DocumentLayout;
  readonly #options: ResolvedOptions;
  /** The fields that {@link listIndex} orders by. */
  readonly #listPaths: readonly string[];
  /** Whether tombstones go past the validator: only once it refused one, because not every user may do that. */
  #bypass: 'off' | 'on' | 'denied' = 'off';
  #knowledge = 0;

  constructor(wire: Wire, layout: DocumentLayout, options: ResolvedOptions, keys: KeySpec) {
    this.#wire = wire;
    this.#layout = layout;
    this.#options = options;
    const rest = keys.fields.filter((field) => !keys.unitFields.includes(field));
    this.#listPaths = [...keys.unitFields, ...rest].map((field) => layout.pathOf(field));
  }

  /** Connects, and learns all that writes depend on. @throws InvalidConfiguration for what cannot be a store */
  async look(): Promise<void> {
    await this.#wire.connect();
    const hello = await this.#wire.read('hello', (signal) => this.#wire.db.command({ hello: 1 }, { signal }));
    this.#wire.replicated = hello['setName'] !== undefined || hello['msg'] === 'isdbgrid';
    await this.#wire.read('hello', () => this.#wire.serverClock.start());
    await this.learn();
  }

  async collectionInfo(name = this.#options.collection): Promise<Document | null> {
    const found = await this.#wire.read('listCollections', (signal) =>
      this.#wire.db.listCollections({ name }, { signal, nameOnly: false }).toArray(),
    );
    return found[0] ?? null;
  }

  async indexes(): Promise<readonly IndexDescriptionInfo[]> {
    return this.#wire.read('listIndexes', async () => {
      try {
        return await this.#wire.collection.indexes();
      } catch (error) {
        if ((error as { readonly code?: unknown }).code === 26) return [];
        throw error;
      }
    });
  }

  /** Grows with all that is learnt of what a tombstone has to fit. */
  get knowledge(): number {
    return this.#knowledge;
  }

  /** Looks at the collection anew. */
  async learn(): Promise<void> {
    const info = await this.collectionInfo();
    const unfit = unfitness(info);
    if (unfit !== null) {
      throw new InvalidConfiguration(`${this.#wire.label}: the collection is ${unfit}`, {
        expected: 'an ordinary collection with the simple collation',
      });
    }
    const indexes = info === null ? [] : await this.indexes();
    const before = this.#layout.fillPaths.join('\n');
    const unique = indexes.filter((index) => index.unique === true);
    this.#layout.fillPaths = this.#fillable(new Set(unique.flatMap(({ key }) => Object.keys(key))));
    if (before !== this.#layout.fillPaths.join('\n')) this.#knowledge += 1;
  }

  /**
   * Whether a tombstone that was refused, when as much was known as `knowledge` says, may be taken when it is put again:
   * it has to fit an index that was made since we looked, or to go past a validator, which says what records are and
   * nothing about tombstones.
   */
  async mayAccept(verdict: Verdict, knowledge: number): Promise<boolean> {
    if (verdict.index !== undefined) {
      await this.learn();
    } else if (this.#knowledge === knowledge) {
      if (verdict.invalid && this.#bypass === 'off') this.#pass('on');
      else if (verdict.kind === 'unable' && this.#bypass === 'on') this.#pass('denied');
    }
    return this.#knowledge !== knowledge;
  }

  #pass(bypass: 'on' | 'denied'): void {
    this.#bypass = bypass;
    this.#knowledge += 1;
  }

  /** Sparse and partial indexes too: a field of the key, or a filter for null, lets a tombstone into them. */
  #fillable(paths: ReadonlySet<string>): readonly string[] {
    const own = new Set(['_id', ...this.#layout.besideFields, ...Object.values(this.#options.reserved)]);
    // The longest first: a field that is filled further down is unique, too.
    return [...paths].filter((path) => !own.has(path.split('.')[0] ?? '')).sort((a, b) => b.length - a.length);
  }

  /** What a command that puts these entries says of validation. */
  validation(entries: readonly Entry[]): { readonly bypassDocumentValidation?: true } {
    const past = this.#bypass === 'on' && entries.every(({ value }) => value === null);
    return past ? { bypassDocumentValidation: true } : {};
  }

  /** The index that lists need, or null where the one of `_id` is enough. */
  get listIndex(): Record<string, 1> | null {
    if (this.#listPaths.length === 1 && this.#listPaths[0] === '_id') return null;
    return Object.fromEntries(this.#listPaths.map((path) => [path, 1]));
  }

  hasListIndex(indexes: readonly IndexDescriptionInfo[]): boolean {
    const wanted = this.#listPaths;
    if (this.listIndex === null) return true;
    return indexes.some(({ key, partialFilterExpression, sparse, collation, hidden }) => {
      const paths = Object.entries(key);
      const whole = partialFilterExpression === undefined && !sparse && collation === undefined && !hidden;
      return whole && wanted.every((path, i) => paths[i]?.[0] === path && paths[i]?.[1] === 1);
    });
  }

  async prepare(dryRun: boolean): Promise<PrepareReport> {
    const { db, collection } = this.#wire;
    const name = collection.collectionName;
    const steps: { readonly action: string; readonly run: () => Promise<unknown> }[] = [];
    if ((await this.collectionInfo()) === null) {
      steps.push({ action: `db.createCollection(${JSON.stringify(name)})`, run: () => db.createCollection(name) });
    }
    const index = this.listIndex;
    if (index !== null && !this.hasListIndex(await this.indexes())) {
      const action = `db.getCollection(${JSON.stringify(name)}).createIndex(${JSON.stringify(index)})`;
      steps.push({ action, run: () => collection.createIndex(index) });
    }
    const { view } = this.#options;
    if (view !== null && (await this.collectionInfo(view)) === null) {
      const pipeline = this.viewPipeline;
      const action = `db.createView(${JSON.stringify(view)}, ${JSON.stringify(name)}, ${JSON.stringify(pipeline)})`;
      steps.push({ action, run: () => db.createCollection(view, { viewOn: name, pipeline }) });
    }
    if (!dryRun) {
      for (const { action, run } of steps) await this.#step(action.split('(')[0] ?? action, run);
      await this.learn();
    }
    return { actions: steps.map(({ action }) => action) };
  }

  async #step(operation: string, run: () => Promise<unknown>): Promise<void> {
    await this.#wire.read(operation, async () => {
      try {
        await run();
      } catch (error) {
        // Somebody else was faster.
        if ((error as { readonly code?: unknown }).code !== NAMESPACE_EXISTS) throw error;
      }
    });
  }

  /** What others should see: records, without what is ours. */
  get viewPipeline(): Document[] {
    const { stamp, tombstone } = this.#options.reserved;
    return [{ $match: { [tombstone]: { $ne: true } } }, { $unset: stamp }];
  }

  async estimate(): Promise<number | null> {
    return this.#wire.read('count', () => this.#wire.collection.estimatedDocumentCount());
  }

  async wipe({ signal, onProgress }: StepOptions): Promise<void> {
    const { collection } = this.#wire;
    for (let done = 0; ; ) {
      const ids = await this.#wire.find({}, { projection: { _id: 1 }, limit: STEP }, signal);
      if (ids.length === 0) return;
      const filter = { _id: { $in: ids.map((raw) => this.#idOf(raw)) } } as Document;
      await this.#wire.read('delete', () => collection.deleteMany(filter, { writeConcern: { w: 'majority' } }), signal);
      done += ids.length;
      onProgress?.(done);
    }
  }

  #idOf(raw: RawDocument): unknown {
    return this.#layout.reader.exact(raw).get('_id');
  }

  async finish({ signal, onProgress }: StepOptions): Promise<void> {
    let done = 0;
    let after: RawDocument | null = null;
    for (;;) {
      const page: RawDocument[] = await this.#wire.find({}, this.pageAfter(after, STEP + 1), signal);
      const last = page.at(-1);
      if (last === undefined) return;
      await this.#release(page, signal);
      done += Math.min(page.length, STEP);
      onProgress?.(done);
      if (page.length <= STEP) return;
      after = last;
    }
  }

  /** The next documents in the order of `_id`, from `from` on: index bounds compare values of all types. */
  pageAfter(from: RawDocument | null, limit: number): Document {
    return {
      projection: this.#layout.stampFields,
      hint: { _id: 1 },
      sort: { _id: 1 },
      limit,
      ...(from === null ? {} : { min: { _id: this.#idOf(from) } }),
    };
  }

  /** Makes documents plain ones and takes tombstones away, if they still are the ones that were seen. */
  async #release(page: readonly RawDocument[], signal: AbortSignal | undefined): Promise<void> {
    const { stamp, tombstone } = this.#options.reserved;
    const name = this.#wire.collection.collectionName;
    const ours = page
      .map((raw) => this.#layout.reader.exact(raw))
      .filter((document) => document.has(stamp) || document.get(tombstone) === true);
    const seen = (document: Map<string, unknown>): Document => ({
      _id: { $eq: document.get('_id') },
      [stamp]: document.has(stamp) ? { $eq: document.get(stamp) } : { $exists: false },
    });
    const gone = ours.filter((document) => document.get(tombstone) === true);
    const kept = ours.filter((document) => document.get(tombstone) !== true);
    if (gone.length > 0) {
      const deletes = gone.map((document) => ({ q: seen(document), limit: 1 }));
      await this.#run('delete', { delete: name, ordered: false, deletes }, signal);
    }
    if (kept.length > 0) {
      const unset = { $unset: { [stamp]: '' } };
      const updates = kept.map((document) => ({ q: seen(document), u: unset }));
      await this.#run('update', { update: name, ordered: false, updates }, signal);
    }
  }

  async #run(operation: string, command: Document, signal: AbortSignal | undefined): Promise<void> {
    const writeConcern = this.#wire.writeConcern;
    await this.#wire.read(
      operation,
      async (abort) => {
        const reply = await this.#wire.db.command({ ...command, writeConcern }, { signal: abort });
        const [error] = (reply['writeErrors'] ?? []) as readonly Document[];
        if (error !== undefined) throw error;
      },
      signal,
    );
  }
}

/** Why a collection cannot be a store at all, or null. */
export function unfitness(info: Document | null): string | null {
  if (info === null) return null;
  const options = (info['options'] ?? {}) as Document;
  if (info['type'] === 'view') return 'a view';
  if (info['type'] === 'timeseries') return 'a time series';
  if (options['capped'] === true) return 'capped, so that it drops documents by itself';
  const locale = ((options['collation'] ?? {}) as Document)['locale'];
  return locale === undefined || locale === 'simple' ? null : 'one whose collation makes different keys equal';
}

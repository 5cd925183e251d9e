import type { KeySpec } from '../../src/core/record-key.ts';
import type { KeyRef, Partition } from '../../src/core/store.ts';
import type { PairedRecords, StorePair } from '../../src/core/store-pair.ts';
import type { KeyRange, TablePair } from './dialect.ts';
import { boundOf } from './digests.ts';
import { keyToText } from './key-text.ts';
import type { Layout } from './layout.ts';
import type { RowCodec } from './row-codec.ts';

/** Two tables as two stores: their ranges as shares of the first. */
export class SqlPair implements StorePair {
  readonly records?: (share: Partition) => Promise<PairedRecords>;
  readonly #pair: TablePair;
  readonly #layout: Layout;
  readonly #rows: RowCodec;
  readonly #spec: KeySpec;

  /** `alike`: nobody makes something else of what tables hold. */
  constructor(pair: TablePair, layout: Layout, rows: RowCodec, spec: KeySpec, alike: boolean) {
    this.#pair = pair;
    this.#layout = layout;
    this.#rows = rows;
    this.#spec = spec;
    const { records } = pair;
    if (alike && records !== undefined) this.records = (share) => this.#records(records, share);
  }

  #range(after: unknown, { upTo }: Partition): KeyRange {
    return { after: boundOf(after, this.#layout), upTo: boundOf(upTo, this.#layout) };
  }

  #text(cells: readonly unknown[]): string {
    return keyToText(this.#rows.boundKey(this.#rows.key(cells)));
  }

  #ref(cells: readonly unknown[]): KeyRef {
    const key = this.#rows.key(cells);
    return { id: this.#spec.id(key), key };
  }

  async #records(records: NonNullable<TablePair['records']>, share: Partition): Promise<PairedRecords> {
    const { equal, differing, end } = await records(this.#range(share['after'], share));
    const found = { equal, differing: differing?.map((cells) => this.#ref(cells)) ?? null };
    if (end === null) return { ...found, share, rest: null };
    const until = this.#text(end);
    return { ...found, share: { ...share, upTo: until }, rest: { ...share, after: until } };
  }

  async stamped(share: Partition, cursor: string | null, most: number): ReturnType<StorePair['stamped']> {
    const run = await this.#pair.stamped(this.#range(cursor ?? share['after'], share), most);
    return typeof run === 'string' ? run : { entries: run.entries, cursor: this.#text(run.end) };
  }

  close(): Promise<void> {
    return this.#pair.close();
  }
}

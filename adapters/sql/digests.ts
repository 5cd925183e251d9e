import type { KeySpec } from '../../src/core/record-key.ts';
import type { CutRanges, Digests, KeyDigest, Partition, RangeDigest, RangeSeed } from '../../src/core/store.ts';
import type { Bound } from './column-codec.ts';
import type { KeyRange, RangeAccess } from './dialect.ts';
import { keyFromText, keyToText } from './key-text.ts';
import type { Layout } from './layout.ts';
import type { RowCodec } from './row-codec.ts';

/** A bound of a share of the table as it stands in a {@link Partition}; null is without end. */
export const boundOf = (text: unknown, layout: Layout): readonly Bound[] | null =>
  text === null || text === undefined ? null : keyFromText(String(text), layout.keys.length);

const textOf = (key: readonly Bound[] | null): string | null => (key === null ? null : keyToText(key));

/** The digests of one table: ranges of its keys as shares of the store. */
export class TableDigests implements Digests {
  readonly form: string;
  readonly #ranges: RangeAccess;
  readonly #layout: Layout;
  readonly #rows: RowCodec;
  readonly #spec: KeySpec;

  /** `json` names the notation of JSON columns: what a text says depends on it. */
  constructor(ranges: RangeAccess, layout: Layout, rows: RowCodec, spec: KeySpec, json: string) {
    this.form = `${json} ${ranges.form}`;
    this.#ranges = ranges;
    this.#layout = layout;
    this.#rows = rows;
    this.#spec = spec;
  }

  #range(partition: Partition): KeyRange {
    return { after: boundOf(partition['after'], this.#layout), upTo: boundOf(partition['upTo'], this.#layout) };
  }

  async cut(partition: Partition, size: number, count: number): Promise<CutRanges> {
    const { after, upTo } = this.#range(partition);
    const cuts = await this.#ranges.cut({ after, upTo }, size, count);
    const bounds = cuts.map((cells) => keyToText(this.#rows.boundKey(this.#rows.key(cells))));
    const isEnd = bounds.length < count;
    const all = [textOf(after), ...bounds, ...(isEnd ? [textOf(upTo)] : [])];
    const { id } = partition;
    return {
      ranges: all.slice(1).map((end, i) => ({ id, after: all[i] ?? null, upTo: end })),
      rest: isEnd ? null : { id, after: all.at(-1) ?? null, upTo: textOf(upTo) },
    };
  }

  of(ranges: readonly Partition[], most: number, seed: RangeSeed): Promise<readonly RangeDigest[]> {
    return this.#ranges.of(
      ranges.map((range) => this.#range(range)),
      most,
      seed,
    );
  }

  async keys(ranges: readonly Partition[], most: number, seed: RangeSeed): Promise<readonly (readonly KeyDigest[])[]> {
    const found = await this.#ranges.keys(
      ranges.map((range) => this.#range(range)),
      most,
      seed,
    );
    return found.map((records) =>
      records.map(({ key: cells, digest }) => {
        const key = this.#rows.key(cells);
        return { id: this.#spec.id(key), key, digest };
      }),
    );
  }
}

import type { CutRanges, Digests, RangeDigest, RangeKeys, RangeSeed } from '../../src/core/digests.ts';
import type { KeySpec } from '../../src/core/record-key.ts';
import type { Partition } from '../../src/core/store.ts';
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

  async cut(partition: Partition, size: number, count: number, seed: RangeSeed): Promise<CutRanges> {
    const { after, upTo } = this.#range(partition);
    const digests = await this.#ranges.cut({ after, upTo }, size, count, seed);
    const isEnd = (digests.at(-1)?.records ?? 0) < size;
    const { id } = partition;
    const ranges: Partition[] = [];
    let begin = textOf(after);
    for (const [i, { key }] of digests.entries()) {
      const isLast = isEnd && i === digests.length - 1;
      const end = isLast ? textOf(upTo) : keyToText(this.#rows.boundKey(this.#rows.key(key())));
      ranges.push({ id, after: begin, upTo: end });
      begin = end;
    }
    return { ranges, digests, rest: isEnd ? null : { id, after: begin, upTo: textOf(upTo) } };
  }

  of(ranges: readonly Partition[], most: number, seed: RangeSeed): Promise<readonly RangeDigest[]> {
    return this.#ranges.of(
      ranges.map((range) => this.#range(range)),
      most,
      seed,
    );
  }

  async keys(ranges: readonly Partition[], most: number, seed: RangeSeed): Promise<readonly RangeKeys[]> {
    const found = await this.#ranges.keys(
      ranges.map((range) => this.#range(range)),
      most,
      seed,
    );
    return found.map(({ records, digests, key: cells }) => ({
      records,
      digests,
      key: (place) => {
        const key = this.#rows.key(cells(place));
        return { id: this.#spec.id(key), key };
      },
    }));
  }
}

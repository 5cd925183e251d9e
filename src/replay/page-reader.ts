import { isOtherSize } from '../core/page-size.ts';
import { isPlanted } from '../core/planted.ts';
import type { ScanPage, Store } from '../core/store.ts';
import { again, type Patience } from './put-newer.ts';
import type { ReplayShare } from './replay-share.ts';

export interface PageReaderOptions extends Patience {
  readonly source: Store;
  /** The page size wanted now. */
  readonly pageSize: (stampsOnly: boolean) => number;
  /** Whether stamps are enough, because the values would hardly be needed. */
  readonly stampsOnly: () => boolean;
}

/** Reads a share page by page from where it stands, through passing faults, with a page size that may change. */
export class PageReader {
  readonly #options: PageReaderOptions;
  readonly #share: ReplayShare;
  #cursor: string | null;
  #pages: AsyncIterator<ScanPage> | undefined;
  #pageSize = 0;
  #stampsOnly = false;

  constructor(share: ReplayShare, options: PageReaderOptions) {
    this.#share = share;
    this.#options = options;
    this.#cursor = share.cursor;
  }

  /** Whether the page that was read last has stamps only. */
  get stampsOnly(): boolean {
    return this.#stampsOnly;
  }

  /** Where the next page begins. */
  get cursor(): string | null {
    return this.#cursor;
  }

  /** Goes on from another place. */
  async skipTo(cursor: string): Promise<void> {
    await this.close();
    this.#cursor = cursor;
  }

  /** The next page; null at the end. */
  async next(): Promise<ScanPage | null> {
    const stampsOnly = this.#options.stampsOnly();
    const wanted = this.#options.pageSize(stampsOnly);
    if (stampsOnly !== this.#stampsOnly || isOtherSize(wanted, this.#pageSize)) await this.close();
    this.#stampsOnly = stampsOnly;
    const result = await again({ ...this.#options, target: this.#options.source }, () => this.#read(wanted));
    if (result.done === true) return null;
    this.#cursor = result.value.cursor;
    return withoutPlanted(result.value);
  }

  async close(): Promise<void> {
    const pages = this.#pages;
    this.#pages = undefined;
    await pages?.return?.();
  }

  async #read(pageSize: number): Promise<IteratorResult<ScanPage>> {
    const { source, signal } = this.#options;
    if (this.#pages === undefined) {
      this.#pageSize = pageSize;
      const { partition } = this.#share;
      const stampsOnly = this.#stampsOnly;
      const scan = source.scan(partition, { cursor: this.#cursor ?? undefined, pageSize, signal, stampsOnly });
      this.#pages = scan[Symbol.asyncIterator]();
    }
    try {
      return await this.#pages.next();
    } catch (error) {
      // A fault ends the iterator: what comes next is read by another one.
      this.#pages = undefined;
      throw error;
    }
  }
}

/** What a verification has planted is nobody's record: copied, it would stay behind where nobody removes it. */
function withoutPlanted(page: ScanPage): ScanPage {
  if (!page.entries.some(({ stamp }) => isPlanted(stamp))) return page;
  return { ...page, entries: page.entries.filter(({ stamp }) => !isPlanted(stamp)) };
}

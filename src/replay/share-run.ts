import type { Entry, ScanPage } from '../core/store.ts';
import type { EntryRun } from '../core/store-pair.ts';
import { PageReader, type PageReaderOptions } from './page-reader.ts';
import type { ReplayCounts, ReplayShare } from './replay-share.ts';

export interface ShareRunOptions extends PageReaderOptions {
  readonly signal: AbortSignal;
  /** True for the entries that are replayed; looks at no value. Null is all. */
  readonly includes: ((entry: Entry) => boolean) | null;
  /** The next entries behind a cursor, if nothing is to be done for any of them; else null. */
  readonly equal: (cursor: string | null) => Promise<EntryRun | null>;
  /** Told of every entry that is replayed and was read with its value. */
  readonly onRead?: ((entry: Entry) => void) | undefined;
  /** Puts the entries of a page, of which only the stamps may be known; resolves when every put is definite. */
  readonly put: (entries: readonly Entry[], stampsOnly: boolean) => Promise<Omit<ReplayCounts, 'scanned'>>;
  /** How many pages may be read and not yet put. */
  readonly ahead: () => number;
  /** Waits while nothing may be read. */
  readonly ready: () => Promise<void>;
  readonly onPage: (page: ScanPage, wanted: number, stampsOnly: boolean) => void;
  /** The share has moved on. */
  readonly onMoved: () => void;
  /** A put failed for good; aborts `signal`. */
  readonly onFailed: (error: unknown) => void;
}

interface OpenPage {
  readonly cursor: string;
  readonly scanned: number;
  /** Null until every put is definite. */
  counts: Omit<ReplayCounts, 'scanned'> | null;
  settled: Promise<void>;
}

/**
 * Runs one share: pages are read while those before them are put. The share moves over a page, cursor and counts in one,
 * when that page and all before it are definite; what was put beyond is repeated after a crash and changes nothing.
 */
export async function runShare(share: ReplayShare, options: ShareRunOptions): Promise<void> {
  const { signal, onMoved } = options;
  const reader = new PageReader(share, options);
  const open: OpenPage[] = [];

  const move = (): void => {
    for (let first = open[0]; first !== undefined && first.counts !== null; first = open[0]) {
      open.shift();
      share.cursor = first.cursor;
      share.scanned += first.scanned;
      share.applied += first.counts.applied;
      share.skipped += first.counts.skipped;
      share.rejected += first.counts.rejected;
      onMoved();
    }
  };
  const pass = ({ cursor, entries }: EntryRun): void => {
    const counts = { applied: 0, skipped: entries, rejected: 0 };
    open.push({ cursor, scanned: entries, counts, settled: Promise.resolve() });
    move();
  };
  const begin = (page: ScanPage): void => {
    const { stampsOnly } = reader;
    const wanted = options.includes === null ? page.entries : page.entries.filter(options.includes);
    if (!stampsOnly && options.onRead !== undefined) for (const entry of wanted) options.onRead(entry);
    options.onPage(page, wanted.length, stampsOnly);
    const opened: OpenPage = {
      cursor: page.cursor,
      scanned: page.entries.length,
      counts: null,
      settled: Promise.resolve(),
    };
    open.push(opened);
    opened.settled = options.put(wanted, stampsOnly).then((counts) => {
      opened.counts = counts;
      move();
    }, options.onFailed);
  };
  const atMost = async (pages: number): Promise<void> => {
    for (let first = open[0]; first !== undefined && open.length > pages; first = open[0]) {
      await first.settled;
      signal.throwIfAborted();
    }
  };

  try {
    for (;;) {
      await options.ready();
      signal.throwIfAborted();
      const run = await options.equal(reader.cursor);
      if (run !== null) {
        await reader.skipTo(run.cursor);
        pass(run);
        continue;
      }
      const page = await reader.next();
      if (page === null) break;
      begin(page);
      await atMost(options.ahead());
    }
    await atMost(0);
    share.done = true;
  } finally {
    // Nothing of it is under way any more when it has ended, well or not.
    await Promise.all(open.map(({ settled }) => settled));
    await reader.close();
  }
}

import { isOtherSize, type PageSize } from '../src/core/page-size.ts';
import type { Partition, ScanOptions, ScanPage, Store } from '../src/core/store.ts';

/** Scans a share of a store in pages that are as large as fits into memory, and `pageSize` at most. */
export async function* fittingPages(
  store: Store,
  partition: Partition,
  pages: PageSize,
  options: ScanOptions & { readonly pageSize: number },
): AsyncIterable<ScanPage> {
  let { cursor } = options;
  for (;;) {
    const pageSize = pages.for(options.pageSize);
    let other = false;
    for await (const page of store.scan(partition, { ...options, cursor, pageSize })) {
      cursor = page.cursor;
      pages.learn(page.entries);
      yield page;
      other = isOtherSize(pages.for(options.pageSize), pageSize);
      if (other) break;
    }
    if (!other) return;
  }
}

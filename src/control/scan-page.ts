/** A page of a list that is looked through: what fits, and where to go on; null at the end. */
export interface ScannedPage<R> {
  readonly rows: readonly R[];
  readonly next: number | null;
}

const BATCH = 500;
/** A page looks at no more rows than this: it may hold few, or none, and still go on. */
const MOST_LOOKED_AT = 5_000;

/**
 * Looks through rows in the order of their ids for those that no index finds. `read` gives the rows after an id, in
 * whichever direction; from the beginning where there is none.
 */
export async function scanPage<R extends { readonly id: number }>(
  read: (after: number | undefined, limit: number) => Promise<readonly R[]>,
  fits: ((row: R) => boolean) | null,
  { from, limit }: { readonly from: number | undefined; readonly limit: number },
): Promise<ScannedPage<R>> {
  const batch = fits === null ? limit : Math.max(BATCH, limit);
  const rows: R[] = [];
  let looked = 0;
  for (let cursor = from; ; ) {
    const found = await read(cursor, batch);
    for (const row of found) {
      cursor = row.id;
      if (fits === null || fits(row)) rows.push(row);
      if (rows.length === limit) return { rows, next: cursor };
    }
    looked += found.length;
    if (found.length < batch) return { rows, next: null };
    if (looked >= MOST_LOOKED_AT) return { rows, next: cursor ?? null };
  }
}

type Column = readonly (number | null)[];

/** The newest value that there is. */
export const newest = (column: Column | undefined): number | null =>
  column?.findLast((value) => value !== null) ?? null;

/** How long a store's reads take now; null where it serves none, whatever they took when it did. */
export const servingLatency = (
  store: { readonly reads: Column; readonly readP99: Column } | undefined,
): number | null => ((newest(store?.reads) ?? 0) === 0 ? null : newest(store?.readP99));

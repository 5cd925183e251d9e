import { migrationRow } from './facts.ts';
import { type ScannedPage, scanPage } from './scan-page.ts';
import type { DivergenceRow, HistoryRow, Transaction } from './storage.ts';

export interface DivergenceQuery {
  /** The id of the last row that was seen. */
  readonly after?: number;
  readonly limit: number;
  readonly kind?: DivergenceRow['kind'];
  /** A path that differs, or one above it. */
  readonly field?: string;
  /** Part of the key's text. */
  readonly key?: string;
}

export interface DivergencePage extends ScannedPage<DivergenceRow> {
  /** How many there are of each kind, whatever was asked for. */
  readonly counts: Readonly<Record<DivergenceRow['kind'], number>>;
}

export interface HistoryQuery {
  readonly before?: number;
  readonly limit: number;
  readonly kinds?: readonly string[];
  /** From … until (exclusive), ms since 1970. */
  readonly since?: number;
  readonly until?: number;
  /** Part of the actor, the reason or the summary, whatever its case. */
  readonly search?: string;
}

/** Records that differ, by when they were first seen. */
export async function divergencePage(
  tx: Transaction,
  migration: string,
  query: DivergenceQuery,
): Promise<DivergencePage> {
  await migrationRow(tx, migration);
  const { after, limit, kind, field, key } = query;
  const where = { migration, ...(kind === undefined ? {} : { kind }) };
  const below = (path: string): boolean =>
    path === field || path.startsWith(`${field}.`) || path.startsWith(`${field}[`);
  const fits = (row: DivergenceRow): boolean =>
    (field === undefined || row.fields.some(({ path }) => below(path))) &&
    (key === undefined || row.keyId.includes(key));
  const page = await scanPage(
    (from, most) => tx.select('divergences', { ...where, id: { gt: from ?? 0 } }, { orderBy: 'id', limit: most }),
    field === undefined && key === undefined ? null : fits,
    { from: after, limit },
  );
  const count = (of: DivergenceRow['kind']) => tx.count('divergences', { migration, kind: of });
  const counts = {
    missing: await count('missing'),
    extra: await count('extra'),
    different: await count('different'),
    stale: await count('stale'),
  };
  return { ...page, counts };
}

/** Lines of history, newest first. */
export async function historyPage(
  tx: Transaction,
  migration: string,
  query: HistoryQuery,
): Promise<ScannedPage<HistoryRow>> {
  await migrationRow(tx, migration);
  const { before, limit, kinds, since, until, search } = query;
  const at = { ...(since === undefined ? {} : { gte: since }), ...(until === undefined ? {} : { lt: until }) };
  const where = {
    migration,
    ...(kinds === undefined ? {} : { kind: { in: kinds } }),
    ...(Object.keys(at).length === 0 ? {} : { at }),
  };
  const wanted = search?.toLowerCase();
  return scanPage(
    (from, most) =>
      tx.select('history', from === undefined ? where : { ...where, id: { lt: from } }, {
        orderBy: 'id',
        descending: true,
        limit: most,
      }),
    wanted === undefined
      ? null
      : ({ actor, reason, summary }) => `${actor}\n${reason}\n${summary}`.toLowerCase().includes(wanted),
    { from: before, limit },
  );
}

import type { HistoryRow } from '../control/storage.ts';
import type { RulesetDocument } from '../core/ruleset.ts';

/** One value of the ruleset that a line of history changed. */
export interface HistoryChange {
  /** `dials.cutover`, `settings.mirrorTimeoutMs`. */
  readonly path: string;
  readonly before: unknown;
  readonly after: unknown;
}

/** A line of the history as lists show it: what changed instead of the whole documents. */
export interface HistoryLine extends Omit<HistoryRow, 'before' | 'after' | 'cohortMoves'> {
  readonly changes: readonly HistoryChange[];
}

/** Where the documents are opened up; everything else is one value. */
const OPENED = new Set(['dials', 'settings', 'cohorts']);

export function changesBetween(
  before: RulesetDocument | null,
  after: RulesetDocument | null,
): readonly HistoryChange[] {
  if (before === null || after === null) return [];
  return differences('', before, after).filter(({ path }) => path !== 'revision');
}

function differences(prefix: string, before: object, after: object): HistoryChange[] {
  const was = new Map<string, unknown>(Object.entries(before));
  return Object.entries(after).flatMap(([name, now]): HistoryChange[] => {
    const then = was.get(name);
    if (JSON.stringify(then) === JSON.stringify(now)) return [];
    if (OPENED.has(name)) return differences(`${name}.`, then as object, now as object);
    return [{ path: `${prefix}${name}`, before: then ?? null, after: now }];
  });
}

export function historyLine({ before, after, cohortMoves: _, ...line }: HistoryRow): HistoryLine {
  return { ...line, changes: changesBetween(before, after) };
}

/** The audit export: one JSON document a line, newest first, with the whole rulesets before and after. */
export async function* historyExport(
  page: (before: number | undefined, limit: number) => Promise<readonly HistoryRow[]>,
): AsyncGenerator<string> {
  for (let before: number | undefined; ; ) {
    const rows = await page(before, EXPORT_PAGE);
    for (const { cohortMoves: _, ...row } of rows) {
      yield `${JSON.stringify({ ...row, at: new Date(row.at).toISOString(), changes: changesBetween(row.before, row.after) })}\n`;
    }
    before = rows.at(-1)?.id;
    if (rows.length < EXPORT_PAGE || before === undefined) return;
  }
}

const EXPORT_PAGE = 200;

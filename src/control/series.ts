import { describeDial } from '../core/dial.ts';
import type { RulesetDocument } from '../core/ruleset.ts';
import { migrationRow } from './facts.ts';
import { AUTOMATIC_ACTOR, COHORT_CHANGE } from './publish.ts';
import type { SampleReading, StoreSample } from './sample.ts';
import type { HistoryRow, Transaction } from './storage.ts';

/** How far a series goes back, and what a point of it stands for. */
export const SPANS = {
  '15m': { ms: 900_000, step: 5_000 },
  '1h': { ms: 3_600_000, step: 5_000 },
  '24h': { ms: 86_400_000, step: 60_000 },
} as const;
export type Span = keyof typeof SPANS;

/** One value a point; null where there is none. */
export type Points = readonly (number | null)[];
export type StoreSeries = { readonly [name in keyof StoreSample]: Points };

/** A change of the ruleset, to be drawn where it happened. */
export interface SeriesMark {
  readonly at: number;
  readonly revision: number;
  /** `cutover 10 % → 25 %` */
  readonly text: string;
  readonly actor: string;
  /** Nobody asked for it at that moment: changeover did it by itself. */
  readonly automatic: boolean;
}

/** What a fleet did over time: rates a second, latencies in ms, each with one value for every point of `at`. */
export interface Series {
  readonly migration: string;
  readonly from: number;
  readonly to: number;
  readonly stepMs: number;
  /** The ends of the slots, ms since 1970. */
  readonly at: readonly number[];
  readonly old: StoreSeries;
  readonly new: StoreSeries;
  readonly compared: Points;
  readonly divergent: Points;
  readonly mirrorQueue: Points;
  readonly dirty: Points;
  readonly divergences: Points;
  readonly fleet: { readonly nodes: Points; readonly acknowledged: Points; readonly memoryBytes: Points };
  readonly replay: { readonly scanned: Points; readonly estimate: Points; readonly rate: Points };
  readonly marks: readonly SeriesMark[];
}

const MOST_MARKS = 500;

export async function seriesOf(tx: Transaction, migration: string, span: Span, now: number): Promise<Series> {
  await migrationRow(tx, migration);
  const { ms, step } = SPANS[span];
  const to = Math.floor(now / step) * step;
  const from = to - ms;
  const rows = await tx.select('samples', { migration, step, slot: { gt: from, lte: to } }, { orderBy: 'slot' });
  const bySlot = new Map(rows.map(({ slot, reading }) => [slot, reading]));
  const at = Array.from({ length: ms / step }, (_, i) => from + (i + 1) * step);
  const points = (of: (reading: SampleReading) => number | null | undefined): Points =>
    at.map((slot) => {
      const reading = bySlot.get(slot);
      return reading === undefined ? null : (of(reading) ?? null);
    });
  const store = (side: 'old' | 'new'): StoreSeries => ({
    reads: points((reading) => reading[side].reads),
    writes: points((reading) => reading[side].writes),
    errors: points((reading) => reading[side].errors),
    readP50: points((reading) => reading[side].readP50),
    readP99: points((reading) => reading[side].readP99),
    writeP50: points((reading) => reading[side].writeP50),
    writeP99: points((reading) => reading[side].writeP99),
  });
  const changes = await tx.select(
    'history',
    { migration, at: { gte: from }, revision: { not: null } },
    { orderBy: 'id', descending: true, limit: MOST_MARKS },
  );
  return {
    migration,
    from,
    to,
    stepMs: step,
    at,
    old: store('old'),
    new: store('new'),
    compared: points(({ compared }) => compared),
    divergent: points(({ divergent }) => divergent),
    mirrorQueue: points(({ mirrorQueue }) => mirrorQueue),
    dirty: points(({ dirty }) => dirty),
    divergences: points(({ divergences }) => divergences),
    fleet: {
      nodes: points(({ nodes }) => nodes),
      acknowledged: points(({ acknowledged }) => acknowledged),
      memoryBytes: points(({ memoryBytes }) => memoryBytes),
    },
    replay: {
      scanned: points(({ replay }) => replay?.scanned),
      estimate: points(({ replay }) => replay?.estimate),
      rate: points(({ replay }) => replay?.rate),
    },
    marks: changes.flatMap(markOf).reverse(),
  };
}

/** What is drawn of a line of history: a dial that moved, or a unit; a handover's other steps are not. */
function markOf({ at, revision, actor, kind, summary, before, after }: HistoryRow): SeriesMark[] {
  if (revision === null || before === null || after === null) return [];
  const text = kind === COHORT_CHANGE ? summary : dialsMoved(before, after);
  return text === '' ? [] : [{ at, revision, text, actor, automatic: actor === AUTOMATIC_ACTOR }];
}

function dialsMoved({ dials: before }: RulesetDocument, { dials: after }: RulesetDocument): string {
  const moves = [
    ['dual-write', before.dualWrite, after.dualWrite],
    ['shadow-read', before.shadowRead, after.shadowRead],
    ['cutover', before.cutover, after.cutover],
  ] as const;
  const texts = moves
    .filter(([, was, is]) => was !== is)
    .map(([dial, was, is]) => `${dial} ${describeDial(was)} → ${describeDial(is)}`);
  if (before.retireOld !== after.retireOld) texts.push(`retire-old ${after.retireOld ? 'yes' : 'no'}`);
  return texts.join(', ');
}

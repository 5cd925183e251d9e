import { maxStamp, STAMP_MIN, stampMs } from '../../src/core/stamp.ts';
import type { Divergence, VerifyReport } from '../verify-report.ts';

/** How often something was met among the divergences that a verification listed. */
export interface ReportSummary {
  /** How many divergences the counts are of. */
  readonly listed: number;
  /** Most frequent first; null where the cause is not known. */
  readonly causes: readonly { readonly cause: string | null; readonly count: number }[];
  /** Field paths, `items[].price` for the price of any item; most frequent first. */
  readonly paths: readonly { readonly path: string; readonly count: number }[];
  /** How old the newer side of a divergent record is: below `belowMs`, or older than all of them where that is null. */
  readonly ages: readonly { readonly belowMs: number | null; readonly count: number }[];
  /** Without a stamp on either side, so of unknown age. */
  readonly unknownAge: number;
  /** When the newer sides were written, in spans of equal length; null where none has a stamp. */
  readonly written: WrittenSpans | null;
}

export interface WrittenSpans {
  /** ISO 8601. */
  readonly from: string;
  readonly to: string;
  readonly counts: readonly number[];
}

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const AGES: readonly number[] = [10 * SECOND, MINUTE, 10 * MINUTE, HOUR, DAY, 7 * DAY];
const MOST_PATHS = 50;
const SPANS = 48;

export function summaryOf({ divergences, finishedAt }: VerifyReport): ReportSummary {
  const finished = Date.parse(finishedAt);
  const written = divergences.map(writtenAt).filter((at) => at !== null);
  const ages = [...AGES, null].map((belowMs) => ({ belowMs, count: 0 }));
  for (const at of written) {
    const age = ages.find(({ belowMs }) => belowMs === null || finished - at < belowMs);
    if (age !== undefined) age.count += 1;
  }
  return {
    listed: divergences.length,
    causes: ranked(divergences.map(({ cause }) => cause)).map(([cause, count]) => ({ cause, count })),
    paths: ranked(divergences.flatMap(({ fields }) => [...new Set(fields.map(({ path }) => pathOf(path)))]))
      .slice(0, MOST_PATHS)
      .map(([path, count]) => ({ path, count })),
    ages,
    unknownAge: divergences.length - written.length,
    written: spansOf(written),
  };
}

/** What is counted, most frequent first; what is as frequent keeps its order. */
function ranked<T>(items: readonly T[]): readonly (readonly [T, number])[] {
  const counts = new Map<T, number>();
  for (const item of items) counts.set(item, (counts.get(item) ?? 0) + 1);
  return [...counts].sort(([, a], [, b]) => b - a);
}

/** An index says nothing about what goes wrong. */
const pathOf = (path: string): string => path.replace(/\[\d+\]/g, '[]');

function writtenAt({ stamps }: Divergence): number | null {
  const newest = maxStamp(stamps.old, stamps.new);
  return newest === null || newest === STAMP_MIN ? null : stampMs(newest);
}

function spansOf(times: readonly number[]): WrittenSpans | null {
  if (times.length === 0) return null;
  const from = times.reduce((least, at) => Math.min(least, at));
  const to = times.reduce((most, at) => Math.max(most, at));
  const counts = Array.from({ length: SPANS }, () => 0);
  for (const at of times) {
    const span = Math.min(SPANS - 1, Math.floor(((at - from) / Math.max(1, to - from)) * SPANS));
    counts[span] = (counts[span] as number) + 1;
  }
  return { from: isoTime(from), to: isoTime(to), counts };
}

/** Stamps reach further than dates do. */
const isoTime = (ms: number): string => new Date(Math.min(ms, 8.64e15)).toISOString();

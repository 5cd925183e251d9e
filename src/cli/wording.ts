import { clip, printable } from '../../verify/reports/report-words.ts';
import type { ReplayRow } from '../control/replay-row.ts';
import type { DialValue } from '../core/dial.ts';
import type { KeyJson } from '../core/key-json.ts';
import type { Side } from '../core/stage.ts';

export { printable };

/** `12,345`. */
export const count = (value: number): string => Math.round(value).toLocaleString('en-US');

/** `1 process`, `2 processes`. */
export const plural = (value: number, one: string, many = `${one}s`): string =>
  `${count(value)} ${value === 1 ? one : many}`;

/** A dial's value for people: `25 %`, `canary`, `all`. */
export const percent = (value: DialValue): string => (typeof value === 'number' ? `${value} %` : value);

/** A share of the line, never rounded to a whole that it is not. */
export function share(value: number): string {
  const rounded = value > 99.99 && value < 100 ? 99.99 : value < 0.01 && value > 0 ? 0.01 : value;
  return `${Number(rounded.toFixed(2))} %`;
}

/** `41 ms`, `3.2 s`, `12 min`, `5 h`, `3 days`. */
export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))} ms`;
  const seconds = ms / 1_000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)} h` : `${Math.round(seconds / 86_400)} days`;
}

/** `2 h ago`. */
export const ago = (at: number, now: number = Date.now()): string =>
  now - at < 1_000 ? 'just now' : `${duration(now - at)} ago`;

/** What JSON has no type for; what names no record is its canonical text. */
const typed = ({ type, text }: { readonly type: string; readonly text: string }): string =>
  type === 'other' ? text : `${type} ${text}`;

/** A key for people: `userKey="ada", id=7`. */
export const keyText = (key: KeyJson): string =>
  Object.entries(key)
    .map(([field, part]) => `${field}=${typeof part === 'object' ? typed(part) : JSON.stringify(part)}`)
    .map((part) => printable(clip(part)))
    .join(', ');

/** Rows under their headings, columns as wide as they need to be; numbers to the right. */
export function table(
  headings: readonly string[],
  rows: readonly (readonly string[])[],
  right: readonly number[] = [],
): string {
  const widths = headings.map((heading, i) => Math.max(heading.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => (right.includes(i) ? cell.padStart(widths[i] as number) : cell.padEnd(widths[i] as number)))
      .join('  ')
      .trimEnd();
  return [line(headings), ...rows.map(line)].join('\n');
}

/** The command that goes on with a replay that is under way. */
export function replayCommand(migration: string, kind: ReplayRow['kind'], target: Side | undefined): string {
  if (kind === 'preload') return `changeover backfill ${migration} --preload`;
  return `changeover ${kind} ${migration}${kind === 'backfill' && target === 'old' ? ' --to old' : ''}`;
}

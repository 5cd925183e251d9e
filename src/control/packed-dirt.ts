import { setImmediate } from 'node:timers/promises';
import type { DirtReport, NodeReport } from '../core/control-client.ts';

/** Lines of a text: so many take a few hundredths of a millisecond. */
const SLICE = 32;

/** Lines that follow each other and have all but position and key in common; those by turns. */
interface Run {
  readonly head: Omit<DirtReport, 'position' | 'key'>;
  readonly lines: (DirtReport['position'] | DirtReport['key'])[];
}

/** A report whose dirt is a few texts. */
export type PackedReport = Omit<NodeReport, 'dirt'> & { readonly dirt: readonly string[] };

/**
 * The same report with its dirt as texts. While a follower is away that is a line a write, and callers would wait while
 * this thread clones hundreds of them, field by field, for another one; so it does a few, and looks after the callers.
 */
export async function packReport(report: NodeReport): Promise<PackedReport> {
  const dirt: string[] = [];
  for (let at = 0; at < report.dirt.length; at += SLICE) {
    await setImmediate();
    dirt.push(JSON.stringify(runsOf(report.dirt, at, Math.min(at + SLICE, report.dirt.length))));
  }
  if (dirt.length > 0) await setImmediate();
  return { ...report, dirt };
}

/** What {@link packReport} was given. */
export function unpackReport(report: PackedReport): NodeReport {
  const dirt: DirtReport[] = [];
  for (const { head, lines } of report.dirt.flatMap((text) => JSON.parse(text) as readonly Run[])) {
    for (let i = 0; i < lines.length; i += 2) {
      dirt.push({ ...head, position: lines[i] as DirtReport['position'], key: lines[i + 1] as DirtReport['key'] });
    }
  }
  return { ...report, dirt };
}

function runsOf(dirt: readonly DirtReport[], from: number, to: number): readonly Run[] {
  const runs: Run[] = [];
  let [run, first]: [Run | undefined, DirtReport | undefined] = [undefined, undefined];
  for (let i = from; i < to; i += 1) {
    const line = dirt[i] as DirtReport;
    if (run === undefined || first === undefined || !isSame(first, line)) {
      const { position: _, key: __, ...head } = line;
      [run, first] = [{ head, lines: [] }, line];
      runs.push(run);
    }
    run.lines.push(line.position, line.key);
  }
  return runs;
}

const isSame = (one: DirtReport, other: DirtReport): boolean =>
  one.migration === other.migration &&
  one.target === other.target &&
  one.kind === other.kind &&
  one.revision === other.revision &&
  one.cause === other.cause &&
  one.notBefore === other.notBefore;

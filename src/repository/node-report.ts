import type { DirtReport, DivergenceReport, NodeHealth, NodeReport, ShadowCounts } from '../core/control-client.ts';
import type { Traffic } from '../core/traffic.ts';
import type { MigrationSession, Taken } from './migration-session.ts';

/** A report carries at most this much dirt and this many divergences; the rest goes with the next one. */
const REPORT_BATCH = 2_000;

type OfMigrations = 'mirrorQueue' | 'mirrorQueues' | 'shed';

/** What a process itself says of itself. */
export interface OwnPart extends Pick<NodeReport, 'incarnation' | 'session' | 'deadlineLimit' | 'stampLimit'> {
  readonly health: Omit<NodeHealth, OfMigrations>;
}

export interface ComposedReport {
  readonly report: NodeReport;
  /** What the report hands over; each is to be told whether it arrived. */
  readonly taken: readonly Taken[];
  /** There was too much for one report. */
  readonly left: boolean;
}

/** Takes from the migrations of a process what they have to report, and puts it beside what the process says. */
export function composeReport(
  migrations: ReadonlyMap<string, MigrationSession>,
  { health, ...own }: OwnPart,
): ComposedReport {
  const acknowledged: Record<string, number> = {};
  const dirt: DirtReport[] = [];
  const divergences: DivergenceReport[] = [];
  const shadow: ShadowCounts[] = [];
  const taken: Taken[] = [];
  const traffic: Record<string, Traffic> = {};
  const mirrorQueues: Record<string, number> = {};
  let mirrorQueue = 0;
  let shed = 0;
  let left = false;
  for (const [name, migration] of migrations) {
    // Acknowledgement first, dirt after it in the same turn: the dirt covers all that the acknowledgement claims,
    // unless there is too much of it for one report.
    const revision = migration.acknowledgeable();
    const share = migration.take(REPORT_BATCH);
    taken.push(share);
    dirt.push(...share.dirt);
    divergences.push(...share.divergences);
    if (share.shadow.compared > 0) shadow.push(share.shadow);
    if (migration.hasDirt()) left = true;
    else acknowledged[name] = revision;
    mirrorQueue += migration.mirrorPending;
    if (migration.mirrorPending > 0) mirrorQueues[name] = migration.mirrorPending;
    const calls = migration.traffic.read();
    if (calls !== null) traffic[name] = calls;
    shed += migration.shed;
  }
  const report = { ...own, acknowledged, dirt, divergences, shadow, traffic };
  return { report: { ...report, health: { ...health, mirrorQueue, mirrorQueues, shed } }, taken, left };
}

import type { Clock } from '../core/clock.ts';
import type {
  Change,
  DivergenceReport,
  Joined,
  JoinRequest,
  NodeReport,
  Receipt,
  WatchOptions,
} from '../core/control-client.ts';
import { GatesRefused, type GateVerdict, InvalidArgument, NotFound } from '../core/errors.ts';
import type { Intervals } from '../core/intervals.ts';
import type { RampCheck } from '../core/ramp.ts';
import type { Cohort, RulesetDocument } from '../core/ruleset.ts';
import type { Settings } from '../core/settings.ts';
import type { Side } from '../core/stage.ts';
import type { Traffic } from '../core/traffic.ts';
import * as acceptances from './acceptances.ts';
import * as dirt from './dirt.ts';
import { behind, type FleetMember, fleetOf, membersBehind, migrationRow, stepFactsOf } from './facts.ts';
import * as finish from './finish.ts';
import * as fleetDesk from './fleet-desk.ts';
import { fleetGate } from './fleet-gates.ts';
import * as handovers from './handovers.ts';
import * as jobDesk from './job-desk.ts';
import * as lists from './lists.ts';
import * as moves from './moves.ts';
import * as notices from './notices.ts';
import * as outlook from './outlook.ts';
import * as preloads from './preloads.ts';
import * as proofs from './proofs.ts';
import { type Authorship, carried, remember } from './publish.ts';
import type { RampRow } from './ramp-row.ts';
import * as ramps from './ramps.ts';
import * as replayEnd from './replay-end.ts';
import * as leases from './replay-leases.ts';
import type { ReplayPartitionRow, ReplayRow } from './replay-row.ts';
import * as replays from './replays.ts';
import * as sampling from './sampling.ts';
import type { ScannedPage } from './scan-page.ts';
import { type Series, type Span, seriesOf } from './series.ts';
import { type MigrationStatus, statusesOf, statusOf } from './status.ts';
import type {
  AcceptanceRow,
  CensusRow,
  ControlStorage,
  DirtRow,
  DivergenceRow,
  HistoryRow,
  JobRow,
  NodeRow,
  ProofRow,
  TokenRow,
  VerificationRow,
} from './storage.ts';
import * as tokens from './tokens.ts';
import { trafficOf } from './traffic-desk.ts';
import * as verificationReports from './verification-reports.ts';

export interface FleetRow {
  readonly node: NodeRow;
  readonly acknowledged: Readonly<Record<string, number>>;
}

/**
 * The control plane: every method is one serializable transaction over durable rows, so that any number of processes may
 * call any of them at any time. What takes several steps is the controller's, which can die between any two.
 */
export class ControlPlane {
  readonly #storage: ControlStorage;
  readonly #clock: Clock;

  constructor(storage: ControlStorage, clock: Clock) {
    this.#storage = storage;
    this.#clock = clock;
  }

  // --- the fleet's side: ControlClient -----------------------------------------------------------

  join(request: JoinRequest): Promise<Joined> {
    return this.#storage.transaction((tx) => fleetDesk.join(tx, request, this.#clock.now()));
  }

  async report(report: NodeReport): Promise<Receipt> {
    if (fleetDesk.isPlain(report)) {
      const receipt = await this.#storage.transactionAtOnce((tx) =>
        fleetDesk.reportAtOnce(tx, report, this.#clock.now()),
      );
      if (receipt !== null) return receipt;
    }
    return this.#storage.transaction((tx) => fleetDesk.report(tx, report, this.#clock.now()));
  }

  leave(report: NodeReport): Promise<void> {
    return this.#storage.transaction((tx) => fleetDesk.leave(tx, report, this.#clock.now()));
  }

  rulesets(migrations: readonly string[]): Promise<readonly RulesetDocument[]> {
    return this.#storage.readAtOnce(async (tx) => {
      const rows = await tx.select('migrations', { name: { in: migrations } });
      return rows.map((row) => row.document);
    });
  }

  // --- looking -----------------------------------------------------------------------------------

  /** Creates a migration with everything off, if it is not there. */
  ensureMigration(name: string): Promise<RulesetDocument> {
    return this.#storage.transaction((tx) => fleetDesk.ensureMigration(tx, name, this.#clock.now()));
  }

  /** @throws UnknownMigration */
  async ruleset(name: string): Promise<RulesetDocument> {
    const [row] = await this.#storage.readAtOnce((tx) => tx.select('migrations', { name }));
    return row?.document ?? this.#storage.read(async (tx) => (await migrationRow(tx, name)).document);
  }

  /**
   * The processes that have not acknowledged a revision. Who was asked about it before gives whom it named then: nobody
   * can have joined those since, because the revision is published.
   */
  behind(name: string, revision: number, among: readonly number[] | null = null): Promise<readonly FleetMember[]> {
    if (among !== null) return this.#storage.readAtOnce((tx) => membersBehind(tx, name, revision, among));
    return this.#storage.read(async (tx) => behind(await fleetOf(tx, name), revision));
  }

  status(name: string): Promise<MigrationStatus> {
    return this.#storage.read((tx) => statusOf(tx, name, this.#clock.now()));
  }

  /** The status of every migration, at one moment. */
  statuses(): Promise<readonly MigrationStatus[]> {
    return this.#storage.read(async (tx) => statusesOf(tx, await tx.select('migrations', {}), this.#clock.now()));
  }

  migrations(): Promise<readonly string[]> {
    return this.#storage.read(async (tx) => (await tx.select('migrations', {})).map((row) => row.name));
  }

  fleet(state: NodeRow['state'] | null): Promise<readonly FleetRow[]> {
    return this.#storage.read(async (tx) => {
      const nodes = await tx.select('nodes', state === null ? {} : { state });
      const lines = await tx.select('acknowledgements', { node: { in: nodes.map((node) => node.id) } });
      const byNode = Map.groupBy(lines, (line) => line.node);
      return nodes.map((node) => ({
        node,
        acknowledged: Object.fromEntries(
          (byNode.get(node.id) ?? []).map(({ migration, revision }) => [migration, revision]),
        ),
      }));
    });
  }

  /** Newest first. */
  history(name: string, page: { readonly before?: number; readonly limit: number }): Promise<readonly HistoryRow[]> {
    return this.#storage.read(async (tx) => {
      await migrationRow(tx, name);
      const { before, limit } = page;
      return tx.select(
        'history',
        before === undefined ? { migration: name } : { migration: name, id: { lt: before } },
        {
          orderBy: 'id',
          descending: true,
          limit,
        },
      );
    });
  }

  /** Oldest first. */
  dirt(
    name: string,
    target: Side | null,
    limit: number,
    after = 0,
    kind: DirtRow['kind'] | null = null,
  ): Promise<readonly DirtRow[]> {
    const where = {
      ...{ migration: name, id: { gt: after } },
      ...(target === null ? {} : { target }),
      ...(kind === null ? {} : { kind }),
    };
    return this.#storage.read((tx) => tx.select('dirt', where, { orderBy: 'id', limit }));
  }

  /** Newest first. */
  verifications(
    name: string,
    page: { readonly before?: number; readonly limit: number },
  ): Promise<readonly verificationReports.VerificationLine[]> {
    return this.#storage.read((tx) => verificationReports.verificationLines(tx, name, page));
  }

  /** What a verification found, masked: a `ReportDocument`. @throws NotFound when it is not kept any more */
  verificationReport(name: string, verification: number): Promise<unknown> {
    return this.#storage.read((tx) => verificationReports.verificationReport(tx, name, verification));
  }

  divergences(name: string, after: number, limit: number): Promise<readonly DivergenceRow[]> {
    return this.#storage.read((tx) =>
      tx.select('divergences', { migration: name, id: { gt: after } }, { orderBy: 'id', limit }),
    );
  }

  /** Where everything stands on the line. */
  line(name: string): Promise<outlook.LineView> {
    return this.#storage.read((tx) => outlook.lineOf(tx, name));
  }

  /** Who has acknowledged a revision, or the present one, and who is waited for. */
  acknowledgements(name: string, revision: number | null): Promise<outlook.AcknowledgementView> {
    return this.#storage.read((tx) => outlook.acknowledgementsOf(tx, name, revision));
  }

  /** What an emergency roll-back would leave behind; changes nothing. @throws Busy where there is nothing to roll back */
  emergencyOutlook(name: string): Promise<outlook.EmergencyOutlook> {
    return this.#storage.read((tx) => outlook.emergencyOutlook(tx, name, this.#clock.now()));
  }

  /** How much of the units and of the traffic some positions are. */
  moveShare(name: string, positions: Intervals): Promise<outlook.MoveShare> {
    return this.#storage.read((tx) => outlook.moveShare(tx, name, positions, this.#clock.now()));
  }

  divergencePage(name: string, query: lists.DivergenceQuery): Promise<lists.DivergencePage> {
    return this.#storage.read((tx) => lists.divergencePage(tx, name, query));
  }

  /** Newest first, of those that are asked for. */
  historyPage(name: string, query: lists.HistoryQuery): Promise<ScannedPage<HistoryRow>> {
    return this.#storage.read((tx) => lists.historyPage(tx, name, query));
  }

  /** Notes that somebody was shown what is masked elsewhere. @throws NotFound */
  noteReveal(name: string, divergence: number, authorship: Authorship): Promise<DivergenceRow> {
    return this.#transaction(authorship, async (tx, now) => {
      const [row] = await tx.select('divergences', { migration: name, id: divergence });
      if (row === undefined) throw new NotFound(`${name} has no divergence ${divergence}`, { remedy: 'look again' });
      const summary = `the values of a divergent record (${divergence}) are shown unmasked`;
      await remember(tx, name, { ...authorship, kind: 'reveal', summary }, now);
      return row;
    });
  }

  /** All calls of the stores by the fleet, those who left included: the difference of two readings is what came between. */
  traffic(name: string): Promise<Traffic> {
    return this.#storage.read(async (tx) => {
      await migrationRow(tx, name);
      return trafficOf(tx, name);
    });
  }

  series(name: string, span: Span): Promise<Series> {
    return this.#storage.read((tx) => seriesOf(tx, name, span, this.#clock.now()));
  }

  /**
   * Samples the whole fleet, unless somebody has done so in the same slot of time. Read first and written then, so that
   * no heartbeat waits for the reading. @returns whether it was this call
   */
  async sample(): Promise<boolean> {
    const now = this.#clock.now();
    if (!(await this.#storage.read((tx) => sampling.samplesDue(tx, now)))) return false;
    const observation = await this.#storage.read((tx) => sampling.observe(tx, now));
    return this.#storage.transaction((tx) => sampling.keepSamples(tx, observation));
  }

  // --- notices -----------------------------------------------------------------------------------

  openNotices(hold: notices.NoticeHold): Promise<readonly notices.Notice[]> {
    return this.#storage.read((tx) => notices.openNotices(tx, hold, this.#clock.now()));
  }

  takeNotices(hold: notices.NoticeHold, leaseMs: number): Promise<readonly notices.Notice[]> {
    return this.#storage.transaction((tx) => notices.takeNotices(tx, hold, leaseMs, this.#clock.now()));
  }

  settleNotice(hold: notices.NoticeHold, notice: notices.Notice): Promise<void> {
    return this.#storage.transaction((tx) => notices.settleNotice(tx, hold, notice));
  }

  // --- ramps -------------------------------------------------------------------------------------

  /** Newest first. */
  ramps(name: string, limit: number): Promise<readonly RampRow[]> {
    return this.#storage.read((tx) =>
      tx.select('ramps', { migration: name }, { orderBy: 'id', descending: true, limit }),
    );
  }

  startRamp(request: ramps.RampRequest): Promise<RampRow> {
    return this.#transaction(request, (tx, now) => ramps.startRamp(tx, request, now));
  }

  steerRamp(name: string, how: 'pause' | 'resume' | 'stop', authorship: Authorship): Promise<RampRow> {
    return this.#transaction(authorship, (tx, now) => ramps.steerRamp(tx, name, how, authorship, now));
  }

  idleRamps(runner: string, migrations: readonly string[]): Promise<readonly RampRow[]> {
    return this.#storage.read((tx) => ramps.idleRamps(tx, runner, migrations, this.#clock.now()));
  }

  holdRamp(hold: ramps.RampHold, leaseMs: number, progress: ramps.RampProgress): Promise<RampRow | null> {
    return this.#storage.transaction((tx) => ramps.holdRamp(tx, hold, leaseMs, progress, this.#clock.now()));
  }

  releaseRamp(hold: ramps.RampHold): Promise<void> {
    return this.#storage.transaction((tx) => ramps.releaseRamp(tx, hold));
  }

  turnBack(hold: ramps.RampHold, checks: readonly RampCheck[]): Promise<boolean> {
    return this.#storage.transaction((tx) => ramps.turnBack(tx, hold, checks, this.#clock.now()));
  }

  endRamp(hold: ramps.RampHold, state: 'done' | 'returned' | 'stopped', note: string): Promise<boolean> {
    return this.#storage.transaction((tx) => ramps.endRamp(tx, hold, state, note, this.#clock.now()));
  }

  // --- moving ------------------------------------------------------------------------------------

  /**
   * Moves a dial, or says what is missing: `stamping` must be brought on first, or a `handover` was begun that the
   * caller has to drive.
   * @throws GatesRefused (unless dryRun), RevisionConflict, MigrationFinished, UnknownMigration
   */
  async move(request: moves.MoveRequest): Promise<moves.MoveAnswer> {
    try {
      return await this.#transaction(request, (tx, now) => moves.move(tx, request, now));
    } catch (error) {
      // A ramp that waits for its gates would fill the history with it; it notes it in its own place.
      if (error instanceof GatesRefused && request.ramp === undefined) {
        // Where that fails, the refusal is still what the caller has to hear.
        await this.#transaction(request, (tx, now) => moves.rememberRefusal(tx, request, error, now)).catch(() => {});
      }
      throw error;
    }
  }

  /**
   * The next step of R16 towards stamping on: `off` → `starting` → `on`, each only when all have acknowledged the one
   * before. Null when it is on; otherwise who is waited for.
   */
  advanceStamping(name: string, authorship: Authorship): Promise<moves.StampingStep | null> {
    return this.#transaction(authorship, (tx, now) => moves.advanceStamping(tx, name, authorship, now));
  }

  /** @throws InvalidArgument names the setting and what it may be. */
  changeSettings(name: string, change: Partial<Settings>, authorship: Authorship): Promise<RulesetDocument> {
    return this.#transaction(authorship, (tx, now) => moves.changeSettings(tx, name, change, authorship, now));
  }

  /** Moves a unit into a cohort, or back to its bucket (null); begins a handover where its authority changes (R18). */
  changeCohort(name: string, unit: string, to: Cohort | null, authorship: Authorship): Promise<moves.CohortChange> {
    return this.#transaction(authorship, (tx, now) => moves.changeCohort(tx, name, unit, to, authorship, now));
  }

  stepHandover(name: string): Promise<handovers.HandoverProgress> {
    return this.#storage.transaction((tx) => handovers.stepHandover(tx, name, this.#clock.now()));
  }

  cancelHandover(name: string, authorship: Authorship): Promise<handovers.HandoverProgress> {
    return this.#transaction(authorship, (tx, now) => handovers.cancelHandover(tx, name, authorship, now));
  }

  beginEmergency(name: string, authorship: Authorship): Promise<RulesetDocument> {
    return this.#transaction(authorship, (tx, now) => handovers.beginEmergency(tx, name, authorship, now));
  }

  // --- the dead ----------------------------------------------------------------------------------

  burialFacts(incarnation: number): Promise<fleetDesk.BurialFacts> {
    return this.#storage.read((tx) => fleetDesk.burialFacts(tx, incarnation));
  }

  /**
   * Takes somebody's word that a silent process has ended, where nobody can look: its container or machine is gone. If it
   * has not, what it writes from then on is lost. @throws InvalidArgument where there is none, or where it was just heard
   */
  declareEnded(name: string, incarnation: number, authorship: Authorship): Promise<void> {
    return this.#transaction(authorship, (tx, now) => fleetDesk.declareEnded(tx, name, incarnation, authorship, now));
  }

  bury(burial: fleetDesk.Burial): Promise<boolean> {
    return this.#transaction(burial, (tx, now) => fleetDesk.bury(tx, burial, now));
  }

  // --- replays and verification ------------------------------------------------------------------

  beginReplay(request: replays.ReplayRequest): Promise<replays.ReplayWork> {
    return this.#transaction(request, (tx, now) => replays.beginReplay(tx, request, now));
  }

  beginPreload(request: preloads.PreloadRequest): Promise<preloads.PreloadAnswer> {
    return this.#transaction(request, (tx, now) => preloads.beginPreload(tx, request, now));
  }

  settlePreload(replay: number, runner: string, before: number, looseUntil: number): Promise<boolean> {
    return this.#storage.transaction((tx) => preloads.settlePreload(tx, replay, runner, before, looseUntil));
  }

  runningReplay(name: string, kind: ReplayRow['kind'], target: Side): Promise<ReplayRow | null> {
    return this.#storage.read((tx) => replays.runningReplay(tx, name, kind, target));
  }

  replayPartitions(replay: number): Promise<readonly ReplayPartitionRow[]> {
    return this.#storage.read((tx) => tx.select('replay_partitions', { replay }));
  }

  checkpoint(
    replay: number,
    runner: string,
    leaseMs: number,
    deadlineLimit: number,
    points: readonly replays.Checkpoint[],
  ): Promise<replays.CheckpointReceipt> {
    return this.#storage.transaction((tx) =>
      replays.checkpoint(tx, replay, runner, leaseMs, deadlineLimit, points, this.#clock.now()),
    );
  }

  /** A replay and its partitions at one moment; null where there is none. */
  replayWork(replay: number): Promise<{
    readonly replay: ReplayRow;
    readonly partitions: readonly ReplayPartitionRow[];
    /** The control plane's time, which leases are told by. */
    readonly now: number;
  } | null> {
    return this.#storage.read(async (tx) => {
      const [row] = await tx.select('replays', { id: replay });
      if (row === undefined) return null;
      return {
        replay: row,
        partitions: await tx.select('replay_partitions', { replay }),
        now: this.#clock.now(),
      };
    });
  }

  /** The shared replays of some migrations that are under way, with what is not done of them. */
  openReplays(migrations: readonly string[]): Promise<{
    readonly open: readonly leases.OpenReplay[];
    readonly now: number;
  }> {
    return this.#storage.read(async (tx) => ({
      open: await leases.openReplays(tx, migrations),
      now: this.#clock.now(),
    }));
  }

  takePartition(request: leases.PartitionRequest): Promise<leases.PartitionLease | null> {
    return this.#storage.transaction((tx) => leases.takePartition(tx, request, this.#clock.now()));
  }

  checkpointPartition(request: leases.PartitionCheckpoint): Promise<leases.PartitionReceipt | null> {
    return this.#storage.transaction((tx) => leases.checkpointPartition(tx, request, this.#clock.now()));
  }

  releasePartition(lease: leases.LeaseName, failure: string | null): Promise<boolean> {
    return this.#storage.transaction((tx) => leases.releasePartition(tx, lease, failure, this.#clock.now()));
  }

  freePartition(lease: Omit<leases.LeaseName, 'runner'>): Promise<boolean> {
    return this.#storage.transaction((tx) => leases.freePartition(tx, lease, this.#clock.now()));
  }

  promiseDeadline(name: string, target: Side, limit: number): Promise<void> {
    return this.#storage.transaction((tx) => replays.promiseDeadline(tx, name, target, limit, this.#clock.now()));
  }

  releaseReplay(replay: number, runner: string): Promise<void> {
    return this.#storage.transaction((tx) => replays.releaseReplay(tx, replay, runner));
  }

  endReplay(replay: number, runner: string): Promise<{ readonly covered: Intervals; readonly cleared: number }> {
    return this.#storage.transaction((tx) => replayEnd.endReplay(tx, replay, runner, this.#clock.now()));
  }

  cancelReplay(name: string, kind: ReplayRow['kind'], target: Side, authorship: Authorship): Promise<boolean> {
    return this.#transaction(authorship, (tx, now) => replays.cancelReplay(tx, name, kind, target, authorship, now));
  }

  /** Holds a replay, whoever runs it, or lets it go on: its runners see it within a second. Null where there is none. */
  pauseReplay(
    name: string,
    kind: ReplayRow['kind'],
    target: Side,
    paused: boolean,
    authorship: Authorship,
  ): Promise<{ readonly changed: boolean } | null> {
    return this.#transaction(authorship, (tx, now) =>
      replays.pauseReplay(tx, name, kind, target, paused, authorship, now),
    );
  }

  dirtOf(
    name: string,
    target: Side,
    upTo: number | null,
    after: number,
    limit: number,
    within: Intervals | null = null,
  ): Promise<readonly DirtRow[]> {
    return this.#storage.read((tx) => dirt.dirtOf(tx, name, target, upTo, after, limit, within));
  }

  clearDirt(name: string, ids: readonly number[]): Promise<number> {
    return this.#storage.transaction((tx) => dirt.clearDirt(tx, name, ids));
  }

  /** Records that a target refuses a key which a replay brought (R19). */
  addRejected(
    name: string,
    target: Side,
    position: number,
    line: Pick<DirtRow, 'key' | 'cause' | 'revision'>,
  ): Promise<void> {
    return this.#storage.transaction(async (tx) => {
      await migrationRow(tx, name);
      const positions = await carried(tx, name, [[position, position + 1]], line.revision);
      await fleetDesk.addDirt(tx, name, target, positions, {
        ...line,
        kind: 'rejected',
        keyId: fleetDesk.keyIdOf(line.key),
        at: this.#clock.now(),
        notBefore: null,
      });
    });
  }

  /** Remembers records that a verification found divergent, for the gates and for repair. */
  recordDivergences(name: string, lines: readonly DivergenceReport[]): Promise<void> {
    return this.#storage.transaction(async (tx) => {
      await migrationRow(tx, name);
      await fleetDesk.upsertDivergences(
        tx,
        lines.map((line) => ({ ...line, migration: name })),
      );
    });
  }

  /** Forgets divergences that were looked at again and are gone, and the comparisons that may have met them. */
  clearDivergences(name: string, ids: readonly number[]): Promise<number> {
    return this.#storage.transaction(async (tx) => {
      const gone = await tx.remove('divergences', { migration: name, id: { in: ids } });
      if (gone > 0) await replayEnd.forgetComparisons(tx, name, this.#clock.now());
      return gone;
    });
  }

  /** `document` is what people see of it later; only the newest are kept. */
  recordVerification(row: VerificationRow, authorship: Authorship, document?: unknown): Promise<number> {
    return this.#transaction(authorship, async (tx, now) => {
      await migrationRow(tx, row.migration);
      return verificationReports.recordVerification(tx, row, document, authorship, now);
    });
  }

  /** Null: it is yours now. */
  holdProof(request: proofs.ProofRequest): Promise<ProofRow | null> {
    return this.#storage.transaction((tx) => proofs.holdProof(tx, request, this.#clock.now()));
  }

  releaseProof(name: string, runner: string): Promise<void> {
    return this.#storage.transaction((tx) => proofs.releaseProof(tx, name, runner));
  }

  // --- preflight -----------------------------------------------------------------------------------

  recordCensus(row: CensusRow, authorship: Authorship): Promise<number> {
    return this.#transaction(authorship, (tx, now) => acceptances.recordCensus(tx, row, authorship, now));
  }

  /** The censuses that count, newest first. */
  censuses(name: string): Promise<readonly CensusRow[]> {
    return this.#storage.read((tx) =>
      tx.select('censuses', { migration: name }, { orderBy: 'id', descending: true, limit: 100 }),
    );
  }

  /** Makes or takes back an acceptance; null where there was nothing to take back. */
  accept(request: acceptances.AcceptRequest): Promise<AcceptanceRow | null> {
    return this.#transaction(request, (tx, now) => acceptances.accept(tx, request, now));
  }

  acceptances(name: string): Promise<readonly AcceptanceRow[]> {
    return this.#storage.read((tx) => tx.select('acceptances', { migration: name }));
  }

  /** The control plane's time, after it has shown that it can be written to. @throws ControlUnavailable */
  writable(): Promise<number> {
    return this.#storage.transaction(async (tx) => {
      // Nobody sees the row. A transaction that changes nothing writes nothing, on a full disk too.
      const nobody = { hook: '', migration: '' };
      const row = { upTo: 0, divergences: 0, stuck: [], runner: null, leaseUntil: 0 };
      const id = await tx.insert('notices', { id: 0, ...nobody, ...row });
      await tx.remove('notices', { id });
      return this.#clock.now();
    });
  }

  // --- the end -----------------------------------------------------------------------------------

  /**
   * The next step of R13 and R16 back: stamping `starting`, then `off` with the migration finished; each after all have
   * acknowledged the one before. The controller waits for deadlines between them and cleans the stores afterwards:
   * `settled` is the revision of `starting` for which the caller itself has done so, after all had acknowledged it. One
   * that goes on where another one stopped has not.
   * @throws InvalidArgument when the dials stand neither at retire-old nor at off; MigrationFinished once all is cleaned
   */
  advanceFinish(name: string, authorship: Authorship, settled: number | null = null): Promise<finish.FinishStep> {
    return this.#transaction(authorship, (tx, now) => finish.advanceFinish(tx, name, authorship, settled, now));
  }

  /** Both stores of a finished migration have nothing of it any more: from then on it has nothing to do with them. */
  recordCleaned(name: string, authorship: Authorship): Promise<void> {
    return this.#transaction(authorship, (tx, now) => finish.recordCleaned(tx, name, authorship, now));
  }

  // --- the servers' jobs -------------------------------------------------------------------------

  beginJob(row: JobRow): Promise<void> {
    return this.#storage.transaction((tx) => jobDesk.beginJob(tx, row, this.#clock.now()));
  }

  /** Says that a server lives and how far its jobs are. @returns those that somebody wants to be stopped */
  keepJobs(server: string, leaseMs: number, progress: Readonly<Record<string, unknown>>): Promise<readonly string[]> {
    return this.#storage.transaction((tx) => jobDesk.keepJobs(tx, server, leaseMs, progress, this.#clock.now()));
  }

  endJob(id: string, end: Parameters<typeof jobDesk.endJob>[2]): Promise<void> {
    return this.#storage.transaction((tx) => jobDesk.endJob(tx, id, end));
  }

  /** Newest first. */
  jobs(migrations: readonly string[] | null, limit: number): Promise<readonly jobDesk.JobView[]> {
    return this.#storage.read((tx) => jobDesk.jobs(tx, migrations, limit, this.#clock.now()));
  }

  job(id: string): Promise<jobDesk.JobView | null> {
    return this.#storage.read((tx) => jobDesk.job(tx, id, this.#clock.now()));
  }

  /** Asks whichever server runs it to stop it. @returns whether one does */
  cancelJob(id: string): Promise<boolean> {
    return this.#storage.transaction((tx) => jobDesk.cancelJob(tx, id, this.#clock.now()));
  }

  // --- who gets in at the server -----------------------------------------------------------------

  createToken(token: tokens.NewToken): Promise<tokens.TokenInfo> {
    return this.#storage.transaction((tx) => tokens.createToken(tx, token, this.#clock.now()));
  }

  createSession(parent: number, hash: string, lifeMs: number): Promise<tokens.TokenInfo> {
    return this.#storage.transaction((tx) => tokens.createSession(tx, parent, hash, lifeMs, this.#clock.now()));
  }

  createPersonSession(person: Omit<tokens.NewToken, 'expiresAt'>, lifeMs: number): Promise<tokens.TokenInfo> {
    return this.#storage.transaction((tx) => tokens.createPersonSession(tx, person, lifeMs, this.#clock.now()));
  }

  tokenRow(id: number): Promise<TokenRow | null> {
    return this.#storage.read((tx) => tokens.tokenRow(tx, id));
  }

  tokens(): Promise<readonly tokens.TokenInfo[]> {
    return this.#storage.read((tx) => tokens.tokens(tx));
  }

  revokeToken(id: number): Promise<tokens.TokenInfo | null> {
    return this.#storage.transaction((tx) => tokens.revokeToken(tx, id, this.#clock.now()));
  }

  /** Notes that a token was used. */
  touchToken(id: number, from: string): Promise<number> {
    return this.#storage.transaction((tx) =>
      tx.update('tokens', { id }, { usedAt: this.#clock.now(), usedFrom: from }),
    );
  }

  migrationsOf(what: { readonly incarnation: number } | { readonly replay: number }): Promise<readonly string[]> {
    return this.#storage.read((tx) => tokens.migrationsOf(tx, what));
  }

  fleetGate(name: string, revision: number): Promise<GateVerdict> {
    return this.#storage.read(async (tx) =>
      fleetGate(await stepFactsOf(tx, name, this.#clock.now()), revision, `revision ${revision}`),
    );
  }

  #transaction<T>(
    authorship: Authorship,
    body: (tx: Parameters<Parameters<ControlStorage['transaction']>[0]>[0], now: number) => Promise<T>,
  ): Promise<T> {
    if (typeof authorship.reason !== 'string' || authorship.reason.trim() === '') {
      return Promise.reject(
        new InvalidArgument('a change needs its reason', { expected: '--reason "…", which goes into the history' }),
      );
    }
    return this.#storage.transaction((tx) => body(tx, this.#clock.now()));
  }
}

/** The control plane as controllers and processes call it, in this thread, in a worker or over HTTP. */
export type ControlPlaneApi = Pick<ControlPlane, keyof ControlPlane> & {
  /** Calls `changed` soon after any change, by anyone, until the returned function is called. */
  watch(changed: (change?: Change) => void, options?: WatchOptions): () => void;
  close(): Promise<void>;
};

/** A control plane in this very thread, over any storage. */
export function localControlPlane(storage: ControlStorage, clock: Clock): ControlPlaneApi {
  return Object.assign(new ControlPlane(storage, clock), {
    watch: (changed: (change?: Change) => void, options?: WatchOptions) => storage.watch(changed, options),
    close: () => storage.close(),
  });
}

import type { VerifyReport } from '../../verify/verify-report.ts';
import { between, NOBODY, type Threshold } from '../core/dial.ts';
import { ChangeoverError, type GateVerdict, Interrupted } from '../core/errors.ts';
import type { Intervals } from '../core/intervals.ts';
import type { Cohort, RulesetDocument } from '../core/ruleset.ts';
import { type DialMove, type Dials, planStage, type Side, type Stage } from '../core/stage.ts';
import type { Inspection } from '../core/store.ts';
import { Backfill, type BackfillOptions, type ReplaySummary } from './backfill.ts';
import { ChangeSignal, stillBehind, untilAcknowledged } from './change-signal.ts';
import { type ControllerParts, connected } from './controller-parts.ts';
import {
  ACKNOWLEDGE_BUDGET_MS,
  fleetTimeout,
  HANDOVER_BUDGET_MS,
  handoverStuck,
  handoverUndone,
} from './handover-limits.ts';
import { cohortIn, newLeader } from './handovers.ts';
import type { MoveAnswer } from './moves.ts';
import {
  type AcceptOptions,
  type AcceptResult,
  acceptByName,
  type CensusRequest,
  type CensusResult,
  censusOf,
  evidenceFor,
  inspectStores,
} from './preflight.ts';
import { Preload, type PreloadOptions, type PreloadPreview } from './preload.ts';
import type { Authorship } from './publish.ts';
import type { RampHold } from './ramps.ts';
import { Repair, type RepairOptions, type RepairSummary } from './repair.ts';
import { planRepair, type RepairPlan } from './repair-plan.ts';
import type { PartitionLease } from './replay-leases.ts';
import type { ScanLease } from './scan-row.ts';
import type { WorkOptions, WorkOutcome } from './shared-replay.ts';
import { type OnScanned, scanForOthers } from './shared-verification.ts';
import { bringStampingOn, endStamping } from './stamping.ts';
import { Undertaker } from './undertaker.ts';
import { type VerificationOptions, verifyMigration } from './verification.ts';

export interface MoveOptions extends Authorship {
  readonly force?: boolean;
  readonly dryRun?: boolean;
  readonly ifRevision?: number | null;
  /** Made for a ramp: refused unless its driver still holds it. */
  readonly ramp?: RampHold | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What a move came to. */
export interface MoveResult {
  /** Where the dials stood when the move was made: others may have moved them since somebody looked. */
  readonly before: Dials;
  readonly document: RulesetDocument;
  readonly gates: readonly GateVerdict[];
  /** How long writes of the range waited, ms; null where authority did not move. */
  readonly pauseMs: number | null;
  readonly tookMs: number;
}

/**
 * Drives one migration step by step: what needs several transactions, and the stores between them. It keeps nothing that
 * matters in memory; when it dies between two steps, any other one goes on. Stores need not be connected: what works on
 * both connects them first, and a move asks only for what it needs, so that a store that is away is not in its way.
 */
export class Controller {
  readonly #parts: ControllerParts;
  readonly #undertaker: Undertaker;
  readonly #repair: Repair;
  readonly #backfill: Backfill;
  readonly #preload: Preload;

  constructor(parts: ControllerParts) {
    this.#parts = parts;
    this.#undertaker = new Undertaker(parts);
    this.#repair = new Repair(parts);
    this.#backfill = new Backfill(parts);
    this.#preload = new Preload(parts, this.#backfill);
  }

  get migration(): string {
    return this.#parts.migration;
  }

  /** What a move would need, changing nothing. */
  async preview(move: DialMove, options: Partial<MoveOptions> = {}): Promise<MoveAnswer> {
    return this.#ask(move, { actor: '', reason: 'preview', ...options, dryRun: true }, await this.#ruleset());
  }

  /**
   * Moves one dial and waits until the move is in force everywhere; cutover by a fenced handover.
   * @throws GatesRefused (nothing changed), FleetTimeout names the processes that did not acknowledge,
   * HandoverInProgress when the handover had to be cancelled
   */
  async set(move: DialMove, options: MoveOptions): Promise<MoveResult> {
    const begun = this.#parts.clock.monotonic();
    const present = options.dryRun === true ? await this.#ruleset() : await this.finishHandover(options);
    if (options.dryRun !== true && (move.dial === 'cutover' || move.dial === 'retire-old'))
      await this.#letSettle(present.revision, options.signal);
    const answer = await this.#ask(move, options, present);
    if (options.dryRun === true) return this.#result(answer, answer.document ?? (await this.#ruleset()), null, begun);
    if (answer.next === 'stamping') {
      await bringStampingOn(this.#parts, this.#wait, options);
      return this.set(move, { ...options, ifRevision: null });
    }
    const document = answer.document as RulesetDocument;
    if (answer.next === 'handover') {
      const { pauseMs, after } = await this.#driveHandover(options);
      if (!sameTarget(after, move)) throw handoverUndone(this.migration);
      return this.#result(answer, after, pauseMs, begun);
    }
    await this.waitAcknowledged(document.revision, options.signal);
    return this.#result(answer, document, null, begun);
  }

  /** Runs the moves that lead to a stage, one revision each, and stops at the first gate. */
  async stage(stage: Stage, options: MoveOptions): Promise<readonly MoveResult[]> {
    const moves = planStage((await this.#ruleset()).dials, stage);
    const results: MoveResult[] = [];
    for (const move of moves) results.push(await this.set(move, options));
    return results;
  }

  /** The moves of {@link stage}, changing nothing. */
  async planStage(stage: Stage): Promise<readonly DialMove[]> {
    return planStage((await this.#ruleset()).dials, stage);
  }

  /**
   * The old store leads everything again: fenced, nothing lost. Replays first what is dirty in what goes back, outside
   * of the hold; a repair that others run there, or have paused, is given up for it.
   * @throws GatesRefused where the old store is not complete
   */
  async rollback(options: MoveOptions, to: Threshold = NOBODY): Promise<MoveResult> {
    const { dials } = await this.finishHandover(options);
    const { dirty } = await this.#parts.plane.status(this.migration);
    if (options.dryRun !== true && dirty.ranges + dirty.rejected > 0) {
      await this.#repair.drain(between(dials.cutover, to), options, true);
    }
    return this.set({ dial: 'cutover', to }, options);
  }

  /**
   * For a new store that hangs or died: the old one leads at once; what only the new one acknowledged is dirty (R17).
   * @throws GatesRefused, unless forced, where all would be held for a process of which nobody knows whether it has ended
   */
  async emergency(options: MoveOptions): Promise<MoveResult> {
    const begun = this.#parts.clock.monotonic();
    if (options.force !== true) await this.#undertaker.refuseUnknown(this.migration);
    const { dials } = await this.#parts.plane.beginEmergency(this.migration, options);
    const { pauseMs, after } = await this.#driveHandover(options);
    return this.#result({ before: dials, gates: [] }, after, pauseMs, begun);
  }

  /** Goes on with a handover that somebody began and left; undoes it when it does not get through. */
  async finishHandover(options: Pick<MoveOptions, 'signal'> & Authorship): Promise<RulesetDocument> {
    const document = await this.#ruleset();
    if (document.handover === null) return document;
    return (await this.#driveHandover(options)).after;
  }

  /**
   * Moves a unit into a cohort, or back to its bucket; changes nothing where it stands there already.
   * @throws HandoverInProgress when the handover had to be cancelled
   */
  async cohort(unit: unknown, to: Cohort | null, options: MoveOptions): Promise<RulesetDocument> {
    const { keys, plane, stores } = this.#parts;
    const present = await this.finishHandover(options);
    const text = keys.unit(keys.unitKeyOf(unit));
    const leader = newLeader(present, text, to);
    if (leader !== null) await stores[leader].prepared();
    const { document, next } = await plane.changeCohort(this.migration, text, to, options);
    if (next === 'handover') {
      const { after } = await this.#driveHandover(options);
      if (cohortIn(after, text) !== to) throw handoverUndone(this.migration);
      return after;
    }
    await this.waitAcknowledged(document.revision, options.signal);
    return document;
  }

  /** Replays everything whose follower the target is; goes on from its checkpoints (R10, R11). */
  async backfill(options: BackfillOptions): Promise<ReplaySummary> {
    await this.waitAcknowledged((await this.#ruleset()).revision, options.signal);
    await connected(this.#parts, options.signal);
    return this.#backfill.run(options);
  }

  /**
   * Fills the new store before anything is mirrored to it, with stamping brought on first (R20). Makes no coverage.
   * @throws GatesRefused (nothing changed)
   */
  async preload(options: PreloadOptions): Promise<ReplaySummary> {
    await this.waitAcknowledged((await this.#ruleset()).revision, options.signal);
    await connected(this.#parts, options.signal);
    return this.#preload.run(options, () => bringStampingOn(this.#parts, this.#wait, options));
  }

  /** What a preload would need, changing nothing. */
  async previewPreload(authorship: Authorship): Promise<PreloadPreview> {
    await connected(this.#parts);
    return this.#preload.preview(authorship);
  }

  /** Replays what is dirty and re-stamps what is divergent. */
  async repair(options: RepairOptions): Promise<RepairSummary> {
    await connected(this.#parts, options.signal);
    return this.#repair.run(options);
  }

  /** What {@link repair} would do. */
  planRepair(): Promise<RepairPlan> {
    return planRepair(this.#parts);
  }

  /** Works on a partition of a shared replay, until it is done or lost; given back when the signal ends it. */
  async work(lease: PartitionLease, options: WorkOptions): Promise<WorkOutcome> {
    await connected(this.#parts, options.signal);
    return this.#backfill.work(lease, options);
  }

  /** Scans a partition for a verification of another process, until it is done or lost. */
  async scan(lease: ScanLease, signal: AbortSignal, onScanned?: OnScanned): ReturnType<typeof scanForOthers> {
    await connected(this.#parts, signal);
    return scanForOthers(this.#parts, lease, signal, onScanned);
  }

  /** Compares what both stores hold; the verdict is remembered for the gates. */
  async verify(options: VerificationOptions): Promise<VerifyReport> {
    await connected(this.#parts, options.signal);
    return verifyMigration(this.#parts, options);
  }

  /** What may get in the way of mirrored writes, by store: constraints, triggers, TTL, permissions. Changes nothing. */
  inspect(): Promise<Record<Side, Inspection>> {
    return inspectStores(this.#parts);
  }

  /** What a round trip through the new store, and back to the old one, would lose, field path by field path. */
  async census(request: CensusRequest): Promise<CensusResult> {
    await connected(this.#parts, request.signal);
    return censusOf(this.#parts, request);
  }

  /** Accepts a finding by its name (`unique:events_email_key`), or the losses of the `census`; or takes that back. */
  async accept(name: string, options: AcceptOptions): Promise<AcceptResult> {
    await connected(this.#parts);
    return acceptByName(this.#parts, name, options);
  }

  /** Buries processes that have surely ended. */
  async tend(authorship: Authorship = UNDERTAKER): Promise<void> {
    await this.#undertaker.tend(authorship);
  }

  /**
   * Ends the migration: stamps and tombstones go, the authority is written plainly (R13, R16). With the dials at off the
   * old store stays and the new one is wiped.
   */
  async finish(options: MoveOptions & { readonly onStep?: (step: string) => void }): Promise<RulesetDocument> {
    await connected(this.#parts, options.signal);
    return endStamping(this.#parts, this.#wait, options);
  }

  /**
   * Resolves when all processes have acknowledged a revision, burying meanwhile those that surely ended.
   * @throws FleetTimeout names those that did not
   */
  async waitAcknowledged(revision: number, signal?: AbortSignal): Promise<void> {
    const { clock, plane } = this.#parts;
    const begun = clock.monotonic();
    let late = await plane.behind(this.migration, revision);
    if (late.length === 0) return;
    using changes = new ChangeSignal(plane, clock);
    while (late.length > 0) {
      if (clock.monotonic() - begun > ACKNOWLEDGE_BUDGET_MS) throw fleetTimeout(this.migration, late, revision);
      await changes.next(signal);
      if (clock.monotonic() - begun > HANDOVER_BUDGET_MS) await this.#undertaker.tend(UNDERTAKER);
      late = await stillBehind(this.#parts, revision, late);
    }
  }

  /** Gives the fleet a moment to acknowledge what was published just now; the gates say what is missing after it. */
  async #letSettle(revision: number, signal: AbortSignal | undefined): Promise<void> {
    const { clock, plane } = this.#parts;
    const until = clock.monotonic() + HANDOVER_BUDGET_MS;
    const members = await plane.behind(this.migration, revision);
    if (members.length === 0) return;
    using changes = new ChangeSignal(plane, clock);
    await untilAcknowledged(this.#parts, { revision, members, until }, changes, signal);
  }

  async #ask(move: DialMove, options: MoveOptions, present: RulesetDocument): Promise<MoveAnswer> {
    const { plane, migration } = this.#parts;
    return plane.move({
      migration,
      move,
      evidence: await evidenceFor(this.#parts, present.dials, move),
      actor: options.actor,
      reason: options.reason,
      force: options.force ?? false,
      dryRun: options.dryRun ?? false,
      ifRevision: options.ifRevision ?? null,
      ...(options.ramp === undefined ? {} : { ramp: options.ramp }),
    });
  }

  readonly #wait = (revision: number, signal?: AbortSignal): Promise<void> => this.waitAcknowledged(revision, signal);

  /** Steps until no handover is going on; past its budget it is undone. */
  async #driveHandover(
    options: Pick<MoveOptions, 'signal'> & Authorship,
  ): Promise<{ readonly pauseMs: number; readonly after: RulesetDocument }> {
    const { clock, plane } = this.#parts;
    const begun = clock.monotonic();
    using changes = new ChangeSignal(plane, clock);
    let cancelled = false;
    let rounds = 0;
    for (;;) {
      const progress = await plane.stepHandover(this.migration);
      if (progress.state === 'none' || progress.step === 'done') {
        return { pauseMs: clock.monotonic() - begun, after: progress.document };
      }
      if (progress.state === 'stepped') continue;
      const elapsed = clock.monotonic() - begun;
      if (elapsed > ACKNOWLEDGE_BUDGET_MS) throw handoverStuck(this.migration, progress);
      options.signal?.throwIfAborted();
      const late = elapsed >= HANDOVER_BUDGET_MS;
      const { handover } = progress.document;
      if (handover?.kind === 'fenced' && progress.waitingFor.length > 0 && !late) {
        const revision = handover.movedAt ?? handover.holdSince;
        const until = begun + HANDOVER_BUDGET_MS;
        await untilAcknowledged(
          this.#parts,
          { revision, members: progress.waitingFor, until },
          changes,
          options.signal,
        );
        continue;
      }
      // What one round of draining leaves is refused by a store, or came meanwhile: no reason to hammer both.
      if (rounds > 0) await changes.next(options.signal);
      rounds += 1;
      if (handover?.kind === 'emergency') {
        // A dead process cannot acknowledge: what it may have written is dirty, and its deadlines are not awaited here.
        await this.#undertaker.buryAtOnce(progress.waitingFor, options);
        continue;
      }
      if (late) {
        await this.#undertaker.tend(UNDERTAKER);
        if (!cancelled) cancelled = (await plane.cancelHandover(this.migration, options)).state === 'stepped';
      }
      if (handover !== null && (progress.dirty.length > 0 || (late && !cancelled))) {
        const ms = late ? HANDOVER_BUDGET_MS : HANDOVER_BUDGET_MS - elapsed;
        if (!(await this.#drain(handover.positions, ms, options))) await changes.next(options.signal);
      }
    }
  }

  /** Replays the held range's dirt, as far as that gets within the budget: writes wait meanwhile. False: it could not. */
  async #drain(positions: Intervals, ms: number, options: Pick<MoveOptions, 'signal'> & Authorship): Promise<boolean> {
    const over = new AbortController();
    const timer = this.#parts.clock.after(Math.max(ms, 1), () =>
      over.abort(new Interrupted('the handover takes too long')),
    );
    const signal = options.signal === undefined ? over.signal : AbortSignal.any([options.signal, over.signal]);
    try {
      await this.#repair.drain(positions, { ...options, signal });
      return true;
    } catch (error) {
      options.signal?.throwIfAborted();
      // Whoever repairs already, or a store that fails: the budget decides, not this error.
      if (!(error instanceof ChangeoverError) || !error.retryable) throw error;
      return false;
    } finally {
      timer.cancel();
    }
  }

  #ruleset(): Promise<RulesetDocument> {
    return this.#parts.plane.ruleset(this.migration);
  }

  #result(
    { before, gates }: Pick<MoveAnswer, 'before' | 'gates'>,
    document: RulesetDocument,
    pauseMs: number | null,
    begun: number,
  ): MoveResult {
    return { before, document, gates, pauseMs, tookMs: this.#parts.clock.monotonic() - begun };
  }
}

const UNDERTAKER: Authorship = { actor: 'changeover', reason: 'the process ended without leaving' };

function sameTarget(document: RulesetDocument, move: DialMove): boolean {
  return move.dial !== 'cutover' || document.dials.cutover === move.to;
}

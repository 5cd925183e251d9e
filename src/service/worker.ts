import type { ControlPlaneApi } from '../control/control-plane.ts';
import type { Controller } from '../control/controller.ts';
import type { ProcessProbe } from '../control/controller-parts.ts';
import { isFree, type OpenReplay, type PartitionLease } from '../control/replay-leases.ts';
import type { ReplayRow } from '../control/replay-row.ts';
import type { ScanDesk } from '../control/scan-desk.ts';
import { freeEnded, LEASE_MS } from '../control/shared-replay.ts';
import { otherThan } from '../control/verified.ts';
import { type Clock, sleep } from '../core/clock.ts';
import type { NodeInfo } from '../core/control-client.ts';
import { ChangeoverError, ControlUnavailable, InvalidConfiguration } from '../core/errors.ts';
import type { PartitionJob, PartitionJobs, TakenJob } from '../replay/partition-jobs.ts';
import type { ReplayCounts } from '../replay/replay-share.ts';
import { ScanRounds } from './scan-rounds.ts';

/** Which partition something is about. */
export interface OfPartition {
  readonly migration: string;
  readonly kind: ReplayRow['kind'] | 'verification';
  /** The id of the replay, or of the verification's scan. */
  readonly replay: number;
  readonly partition: number;
}

/** What a worker has to tell. */
export type WorkerEvent =
  | { readonly event: 'ready'; readonly migrations: readonly string[]; readonly concurrency: number }
  | ({ readonly event: 'taken'; readonly resumed: boolean } & OfPartition)
  | ({ readonly event: 'done' | 'lost' | 'given back' } & OfPartition)
  | ({ readonly event: 'failed'; readonly message: string } & OfPartition)
  /** Nothing of it can be worked on here. */
  | { readonly event: 'refused'; readonly migration: string; readonly message: string }
  /** It goes on by itself when that is over. */
  | { readonly event: 'waiting'; readonly message: string };

/** What a worker has done. */
export interface WorkerTotals extends ReplayCounts {
  readonly partitions: number;
  readonly lost: number;
  readonly failed: number;
  /** Records scanned for verifications; `scanned` is of replays. */
  readonly verified: number;
}

export interface WorkerParts {
  readonly plane: ControlPlaneApi;
  readonly jobs: PartitionJobs;
  readonly scans: ScanDesk;
  /** The mappings of the migrations that it works for, by name. */
  readonly mappings: ReadonlyMap<string, string>;
  readonly controller: (migration: string) => Promise<Controller>;
  readonly probe: ProcessProbe;
  readonly process: NodeInfo;
  readonly runner: string;
  readonly clock: Clock;
  /** Partitions worked on at once. */
  readonly concurrency: number;
  readonly onEvent: (event: WorkerEvent) => void;
}

const ROUND_MS = 500;
/** A partition that nobody has taken for so long is offered again: its job may be lost. */
const UNTAKEN_MS = 2_000;
/** A migration whose stores cannot be opened is left to others for so long. */
const BLOCKED_MS = 5_000;
const TOUCH_MS = 20_000;

/** Takes partitions of shared replays and verifications, as their jobs come, until its signal ends it. */
export class Worker {
  readonly #parts: WorkerParts;
  readonly #running = new Set<Promise<void>>();
  readonly #refused = new Set<number>();
  /** When a free partition was seen or offered first, by its id. */
  readonly #untaken = new Map<number, number>();
  readonly #blocked = new Map<string, number>();
  readonly #controllers = new Map<string, Promise<Controller>>();
  readonly #totals = {
    partitions: 0,
    lost: 0,
    failed: 0,
    scanned: 0,
    applied: 0,
    skipped: 0,
    rejected: 0,
    verified: 0,
  };
  readonly #scans: ScanRounds;
  #waiting = false;

  constructor(parts: WorkerParts) {
    this.#parts = parts;
    this.#scans = new ScanRounds({
      ...parts,
      controller: (migration) => this.#controller(migration),
      onBegin: (work) => this.#run(work),
      onScanned: (records) => {
        this.#totals.verified += records;
      },
      onEnd: (state) => {
        this.#totals[state === 'done' ? 'partitions' : state] += 1;
      },
      messageOf,
    });
  }

  /** Ends with its signal: what is under way is written down and given back first. */
  async run(signal: AbortSignal): Promise<WorkerTotals> {
    const { mappings, concurrency, onEvent } = this.#parts;
    const stop = new AbortController();
    const either = AbortSignal.any([signal, stop.signal]);
    onEvent({ event: 'ready', migrations: [...mappings.keys()], concurrency });
    try {
      while (!signal.aborted) {
        await this.#tryRound(either);
        await this.#pause(either);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      stop.abort();
      await Promise.all(this.#running);
    }
    return { ...this.#totals };
  }

  async #tryRound(signal: AbortSignal): Promise<void> {
    try {
      await this.#round(signal);
      this.#waiting = false;
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof ControlUnavailable)) throw error;
      if (!this.#waiting) this.#parts.onEvent({ event: 'waiting', message: error.message });
      this.#waiting = true;
    }
  }

  async #round(signal: AbortSignal): Promise<void> {
    const { plane, mappings } = this.#parts;
    const { open, now } = await plane.openReplays([...mappings.keys()]);
    for (const one of open) {
      signal.throwIfAborted();
      if (this.#mayWorkOn(one.replay)) await this.#serve(one, now, signal);
    }
    const usable = (migration: string): boolean => !this.#isBlocked(migration);
    await this.#scans.round(this.#slots, usable, signal);
  }

  #mayWorkOn({ id, migration, kind, mapping }: ReplayRow): boolean {
    const own = this.#parts.mappings.get(migration) ?? '';
    if (own === mapping) return !this.#isBlocked(migration);
    if (!this.#refused.has(id)) {
      this.#refused.add(id);
      const message = `the ${kind} of ${migration} was begun under another ${otherThan(mapping, own)} than this worker's`;
      this.#parts.onEvent({ event: 'refused', migration, message });
    }
    return false;
  }

  async #serve({ replay, partitions }: OpenReplay, now: number, signal: AbortSignal): Promise<void> {
    const { jobs } = this.#parts;
    const { migration, mapping, id } = replay;
    const freed = await freeEnded(this.#parts, partitions, now);
    const free = partitions.filter((partition) => isFree(partition, now));
    const job = (partition: number): PartitionJob => ({ migration, mapping, work: 'replay', of: id, partition });
    for (const { id: partition } of partitions) {
      if (!free.some((one) => one.id === partition)) this.#untaken.delete(partition);
    }
    // The jobs of those that were freed are still in the hands of the dead.
    const stale = free.map(({ id: partition }) => partition).filter((partition) => this.#isStale(partition));
    if (stale.length + freed.length > 0) await jobs.offer([...stale, ...freed].map(job));
    if (free.length + freed.length === 0) return;
    // Where several take at once, each may be given fewer than there are.
    for (let slots = this.#slots; slots > 0; slots = this.#slots) {
      const taken = await jobs.take({ migration, mapping, work: 'replay' }, slots);
      for (const one of taken) this.#run(this.#work(one, replay, signal));
      if (taken.length === 0) return;
    }
  }

  #run(work: Promise<void>): void {
    const part = work.finally(() => this.#running.delete(part));
    this.#running.add(part);
  }

  /** Partitions that can be begun. */
  get #slots(): number {
    return this.#parts.concurrency - this.#running.size;
  }

  #isBlocked(migration: string): boolean {
    return (this.#blocked.get(migration) ?? 0) > this.#now;
  }

  #isStale(partition: number): boolean {
    const since = this.#untaken.get(partition);
    if (since !== undefined && this.#now - since < UNTAKEN_MS) return false;
    this.#untaken.set(partition, this.#now);
    return since !== undefined;
  }

  /** Never rejects: what goes wrong with a partition is told, and no reason to leave the others. */
  async #work(job: TakenJob, { migration, kind, mapping }: ReplayRow, signal: AbortSignal): Promise<void> {
    const { plane, jobs, runner, process, clock, onEvent } = this.#parts;
    const { of: replay, partition } = job;
    const of: OfPartition = { migration, kind, replay, partition };
    let lease: PartitionLease | null = null;
    let reached: ReplayCounts | null = null;
    let alive = true;
    const touch = (): void => {
      if (alive) void job.touch().catch(() => {});
      if (alive) clock.after(TOUCH_MS, touch, true);
    };
    try {
      // First of all: opening stores may take longer than a lease.
      const controller = await this.#controller(migration);
      signal.throwIfAborted();
      lease = await plane.takePartition({ replay, partition, runner, process, mapping, leaseMs: LEASE_MS });
      if (lease === null) return;
      onEvent({ event: 'taken', resumed: lease.partition.cursor !== null, ...of });
      touch();
      const onProgress = (share: ReplayCounts): void => {
        reached = share;
      };
      const { state } = await controller.work(lease, { signal, onProgress });
      if (state === 'done') this.#totals.partitions += 1;
      else this.#totals.lost += 1;
      onEvent({ event: state, ...of });
    } catch (error) {
      if (signal.aborted) {
        if (lease !== null) onEvent({ event: 'given back', ...of });
      } else {
        this.#totals.failed += 1;
        onEvent({ event: 'failed', message: messageOf(error), ...of });
      }
    } finally {
      alive = false;
      if (lease !== null && reached !== null) this.#count(lease, reached);
      await job.settle().catch(() => {});
      // A partition that is given back is for whoever has time, now.
      if (signal.aborted && lease !== null) await jobs.offer([job]).catch(() => {});
    }
  }

  async #controller(migration: string): Promise<Controller> {
    // One for all its partitions: they share what the process may put at once.
    const known = this.#controllers.get(migration) ?? this.#parts.controller(migration);
    this.#controllers.set(migration, known);
    try {
      return await known;
    } catch (error) {
      this.#controllers.delete(migration);
      this.#blocked.set(migration, this.#now + BLOCKED_MS);
      throw error;
    }
  }

  #count({ partition }: PartitionLease, share: ReplayCounts): void {
    for (const column of ['scanned', 'applied', 'skipped', 'rejected'] as const) {
      this.#totals[column] += share[column] - partition[column];
    }
  }

  get #now(): number {
    return this.#parts.clock.monotonic();
  }

  /** Until the next round, or until a partition has ended here. */
  async #pause(signal: AbortSignal): Promise<void> {
    const over = new AbortController();
    const next = sleep(this.#parts.clock, ROUND_MS, AbortSignal.any([signal, over.signal]));
    await Promise.race([next, ...this.#running]).finally(() => over.abort());
    await next.catch(() => {});
    signal.throwIfAborted();
  }
}

const messageOf = (error: unknown): string =>
  error instanceof ChangeoverError ? error.message : error instanceof Error ? error.name : 'unknown';

/** Why a configuration has no workers; undefined where it has. */
export function refuseWorkers(onPostgres: boolean, installed: boolean): void {
  if (!onPostgres) {
    throw new InvalidConfiguration('workers need a control plane on PostgreSQL', {
      expected: "control: 'postgres://…'",
      remedy: 'without it, changeover backfill does all the work itself',
    });
  }
  if (!installed) {
    throw new InvalidConfiguration('workers need pg-boss, and it is not installed', { remedy: 'npm install pg-boss' });
  }
}

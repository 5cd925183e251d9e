import { randomUUID } from 'node:crypto';
import type { ControlPlaneApi } from '../control/control-plane.ts';
import type { JobView } from '../control/job-desk.ts';
import type { JobRow } from '../control/storage.ts';
import type { Clock, TimerHandle } from '../core/clock.ts';
import { ChangeoverError, Interrupted, InvalidArgument, NotFound } from '../core/errors.ts';
import type { Logger } from '../core/telemetry.ts';
import { type Problem, problemOf } from './problem.ts';

export type JobKind =
  | 'move'
  | 'stage'
  | 'cohort'
  | 'rollback'
  | 'emergency'
  | 'handover'
  | 'backfill'
  | 'preload'
  | 'repair'
  | 'verify'
  | 'prepare'
  | 'census'
  | 'inspection'
  | 'acceptance'
  | 'finish'
  | 'doctor';

/** `interrupted`: its server stopped, or is not heard any more. What it did is durable. */
export type JobState = JobRow['state'];

/** Something that takes longer than a request. The list is durable; a job itself ends with its server. */
export interface Job {
  readonly id: string;
  readonly kind: JobKind;
  readonly migration: string;
  readonly actor: string;
  readonly reason: string;
  readonly state: JobState;
  readonly startedAt: number;
  readonly finishedAt: number | null;
  /** What its kind reports while it runs, or null. */
  readonly progress: unknown;
  /** What it came to, when it is done. */
  readonly result: unknown;
  /** Why it failed. */
  readonly error: Problem | null;
  /** Whether it can be gone on with: `POST /jobs/<id>/resume`. */
  readonly resumable: boolean;
  /** The job that it goes on with, and the one that went on with it. */
  readonly resumes: string | null;
  readonly resumedBy: string | null;
}

export interface JobWork {
  readonly kind: JobKind;
  readonly migration: string;
  readonly actor: string;
  readonly reason: string;
  /** What makes the same job again: the action and its request; null where nothing is gone on with. */
  readonly again: JobRow['again'];
  readonly resumes?: string | null;
  run(signal: AbortSignal, progress: (value: unknown) => void): Promise<unknown>;
}

interface Running {
  job: Job;
  readonly again: boolean;
  /** What has not been written down yet. */
  unwritten: unknown;
  readonly stop: AbortController;
  outcome: Promise<unknown>;
}

/** A server says so often that its jobs live; who has not said it for so long is taken for stopped. */
const KEEP_MS = 2_000;
const LEASE_MS = 15_000;
const MOST_LISTED = 200;

/** The jobs of all servers of a control plane; those of this one run here. */
export class Jobs {
  readonly #plane: ControlPlaneApi;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #server = randomUUID();
  readonly #running = new Map<string, Running>();
  readonly #ending = new Set<Promise<void>>();
  #lastStart = 0;
  #timer: TimerHandle | undefined;
  #keeping: Promise<void> = Promise.resolve();
  #closing = false;

  constructor(plane: ControlPlaneApi, clock: Clock, logger: Logger) {
    this.#plane = plane;
    this.#clock = clock;
    this.#logger = logger;
  }

  /** How many run here. */
  get running(): number {
    return this.#running.size;
  }

  /** What the verifications that run here have told of themselves. */
  get verifying(): readonly { readonly migration: string; readonly progress: unknown }[] {
    return [...this.#running.values()].map(({ job }) => job).filter(({ kind }) => kind === 'verify');
  }

  /** Begins, once it is in the list; `outcome` is its result or its error, for a caller who waits. */
  async start(work: JobWork): Promise<{ readonly job: Job; readonly outcome: Promise<unknown> }> {
    const { kind, migration, actor, reason, again, resumes = null } = work;
    // Never two at once: the list is in this order.
    const startedAt = Math.max(this.#clock.now(), this.#lastStart + 0.001);
    this.#lastStart = startedAt;
    const row: JobRow = {
      id: randomUUID(),
      ...{ kind, migration, actor, reason, again, resumes, startedAt },
      state: 'running',
      finishedAt: null,
      progress: null,
      result: null,
      error: null,
      server: this.#server,
      aliveUntil: startedAt + LEASE_MS,
      cancelRequested: false,
    };
    this.#refuseWhenClosing();
    await this.#plane.beginJob(row);
    const { id } = row;
    const stop = new AbortController();
    const job = jobOf({ ...row, resumedBy: null });
    const own: Running = { job, again: again !== null, unwritten: undefined, stop, outcome: Promise.resolve() };
    this.#running.set(id, own);
    const progress = (value: unknown): void => {
      own.job = { ...own.job, progress: value };
      own.unwritten = value;
    };
    // It may have begun to close meanwhile.
    const outcome = this.#closing ? Promise.reject(closingError()) : work.run(stop.signal, progress);
    own.outcome = outcome;
    const ended = outcome.then(
      (result) => this.#end(id, 'done', result ?? null, null),
      (error: unknown) => {
        if (!(error instanceof ChangeoverError)) this.#logger.error({ err: error, migration, kind }, 'a job failed');
        const state = this.#closing ? 'interrupted' : stop.signal.aborted ? 'cancelled' : 'failed';
        return this.#end(id, state, null, problemOf(error));
      },
    );
    this.#keep();
    // Who waits hears of it when the list knows it too.
    return { job, outcome: ended.then(() => outcome) };
  }

  /** Newest first, of these migrations; null: of all. */
  async list(migrations: readonly string[] | null): Promise<readonly Job[]> {
    return (await this.#plane.jobs(migrations, MOST_LISTED)).map((row) => this.#running.get(row.id)?.job ?? jobOf(row));
  }

  /** @throws NotFound */
  async get(id: string): Promise<Job> {
    return this.#running.get(id)?.job ?? jobOf(await this.#row(id));
  }

  /** What makes it again. @throws NotFound, InvalidArgument where it runs, is done, or cannot be gone on with */
  async again(id: string): Promise<NonNullable<JobRow['again']>> {
    const { state, again } = await this.#row(id);
    if (again !== null && state !== 'running' && state !== 'done') return again;
    throw new InvalidArgument(`the job ${id} cannot be gone on with`, {
      expected: 'a replay, verification or examination that was interrupted, cancelled or failed',
    });
  }

  /** Asks it to stop at the next place where it can be gone on with, wherever it runs. @throws NotFound */
  async cancel(id: string): Promise<Job> {
    const own = this.#running.get(id);
    if (own !== undefined) own.stop.abort(cancelledError());
    else if (!(await this.#plane.cancelJob(id))) await this.#row(id);
    return this.get(id);
  }

  /** Stops everything and waits for it. */
  async close(): Promise<void> {
    this.#closing = true;
    const outcomes = [...this.#running.values()].map(({ stop, outcome }) => {
      stop.abort(closingError());
      return outcome;
    });
    await Promise.allSettled(outcomes);
    this.#timer?.cancel();
    await this.#keeping;
    // Their last words are on the way.
    while (this.#running.size > 0) await Promise.allSettled([...this.#ending]);
  }

  #end(id: string, state: JobState, result: unknown, error: Problem | null): Promise<void> {
    const own = this.#running.get(id);
    if (own === undefined) return Promise.resolve();
    const finishedAt = this.#clock.now();
    own.job = { ...own.job, state, result, error, finishedAt, resumable: own.again && state !== 'done' };
    const { progress } = own.job;
    const written = this.#plane
      .endJob(id, { state, result: plain(result), error: plain(error), progress: plain(progress), finishedAt })
      .catch((fault: unknown) => {
        // It will be taken for interrupted; what it did is done.
        this.#logger.warn({ err: fault, id }, 'the end of a job could not be written down');
      })
      .finally(() => {
        this.#running.delete(id);
        this.#ending.delete(written);
      });
    this.#ending.add(written);
    return written;
  }

  async #row(id: string): Promise<JobView> {
    const row = await this.#plane.job(id);
    if (row !== null) return row;
    throw new NotFound(`there is no job ${id}`, { expected: 'one that began within the last 30 days' });
  }

  #refuseWhenClosing(): void {
    if (this.#closing) throw closingError();
  }

  /** While anything runs here: says so, writes down how far it is, and stops what somebody wants to be stopped. */
  #keep(): void {
    if (this.#timer !== undefined || this.#closing) return;
    this.#timer = this.#clock.after(
      KEEP_MS,
      () => {
        this.#timer = undefined;
        if (this.#running.size === 0) return;
        this.#keeping = this.#write().finally(() => this.#keep());
      },
      true,
    );
  }

  async #write(): Promise<void> {
    const progress: Record<string, unknown> = {};
    for (const [id, own] of this.#running) {
      if (own.unwritten !== undefined) progress[id] = plain(own.unwritten);
      own.unwritten = undefined;
    }
    try {
      const unwanted = await this.#plane.keepJobs(this.#server, LEASE_MS, progress);
      for (const id of unwanted) this.#running.get(id)?.stop.abort(cancelledError());
    } catch (error) {
      if (!this.#closing) this.#logger.warn({ err: error }, 'how far the jobs are could not be written down');
    }
  }
}

const REMEDY = 'POST /api/v1/jobs/<id>/resume, or the same request, goes on from where this one stopped';
const cancelledError = (): Interrupted => new Interrupted('cancelled', { remedy: REMEDY });
const closingError = (): Interrupted => new Interrupted('the server is closing', { remedy: REMEDY });

/** As JSON holds it: null where there is nothing. */
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value ?? null));

function jobOf(row: JobView): Job {
  const { again, server: _, aliveUntil: __, cancelRequested: ___, kind, error, state, ...rest } = row;
  const resumable = again !== null && state !== 'running' && state !== 'done' && row.resumedBy === null;
  return { ...rest, state, kind: kind as JobKind, error: error as Problem | null, resumable };
}

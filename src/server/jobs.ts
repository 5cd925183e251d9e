import { randomUUID } from 'node:crypto';
import type { Clock } from '../core/clock.ts';
import { ChangeoverError, Interrupted, NotFound } from '../core/errors.ts';
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
  | 'repair'
  | 'verify'
  | 'prepare'
  | 'census'
  | 'inspection'
  | 'acceptance'
  | 'finish';

export type JobState = 'running' | 'done' | 'failed' | 'cancelled';

/** Something that takes longer than a request. What it changes is durable; the job itself ends with its server. */
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
}

export interface JobWork {
  readonly kind: JobKind;
  readonly migration: string;
  readonly actor: string;
  readonly reason: string;
  run(signal: AbortSignal, progress: (value: unknown) => void): Promise<unknown>;
}

interface Running {
  job: Job;
  readonly stop: AbortController;
  readonly outcome: Promise<unknown>;
}

/** Ended jobs that are kept for whoever asks. */
const KEPT = 200;

/** The jobs of this server. */
export class Jobs {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #jobs = new Map<string, Running>();
  #closing = false;

  constructor(clock: Clock, logger: Logger) {
    this.#clock = clock;
    this.#logger = logger;
  }

  /** Begins; `outcome` is its result or its error, for a caller who waits. */
  start(work: JobWork): { readonly id: string; readonly outcome: Promise<unknown> } {
    const { kind, migration, actor, reason } = work;
    if (this.#closing) throw new Interrupted('the server is closing', { remedy: 'try again when it has restarted' });
    const id = randomUUID();
    const stop = new AbortController();
    const startedAt = this.#clock.now();
    const outcome = work.run(stop.signal, (progress) => this.#change(id, { progress }));
    const running: Running = {
      stop,
      outcome,
      job: {
        id,
        kind,
        migration,
        actor,
        reason,
        state: 'running',
        startedAt,
        finishedAt: null,
        progress: null,
        result: null,
        error: null,
      },
    };
    this.#jobs.set(id, running);
    outcome.then(
      (result) => this.#change(id, { state: 'done', result: result ?? null, finishedAt: this.#clock.now() }),
      (error: unknown) => {
        if (!(error instanceof ChangeoverError)) this.#logger.error({ err: error, migration, kind }, 'a job failed');
        const state = stop.signal.aborted ? 'cancelled' : 'failed';
        this.#change(id, { state, error: problemOf(error), finishedAt: this.#clock.now() });
      },
    );
    this.#forget();
    return { id, outcome };
  }

  /** Newest first. */
  list(): readonly Job[] {
    return [...this.#jobs.values()].map(({ job }) => job).reverse();
  }

  /** @throws NotFound */
  get(id: string): Job {
    return this.#running(id).job;
  }

  /** Asks it to stop at the next place where it can be gone on with. @throws NotFound */
  cancel(id: string): Job {
    const { stop } = this.#running(id);
    stop.abort(new Interrupted('cancelled', { remedy: 'the same request goes on from where this one stopped' }));
    return this.get(id);
  }

  /** Stops everything and waits for it. */
  async close(): Promise<void> {
    this.#closing = true;
    for (const { stop } of this.#jobs.values()) {
      stop.abort(new Interrupted('the server is closing', { remedy: 'the same request goes on from there' }));
    }
    await Promise.allSettled([...this.#jobs.values()].map(({ outcome }) => outcome));
  }

  #running(id: string): Running {
    const running = this.#jobs.get(id);
    if (running !== undefined) return running;
    throw new NotFound(`this server has no job ${id}`, {
      expected: 'a job that began since the server started and did not end long ago',
    });
  }

  #change(id: string, change: Partial<Job>): void {
    const running = this.#jobs.get(id);
    if (running !== undefined) running.job = { ...running.job, ...change };
  }

  #forget(): void {
    const ended = [...this.#jobs.values()].filter(({ job }) => job.state !== 'running');
    for (const { job } of ended.slice(0, Math.max(ended.length - KEPT, 0))) this.#jobs.delete(job.id);
  }
}

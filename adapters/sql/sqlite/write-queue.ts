import { pauseMs, type SqliteConnection } from './connection.ts';
import { classify, sqliteCode, storeFault } from './faults.ts';

/** What a job gets that was not begun before its deadline. */
export const EXPIRED = Symbol('expired');

const GROUP_JOBS = 256;
/** A group that takes longer than this is committed as it stands, so that the event loop is not held up. */
const GROUP_MS = 10;

interface Job {
  readonly deadline: number;
  readonly run: () => unknown;
  readonly settle: (result: Result) => void;
}

type Result = { readonly value: unknown } | { readonly error: unknown };

type Attempt =
  | { readonly kind: 'settled'; readonly results: readonly Result[] }
  /** Nothing happened, as another connection has the lock. */
  | { readonly kind: 'busy' }
  /** Nothing is left of it; to be tried again in another way. */
  | { readonly kind: 'again'; readonly how: 'together' | 'savepoints' | 'apart' };

/**
 * Writes of one connection, in the order of their arrival. What arrives within one turn of the event loop shares a
 * transaction, and so the one disk flush that makes it durable; still each job stands or falls alone.
 *
 * BEGIN IMMEDIATE takes the file's one write lock first: what a job reads cannot change before its write, and the
 * deadline is looked at while the lock is held, and once more before COMMIT. A lock of another process is waited for
 * between turns of the event loop.
 */
export class WriteQueue {
  readonly #connection: SqliteConnection;
  readonly #now: () => number;
  #jobs: Job[] = [];
  #scheduled = false;
  #tries = 0;
  /** How many of the next jobs need a transaction of their own. */
  #apart = 0;
  #drained: (() => void)[] = [];

  constructor(connection: SqliteConnection, now: () => number) {
    this.#connection = connection;
    this.#now = now;
  }

  /** Runs `run` in a transaction; it may be run again after its work was rolled back. */
  submit<T>(deadline: number, run: () => T): Promise<T | typeof EXPIRED> {
    return new Promise((resolve, reject) => {
      const settle = (result: Result): void => {
        if ('error' in result) reject(result.error);
        else resolve(result.value as T | typeof EXPIRED);
      };
      this.#jobs.push({ deadline, run, settle });
      this.#schedule();
    });
  }

  /** Resolves when no job is left. */
  drain(): Promise<void> {
    return this.#jobs.length === 0 ? Promise.resolve() : new Promise((resolve) => this.#drained.push(resolve));
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#turn);
  }

  readonly #turn = (): void => {
    this.#scheduled = false;
    const group = this.#jobs.slice(0, this.#apart > 0 ? 1 : GROUP_JOBS);
    const results = this.#settle(group);
    if (results === null) this.#waitForLock();
    else {
      this.#tries = 0;
      this.#apart = Math.max(0, this.#apart - results.length);
      this.#jobs.splice(0, results.length);
      for (const [i, result] of results.entries()) group[i]?.settle(result);
      if (this.#jobs.length > 0) this.#schedule();
    }
    if (this.#jobs.length === 0) for (const resolve of this.#drained.splice(0)) resolve();
  };

  /** Results of the first jobs of a group, or null while another connection has the lock. */
  #settle(group: readonly Job[]): readonly Result[] | null {
    let savepoints = false;
    let jobs = group;
    for (;;) {
      const attempt = this.#attempt(jobs, savepoints);
      if (attempt.kind === 'settled') return attempt.results;
      if (attempt.kind === 'busy') return null;
      if (attempt.how === 'savepoints') savepoints = true;
      if (attempt.how === 'apart') {
        this.#apart = jobs.length;
        jobs = jobs.slice(0, 1);
      }
    }
  }

  #attempt(jobs: readonly Job[], savepoints: boolean): Attempt {
    const connection = this.#connection;
    const failed = (error: unknown, outcome: 'nothing-written' | 'unknown'): Attempt => {
      const fault = storeFault(connection.label, error, outcome);
      return { kind: 'settled', results: jobs.map(() => ({ error: fault })) };
    };
    try {
      connection.run('BEGIN IMMEDIATE');
    } catch (error) {
      return classify(error).kind === 'busy' ? { kind: 'busy' } : failed(error, 'nothing-written');
    }
    const results: Result[] = [];
    const begun = performance.now();
    for (const { deadline, run } of jobs) {
      if (results.length > 0 && performance.now() - begun > GROUP_MS) break;
      if (this.#now() >= deadline) {
        results.push({ value: EXPIRED });
        continue;
      }
      try {
        if (savepoints) connection.run('SAVEPOINT job');
        const value = run();
        if (savepoints) connection.run('RELEASE job');
        results.push({ value });
      } catch (error) {
        const { kind } = classify(error);
        if (kind === 'busy' || kind === 'fault') {
          this.#rollback();
          return kind === 'busy' ? { kind } : failed(error, 'nothing-written');
        }
        // The job's own failure. Its transaction holds nothing else, or is done again so that it can be undone alone.
        if (jobs.length === 1) {
          this.#rollback();
          return { kind: 'settled', results: [{ error }] };
        }
        if (!savepoints || !connection.inTransaction) {
          this.#rollback();
          return { kind: 'again', how: savepoints ? 'apart' : 'savepoints' };
        }
        try {
          connection.run('ROLLBACK TO job');
          connection.run('RELEASE job');
        } catch (undone) {
          this.#rollback();
          return failed(undone, 'nothing-written');
        }
        results.push({ error });
      }
    }
    const now = this.#now();
    if (
      results.some((result, i) => 'value' in result && result.value !== EXPIRED && now >= (jobs[i] as Job).deadline)
    ) {
      this.#rollback();
      return { kind: 'again', how: 'together' };
    }
    try {
      connection.run('COMMIT');
    } catch (error) {
      const { kind } = classify(error);
      const open = connection.inTransaction;
      this.#rollback();
      // With the transaction still open nothing was committed: readers of a file without WAL, or a deferred constraint.
      if (open && kind === 'busy') return { kind };
      if (open && kind === 'rejected') {
        return jobs.length === 1 ? { kind: 'settled', results: [{ error }] } : { kind: 'again', how: 'apart' };
      }
      // Of what finds no room SQLite itself takes everything back: the commit's own mark comes last. Of a disk that fails
      // it may be there already.
      const undone = open || sqliteCode(error) === 'SQLITE_FULL';
      return failed(error, undone ? 'nothing-written' : 'unknown');
    }
    return { kind: 'settled', results };
  }

  #rollback(): void {
    try {
      this.#connection.rollback();
    } catch {
      // The error that led here is the one to report; a transaction that cannot be ended fails the next BEGIN.
    }
  }

  #waitForLock(): void {
    const now = this.#now();
    const late = this.#jobs.filter(({ deadline }) => now >= deadline);
    if (late.length > 0) {
      this.#jobs = this.#jobs.filter(({ deadline }) => now < deadline);
      for (const job of late) job.settle({ value: EXPIRED });
    }
    if (this.#jobs.length === 0) return;
    this.#tries += 1;
    this.#scheduled = true;
    this.#connection.clock.after(pauseMs(this.#tries), this.#turn);
  }
}

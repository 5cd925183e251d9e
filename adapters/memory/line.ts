import { type Clock, sleep } from '../../src/core/clock.ts';
import type { Rejection } from '../../src/core/store.ts';
import type { MemoryDatabase } from './database.ts';
import { type Call, type Fault, type FaultPlan, type Operation, refused, unanswered } from './fault.ts';

const never = <T>(): Promise<T> => new Promise<T>(() => {});

/** What a request runs at the database, and what it answers when it is made to be rejected (reads: nothing). */
export interface Request<T> {
  readonly op: Operation;
  readonly apply: () => T;
  readonly rejected?: ((rejection: Rejection) => T) | undefined;
}

/** The network between one client and the database, with its faults. */
export class Line {
  readonly #database: MemoryDatabase;
  readonly #clock: Clock;
  readonly #plan: FaultPlan | undefined;
  readonly #from: Pick<Call, 'side' | 'migration'>;

  constructor(
    database: MemoryDatabase,
    clock: Clock,
    plan: FaultPlan | undefined,
    from: Pick<Call, 'side' | 'migration'>,
  ) {
    this.#database = database;
    this.#clock = clock;
    this.#plan = plan;
    this.#from = from;
  }

  /** The fate of a request, decided before it is sent. */
  fate(op: Operation, ids: readonly string[]): Fault | undefined {
    return this.#plan?.({ op, ids, side: this.#from.side, migration: this.#from.migration });
  }

  /** Sends a request to its fate. Without one it is applied after a hop of microtasks: no timer. */
  async send<T>(request: Request<T>, fault: Fault | undefined): Promise<T> {
    if (fault === undefined) return this.#arrive(request);
    if (fault.kind === 'late') this.#copy(request, fault.lateMs);
    await this.#pause(fault.requestMs);
    switch (fault.kind) {
      case 'slow':
        return this.#answer(await this.#arrive(request), fault);
      case 'fail':
        await this.#pause(fault.answerMs);
        throw refused(fault.pressure);
      case 'lose-request':
        await this.#pause(fault.answerMs);
        throw unanswered();
      case 'lose-answer':
        await this.#arrive(request);
        await this.#pause(fault.answerMs);
        throw unanswered();
      case 'hang':
        if (fault.applied) await this.#arrive(request);
        return never();
      case 'late':
        if (fault.caller === 'hang') return never();
        await this.#pause(fault.answerMs);
        throw unanswered();
      case 'twice': {
        const result = await this.#arrive(request);
        this.#copy(request, fault.againMs);
        return this.#answer(result, fault);
      }
      case 'reject':
        if (request.rejected === undefined) return this.#answer(await this.#arrive(request), fault);
        return this.#answer(
          request.rejected({
            kind: 'rejected',
            reason: fault.reason,
            message: fault.message ?? `refused by a planned ${fault.reason}`,
          }),
          fault,
        );
    }
  }

  async #arrive<T>(request: Request<T>): Promise<T> {
    await this.#database.admit(request.op);
    return request.apply();
  }

  /** A copy for whose answer nobody waits, so that what becomes of it is told to nobody. */
  #copy<T>(request: Request<T>, afterMs: number): void {
    this.#clock.after(afterMs, () => {
      this.#arrive(request).catch(() => undefined);
    });
  }

  async #answer<T>(result: T, fault: Fault): Promise<T> {
    await this.#pause(fault.answerMs);
    return result;
  }

  async #pause(ms: number | undefined): Promise<void> {
    if (ms !== undefined && ms > 0) await sleep(this.#clock, ms);
  }
}

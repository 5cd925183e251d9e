import { StoreFault } from '../../src/core/errors.ts';

/** What a store asks of its database; one request each (a scan: one a page; wipe and finish: one a step). */
export type Operation =
  | 'open'
  | 'prepare'
  | 'prepared'
  | 'inspect'
  | 'get'
  | 'getMany'
  | 'putIfNewer'
  | 'putManyIfNewer'
  | 'load'
  | 'compareAndSet'
  | 'putPlain'
  | 'partitions'
  | 'scan'
  | 'list'
  | 'estimate'
  | 'wipe'
  | 'finish';

/** One request, as a {@link FaultPlan} sees it before it is sent. */
export interface Call {
  readonly op: Operation;
  /** The ids of the entries that it names; none for scans, lists and the like. */
  readonly ids: readonly string[];
  readonly side: 'old' | 'new';
  readonly migration: string;
}

interface Timing {
  /** How long the request is under way, in ms. @default 0, without a timer */
  readonly requestMs?: number | undefined;
  /** How long the answer (or the fault) is under way, in ms. @default 0, without a timer */
  readonly answerMs?: number | undefined;
  /** Strikes only these entries of a `putManyIfNewer` or `load`; the others go through. @default all */
  readonly ids?: readonly string[] | undefined;
}

/**
 * What happens to one request.
 *
 * - `slow`: nothing but the delays.
 * - `fail`: nothing is written, and the caller knows.
 * - `lose-request`: nothing is written, but the caller cannot know (`unknown`).
 * - `lose-answer`: it is applied, but the caller cannot know.
 * - `hang`: the caller never hears of it; `applied` says whether it was.
 * - `late`: the caller hears of an unknown outcome, or nothing; the request reaches the database `lateMs` after it was
 *   sent, and meets its deadline there and then.
 * - `twice`: it is applied and answered, and a copy of it arrives `againMs` later.
 * - `reject`: the database refuses the write as a constraint or limit would. Reads go through.
 */
export type Fault = Timing &
  (
    | { readonly kind: 'slow' }
    | { readonly kind: 'fail'; readonly pressure?: boolean | undefined }
    | { readonly kind: 'lose-request' }
    | { readonly kind: 'lose-answer' }
    | { readonly kind: 'hang'; readonly applied: boolean }
    | { readonly kind: 'late'; readonly lateMs: number; readonly caller: 'unknown' | 'hang' }
    | { readonly kind: 'twice'; readonly againMs: number }
    | { readonly kind: 'reject'; readonly reason: 'constraint' | 'limit'; readonly message?: string | undefined }
  );

/**
 * Decides the fate of each request, in the order in which they are made. Pure or seeded, so that a run can be repeated.
 *
 * @example
 * const losesMirrors: FaultPlan = ({ op, side }) =>
 *   side === 'new' && op === 'putIfNewer' ? { kind: 'lose-answer', answerMs: 50 } : undefined;
 */
export type FaultPlan = (call: Call) => Fault | undefined;

/** Nothing was written, for sure. */
export const refused = (pressure = false): StoreFault =>
  new StoreFault(pressure ? 'the database asks for less load' : 'the database refused the request', {
    outcome: 'nothing-written',
    pressure,
  });

/** Nobody knows. */
export const unanswered = (): StoreFault => new StoreFault('the database did not answer', { outcome: 'unknown' });

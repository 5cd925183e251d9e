import type { Call, Fault, Operation } from '../../adapters/memory/fault.ts';
import type { Side } from '../../src/core/stage.ts';
import type { Stamp } from '../../src/core/stamp.ts';
import type { CasOutcome, Entry, Store } from '../../src/core/store.ts';
import type { SimProcess } from '../simulation/process.ts';

/** A request of a process to a store, as it left the process. */
export interface Sent {
  readonly from: string;
  readonly side: Side;
  readonly op: Operation;
  readonly stamp: Stamp | null | undefined;
  readonly value: string | null | undefined;
  readonly deadline: number | undefined;
}

/** Which requests are meant: of a process, to a side. */
export type Target = readonly [from: string | { readonly process: SimProcess }, side: Side, op: Operation];

/** A request held up by a test. */
export interface Held {
  /** Resolves when a request is caught: the window is truly hit. */
  readonly hit: Promise<void>;
  release(): void;
}

/** Faults planned by a test. */
export interface Strike {
  readonly hit: Promise<void>;
  /** How many requests were struck. */
  readonly count: number;
  stop(): void;
}

interface Intervention {
  readonly from: string;
  readonly side: Side;
  readonly op: Operation;
  left: number;
  count: number;
  readonly caught: () => void;
  readonly fault?: Fault;
  readonly answer?: CasOutcome;
  readonly hold?: { readonly at: 'request' | 'answer'; readonly opened: Promise<void> };
}

export const nameOf = (from: string | { readonly process: SimProcess }): string =>
  typeof from === 'string' ? from : from.process.name;

const GATED = new Set([
  'get',
  'getMany',
  'putIfNewer',
  'putManyIfNewer',
  'load',
  'compareAndSet',
  'putPlain',
  'wipe',
  'finish',
]);

/** What a test does to the requests between processes and stores, and all that were sent. */
export class Interventions {
  readonly sent: Sent[] = [];
  readonly #all: Intervention[] = [];

  add(target: Target, times: number, more: Pick<Intervention, 'fault' | 'answer' | 'hold'>): Strike {
    const [from, side, op] = target;
    let caught = (): void => {};
    const hit = new Promise<void>((resolve) => {
      caught = resolve;
    });
    const intervention: Intervention = { from: nameOf(from), side, op, left: times, count: 0, caught, ...more };
    this.#all.push(intervention);
    return {
      hit,
      get count() {
        return intervention.count;
      },
      stop: () => {
        intervention.left = 0;
      },
    };
  }

  #take(from: string, side: Side, op: Operation, kind: 'fault' | 'line'): Intervention | undefined {
    const found = this.#all.find(
      (one) =>
        one.left > 0 &&
        one.from === from &&
        one.side === side &&
        one.op === op &&
        (one.fault !== undefined) === (kind === 'fault'),
    );
    if (found === undefined) return undefined;
    found.left -= 1;
    found.count += 1;
    found.caught();
    return found;
  }

  /** None of its own: the weather of the world decides. */
  fault(process: SimProcess, { side, op }: Call): Fault | undefined {
    return this.#take(process.name, side, op, 'fault')?.fault;
  }

  line(process: SimProcess, side: Side, store: Store): Store {
    return new Proxy(store, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name, target);
        if (typeof member !== 'function') return member;
        const call = (...args: unknown[]): unknown => Reflect.apply(member, target, args);
        if (!GATED.has(String(name))) return call;
        return (...args: unknown[]) => this.#request(process.name, side, name as Operation, args, call);
      },
    });
  }

  async #request(
    from: string,
    side: Side,
    op: Operation,
    args: readonly unknown[],
    call: (...args: unknown[]) => unknown,
  ): Promise<unknown> {
    const entry = args[0] as Entry | undefined;
    const deadline = args.findLast((arg): arg is number => typeof arg === 'number');
    const value = entry?.value === null ? null : (entry?.value?.['value'] as string | undefined);
    this.sent.push({ from, side, op, stamp: entry?.stamp, value, deadline });
    const intervention = this.#take(from, side, op, 'line');
    if (intervention?.answer !== undefined) return intervention.answer;
    const { hold } = intervention ?? {};
    if (hold?.at === 'request') await hold.opened;
    const answer = await call(...args);
    if (hold?.at === 'answer') await hold.opened;
    return answer;
  }
}

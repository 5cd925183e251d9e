/** Several runs of one figure. */
export interface Spread {
  readonly min: number;
  readonly median: number;
  readonly p99: number;
  readonly max: number;
}

/** One of the things that are compared: `run` gives its figure once. */
export interface Contender {
  readonly name: string;
  run(): Promise<number> | number;
}

export interface Pairing {
  readonly a: Spread;
  readonly b: Spread;
  /** Of the figures of each round, a to b. */
  readonly ratio: Spread;
  /** Of the figures of each round, a less b. */
  readonly difference: Spread;
}

export function spread(figures: readonly number[]): Spread {
  const sorted = [...figures].sort((x, y) => x - y);
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] as number;
  return { min: at(0), median: at(0.5), p99: at(0.99), max: at(1) };
}

/**
 * Runs contenders by turns, another one first in each round, so that a machine that slows down slows down all. One
 * round is run before, and not counted, unless one round is all that is wanted.
 * @returns the figures of each round, in the order of the contenders
 */
export async function byTurns(contenders: readonly Contender[], rounds: number): Promise<readonly number[][]> {
  const all: number[][] = [];
  for (let round = rounds === 1 ? 0 : -1; round < rounds; round += 1) {
    const figures = new Array<number>(contenders.length).fill(0);
    for (let turn = 0; turn < contenders.length; turn += 1) {
      const i = (turn + round + 1) % contenders.length;
      globalThis.gc?.();
      figures[i] = await (contenders[i] as Contender).run();
    }
    if (round >= 0) all.push(figures);
  }
  return all;
}

/** What the rounds of two figures come to. */
export function pairingOf(figures: readonly (readonly [a: number, b: number])[]): Pairing {
  const each = (of: (a: number, b: number) => number): Spread => spread(figures.map(([a, b]) => of(a, b)));
  return {
    a: each((a) => a),
    b: each((_, b) => b),
    ratio: each((a, b) => a / b),
    difference: each((a, b) => a - b),
  };
}

/** Two contenders by turns. */
export async function paired(a: Contender, b: Contender, rounds: number): Promise<Pairing> {
  return pairingOf((await byTurns([a, b], rounds)) as [number, number][]);
}

/** What two contenders cost more than a third, which both contain, by turns. */
export async function pairedOver(base: Contender, a: Contender, b: Contender, rounds: number): Promise<Pairing> {
  const figures = (await byTurns([base, a, b], rounds)) as [number, number, number][];
  return pairingOf(figures.map(([least, x, y]) => [x - least, y - least]));
}

/** Microseconds a call of a synchronous function takes, over `calls` of them. */
export function microseconds(calls: number, work: (i: number) => unknown): number {
  let kept: unknown;
  const begun = process.hrtime.bigint();
  for (let i = 0; i < calls; i += 1) kept = work(i);
  const ns = Number(process.hrtime.bigint() - begun);
  // What is never looked at might not be computed.
  if (kept === Symbol.for('nothing')) throw new Error('unreachable');
  return ns / calls / 1_000;
}

/** Bytes of garbage that a call of a synchronous function leaves, over as many of them as are done between collections. */
export function garbage(calls: number, work: (i: number) => unknown): number {
  let kept: unknown;
  // What compiling leaves is not of the calls.
  for (let i = 0; i < calls; i += 1) kept = work(i);
  globalThis.gc?.();
  const before = process.memoryUsage().heapUsed;
  for (let i = 0; i < calls; i += 1) kept = work(i);
  const bytes = process.memoryUsage().heapUsed - before;
  if (kept === Symbol.for('nothing')) throw new Error('unreachable');
  return Math.max(0, bytes) / calls;
}

/**
 * What one asynchronous call after the other takes, in microseconds, in time of the processor that this thread took, collections of
 * garbage included: where nothing is waited for, that is the time it takes on a machine with nothing else to do.
 */
export async function asyncMicroseconds(calls: number, work: (i: number) => Promise<unknown>): Promise<number> {
  const begun = process.threadCpuUsage();
  for (let i = 0; i < calls; i += 1) await work(i);
  const { user, system } = process.threadCpuUsage(begun);
  return (user + system) / calls;
}

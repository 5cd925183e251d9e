/** Several runs of one figure. */
export interface Spread {
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

/** One of two things that are compared: `run` gives its figure once. */
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
  return { min: at(0), median: at(0.5), max: at(1) };
}

/**
 * Runs two contenders by turns, the first of each round changing, so that a machine that slows down slows down both.
 * One round is run before, and not counted.
 */
export async function paired(a: Contender, b: Contender, rounds: number): Promise<Pairing> {
  const left: number[] = [];
  const right: number[] = [];
  for (let round = -1; round < rounds; round += 1) {
    const order = round % 2 === 0 ? [a, b] : [b, a];
    const figures = new Map<Contender, number>();
    for (const contender of order) {
      globalThis.gc?.();
      figures.set(contender, await contender.run());
    }
    if (round < 0) continue;
    left.push(figures.get(a) as number);
    right.push(figures.get(b) as number);
  }
  const each = (of: (x: number, y: number) => number): Spread => spread(left.map((x, i) => of(x, right[i] as number)));
  return { a: spread(left), b: spread(right), ratio: each((x, y) => x / y), difference: each((x, y) => x - y) };
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

/** The same for one asynchronous call after the other. */
export async function asyncMicroseconds(calls: number, work: (i: number) => Promise<unknown>): Promise<number> {
  const begun = process.hrtime.bigint();
  for (let i = 0; i < calls; i += 1) await work(i);
  return Number(process.hrtime.bigint() - begun) / calls / 1_000;
}

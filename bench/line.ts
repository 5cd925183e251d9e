import type { Pairing } from './paired.ts';

/** How thoroughly lines are measured. */
export interface BenchOptions {
  /** Rounds of each pair. */
  readonly rounds: number;
  /** Multiplies numbers of calls and records; the smoke run has a small one. */
  readonly scale: number;
}

/** One comparison, ready to print. */
export interface Result {
  readonly line: string;
  /** What is compared with what, and on what. */
  readonly compared: string;
  readonly unit: string;
  readonly pairing: Pairing;
  /** The figure that the target is about, and whether it is reached; null: there is no target, it stands for itself. */
  readonly target: { readonly text: string; readonly reached: boolean } | null;
}

/** A comparison that this machine cannot make. */
export interface NotMeasured {
  readonly line: string;
  readonly because: string;
}

/** A line of the bench. */
export interface Line {
  readonly name: string;
  measure(options: BenchOptions): AsyncIterable<Result | NotMeasured>;
}

export const atMost = (figure: number, limit: number, text: string): Result['target'] => ({
  text,
  reached: figure <= limit,
});

export const atLeast = (figure: number, limit: number, text: string): Result['target'] => ({
  text,
  reached: figure >= limit,
});

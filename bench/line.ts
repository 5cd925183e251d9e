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

/** A line of the bench. */
export interface Line {
  readonly name: string;
  measure(options: BenchOptions): AsyncIterable<Result>;
}

export const atMost = (figure: number, limit: number, text: string): Result['target'] => ({
  text,
  reached: figure <= limit,
});

import type { RampCheck, RampPlan } from '../core/ramp.ts';
import type { Traffic } from '../core/traffic.ts';

/** A dial on its way up by itself. */
export interface RampRow {
  /** Given by the storage. */
  id: number;
  migration: string;
  /** `returning`: a budget was broken and it goes back; `returned`: it is back. */
  state: 'running' | 'paused' | 'returning' | 'done' | 'returned' | 'stopped';
  plan: RampPlan;
  /** Where the dial stood when it began. */
  start: number;
  /** The index of the step that is on, and since when it is in force everywhere; null while it is not. */
  step: number;
  stepSince: number | null;
  /** What stood on the counters when it began, and when the step came into force. */
  marks: { begun: Traffic; step: Traffic | null; compared: number; divergent: number };
  /** How the step does, as last looked at. */
  checks: RampCheck[];
  /** What it waits for, or how it ended. */
  note: string | null;
  actor: string;
  reason: string;
  startedAt: number;
  finishedAt: number | null;
  /** Who drives it, and until when nobody else may. */
  runner: string | null;
  leaseUntil: number;
}

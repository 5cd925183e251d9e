import { computed, signal } from '@preact/signals';
import type { GateVerdict, Job, MigrationOverview, MoveOutcome, MovePreview, Problem } from '../server/api-types.ts';
import { ask, describeError, pathOf, Refusal } from './api.ts';
import { type DialName, type DialValue, dialArgument } from './dial-value.ts';
import { liveFeed } from './live-feed.ts';
import { shellQuoted } from './wording.ts';

/** What an operator wants of one dial; nothing has happened yet. */
export interface Wanted {
  readonly dial: DialName;
  readonly from: DialValue | boolean;
  readonly to: DialValue | boolean;
}

export type Phase =
  | { readonly kind: 'idle' }
  /** The server is asked, or has said, what the move would do. */
  | { readonly kind: 'preview' }
  | { readonly kind: 'applying'; readonly job: Job }
  | { readonly kind: 'done'; readonly job: Job; readonly outcome: MoveOutcome }
  | { readonly kind: 'refused'; readonly message: string; readonly gates: readonly GateVerdict[] }
  | { readonly kind: 'failed'; readonly message: string; readonly cancelled: boolean };

/** While a knob is on its way nobody is asked at every step. */
const REST_MS = 120;
const LOOK_MS = 150;

const ENDED = 'its server stopped on the way; what it did is durable, and what is in force stands below';
const IDLE: Phase = { kind: 'idle' };

/** One change of one dial of one migration, from the first touch of a knob to what came of it. */
export class Change {
  readonly migration: string;
  readonly wanted = signal<Wanted | null>(null);
  readonly preview = signal<MovePreview | null>(null);
  readonly previewError = signal<string | null>(null);
  readonly reason = signal('');
  readonly phase = signal<Phase>(IDLE);
  /** Advice that was overridden; never what would lose data. */
  readonly force = signal(false);
  /** The server has been asked to begin, and has not answered yet. */
  readonly #beginning = signal(false);
  readonly busy = computed(() => this.#beginning.value || this.phase.value.kind === 'applying');
  #rest: ReturnType<typeof setTimeout> | undefined;
  #asked = 0;

  constructor(migration: string) {
    this.migration = migration;
  }

  /** Where a dial is wanted; its value in force where nobody wants anything else. */
  wantedOf(dial: DialName): DialValue | boolean | null {
    const wanted = this.wanted.value;
    return wanted?.dial === dial ? wanted.to : null;
  }

  want(dial: DialName, from: DialValue | boolean, to: DialValue | boolean): void {
    if (this.busy.value) return;
    if (from === to) {
      if (this.wanted.value?.dial === dial) this.discard();
      return;
    }
    const before = this.wanted.value;
    const other = before?.dial !== dial;
    this.wanted.value = { dial, from, to };
    this.phase.value = { kind: 'preview' };
    if (other) this.preview.value = null;
    // Whoever went against the advice did so for what was wanted then.
    if (other || before?.to !== to) this.force.value = false;
    this.#previewSoon(REST_MS);
  }

  /** Asks at once, where a knob has just moved. */
  previewNow(): void {
    if (this.wanted.value !== null && this.phase.value.kind === 'preview') this.#previewSoon(0);
  }

  discard(): void {
    if (this.busy.value) return;
    clearTimeout(this.#rest);
    this.#asked += 1;
    this.wanted.value = null;
    this.preview.value = null;
    this.previewError.value = null;
    this.force.value = false;
    this.phase.value = IDLE;
  }

  /** Somebody else may have changed something: what is wanted stays, what it would do is asked for again. */
  renew({ dials }: MigrationOverview, revision: number): void {
    const wanted = this.wanted.value;
    if (wanted === null || this.phase.value.kind !== 'preview' || this.preview.value?.revision === revision) return;
    const from = dials[KEYS[wanted.dial]];
    if (from === wanted.to) this.discard();
    else {
      this.wanted.value = { ...wanted, from };
      this.#previewSoon(0);
    }
  }

  async apply(): Promise<void> {
    const wanted = this.wanted.value;
    const reason = this.reason.value.trim();
    if (wanted === null || reason === '' || this.busy.value) return;
    const body = {
      dial: wanted.dial,
      to: wanted.to,
      reason,
      force: this.force.value,
      wait: false,
      ...(this.preview.value === null ? {} : { ifRevision: this.preview.value.revision }),
    };
    await this.#run(() => ask<Job>(pathOf(this.migration, '/dials'), { body }));
  }

  /** Runs to its stage: several moves, one revision each, until the first gate. */
  async stage(stage: string, reason: string): Promise<void> {
    await this.#run(() => ask<Job>(pathOf(this.migration, '/stage'), { body: { stage, reason, wait: false } }));
  }

  /** Shows a job that somebody else has begun. */
  async show(job: Job): Promise<void> {
    await this.#run(async () => job);
  }

  async #run(begin: () => Promise<Job>): Promise<void> {
    if (this.busy.value) return;
    this.#beginning.value = true;
    try {
      const job = await begin().finally(() => {
        this.#beginning.value = false;
      });
      await this.#follow(job);
    } catch (error) {
      this.#failed(error);
    }
    liveFeed.poke();
  }

  /** Until it ends; closing the page stops nothing. */
  async #follow(begun: Job): Promise<void> {
    let job = begun;
    this.phase.value = { kind: 'applying', job };
    while (job.state === 'running') {
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      try {
        job = await ask<Job>(`/jobs/${job.id}`);
      } catch (error) {
        if (error instanceof Refusal) throw error;
        // The server is away: the job has ended with it, or goes on; the next answer tells.
        continue;
      }
      this.phase.value = { kind: 'applying', job };
    }
    if (job.state === 'done') {
      this.phase.value = { kind: 'done', job, outcome: job.result as MoveOutcome };
      this.wanted.value = null;
      this.preview.value = null;
      this.reason.value = '';
    } else if (job.error?.code === 'GATES_REFUSED') {
      this.phase.value = { kind: 'refused', message: job.error.detail, gates: gatesOf(job.error) };
    } else {
      const cancelled = job.state === 'cancelled';
      this.phase.value = { kind: 'failed', message: job.error?.detail ?? ENDED, cancelled };
    }
  }

  async cancel(): Promise<void> {
    const phase = this.phase.value;
    if (phase.kind === 'applying') await ask(`/jobs/${phase.job.id}/cancel`, { body: {} });
  }

  #failed(error: unknown): void {
    if (error instanceof Refusal && error.problem.code === 'GATES_REFUSED') {
      this.phase.value = { kind: 'refused', message: error.problem.detail, gates: gatesOf(error.problem) };
      return;
    }
    if (error instanceof Refusal && error.problem.code === 'REVISION_CONFLICT') {
      this.phase.value = { kind: 'preview' };
      this.previewError.value = `${error.problem.detail}; look at what it would do now`;
      this.#previewSoon(0);
      return;
    }
    this.phase.value = { kind: 'failed', message: describeError(error), cancelled: false };
  }

  #previewSoon(ms: number): void {
    clearTimeout(this.#rest);
    this.#rest = setTimeout(() => void this.#ask(), ms);
  }

  async #ask(): Promise<void> {
    const wanted = this.wanted.value;
    if (wanted === null) return;
    this.#asked += 1;
    const asked = this.#asked;
    try {
      const body = { dial: wanted.dial, to: wanted.to };
      const preview = await ask<MovePreview>(pathOf(this.migration, '/preview'), { body });
      if (asked !== this.#asked) return;
      if (adviceIn(preview) !== adviceIn(this.preview.value)) this.force.value = false;
      this.preview.value = preview;
      this.previewError.value = null;
    } catch (error) {
      if (asked === this.#asked) this.previewError.value = describeError(error);
    }
  }

  /** What the command line would be told. */
  command(): string | null {
    const wanted = this.wanted.value;
    if (wanted === null) return null;
    const reason = shellQuoted(this.reason.value.trim() || '…');
    const force = this.force.value ? ' --force' : '';
    return `changeover set ${this.migration} ${wanted.dial} ${dialArgument(wanted.to)} --reason ${reason}${force}`;
  }
}

/** Where the change at hand stands on the page. */
export const CHANGE_PANEL = 'change';

export const KEYS = {
  'dual-write': 'dualWrite',
  'shadow-read': 'shadowRead',
  cutover: 'cutover',
  'retire-old': 'retireOld',
} as const satisfies Record<DialName, keyof MigrationOverview['dials']>;

/** The advice that stands against a move, by the names of its gates. */
const adviceIn = (preview: MovePreview | null): string =>
  (preview?.gates ?? [])
    .filter(({ passed, advice }) => !passed && advice)
    .map(({ gate }) => gate)
    .join();

const gatesOf = ({ gates }: Problem): readonly GateVerdict[] =>
  Array.isArray(gates) ? (gates as readonly GateVerdict[]) : [];

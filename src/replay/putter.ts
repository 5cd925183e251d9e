import type { Clock, Random } from '../core/clock.ts';
import type { Entry, Rejection, Store } from '../core/store.ts';
import { again, lacking, type PutAnswer, putNewer } from './put-newer.ts';
import type { ReplayCounts } from './replay-share.ts';
import type { Throttle } from './throttle.ts';
import type { Trouble } from './trouble.ts';
import type { Window } from './window.ts';

export interface PutterOptions {
  readonly source: Store;
  readonly target: Store;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
  readonly throttle: Throttle;
  readonly trouble: { readonly reads: Trouble; readonly puts: Trouble };
  readonly window: Window;
  readonly deadline: () => Promise<number>;
  /** How many whole records may be read at once. */
  readonly pageSize: () => number;
  readonly onRejected: (entry: Entry, rejection: Rejection) => Promise<void>;
}

type Counts = Omit<ReplayCounts, 'scanned'>;

/** Where fewer of the entries are there already, asking first costs more than it saves. */
const WORTH_ASKING = 0.3;
/** Where more of them are, their values need not even be read. */
const HARDLY_LACKING = 0.9;
/** How much the newest batch says. */
const NEWS = 0.5;

/** Puts entries in batches, as the operator's settings and the target's answers allow. */
export class Putter {
  readonly #options: PutterOptions;
  /** The share of entries that the target has already, of late. */
  #there = 1;
  #asked = false;
  /** A put that takes longer is too slow, ms. */
  latencyBudgetMs = Number.POSITIVE_INFINITY;

  constructor(options: PutterOptions) {
    this.#options = options;
  }

  /** The size of a batch that is made now. */
  get batch(): number {
    return Math.min(this.#options.window.batch, this.#options.throttle.burst);
  }

  /** Whether the target has nearly everything, so that stamps are enough to find out what it lacks. */
  get stampsOnly(): boolean {
    return this.#asked && this.#there >= HARDLY_LACKING;
  }

  /** How many entries are worth reading at once where `lanes` are read: their part of the window, or a batch. */
  wanted(lanes: number): number {
    const { window, throttle } = this.#options;
    return Math.min(Math.max(window.batch, Math.ceil(window.limit / lanes)), throttle.burst);
  }

  /** Puts batches as the window has room. Resolves when every put is definite. `stampsOnly`: the values are not known. */
  async put(entries: readonly Entry[], stampsOnly: boolean): Promise<Counts> {
    const { throttle, window, signal } = this.#options;
    const puts: Promise<Counts>[] = [];
    let failed = false;
    const begin = (batch: readonly Entry[]): void => {
      const put = (stampsOnly ? this.#putLacking(batch) : this.#putBatch(batch)).finally(() =>
        window.leave(batch.length),
      );
      put.catch(() => {
        failed = true;
      });
      puts.push(put);
    };
    try {
      for (let at = 0; at < entries.length && !failed; ) {
        const batch = entries.slice(at, at + this.batch);
        at += batch.length;
        await throttle.take(batch.length, signal);
        await window.enter(batch.length, signal);
        begin(batch);
      }
    } finally {
      await Promise.allSettled(puts);
    }
    const counts = { applied: 0, skipped: 0, rejected: 0 };
    for (const { applied, skipped, rejected } of await Promise.all(puts)) {
      counts.applied += applied;
      counts.skipped += skipped;
      counts.rejected += rejected;
    }
    return counts;
  }

  /** Reads what the target lacks, and puts it. What is in the source no more is nothing to put. */
  async #putLacking(batch: readonly Entry[]): Promise<Counts> {
    const { source, target, clock, random, signal, throttle, pageSize, trouble } = this.#options;
    const patience = { clock, random, signal, onFault: (fault: string) => trouble.reads.say(fault) };
    const wanted = await lacking(batch, { ...patience, target, onAnswer: (answer) => this.#adapt(answer) });
    this.#learn(1 - wanted.length / batch.length);
    const counts = { applied: 0, skipped: batch.length - wanted.length, rejected: 0 };
    for (let at = 0; at < wanted.length; ) {
      const part = wanted.slice(at, at + pageSize());
      at += part.length;
      await throttle.unpaused(signal);
      const read = await again({ ...patience, target: source }, () => source.getMany(part));
      const entries = read.filter((entry) => entry !== undefined);
      const { applied, skipped, rejected } = await this.#putAll(entries, false);
      counts.applied += applied;
      counts.skipped += skipped + part.length - entries.length;
      counts.rejected += rejected;
    }
    return counts;
  }

  async #putBatch(batch: readonly Entry[]): Promise<Counts> {
    const counts = await this.#putAll(batch, this.#there >= WORTH_ASKING);
    this.#learn(counts.skipped / batch.length);
    return counts;
  }

  /** The target had so much of a batch. */
  #learn(there: number): void {
    this.#asked = true;
    this.#there += NEWS * (there - this.#there);
  }

  async #putAll(batch: readonly Entry[], ask: boolean): Promise<Counts> {
    const { target, clock, random, signal, deadline, onRejected, trouble } = this.#options;
    const { applied, skipped, rejected } = await putNewer(batch, {
      target,
      clock,
      random,
      signal,
      onFault: (fault) => trouble.reads.say(fault),
      deadline,
      ask,
      onAnswer: (answer) => this.#adapt(answer),
    });
    for (const { entry, rejection } of rejected) await onRejected(entry, rejection);
    return { applied, skipped, rejected: rejected.length };
  }

  #adapt({ count, sentAt, tookMs, fault, pressed }: PutAnswer): void {
    const { throttle, window, target, trouble, pageSize } = this.#options;
    const late = tookMs > this.latencyBudgetMs;
    if (pressed) throttle.ease(`${target.label} asks for less load`);
    if (fault !== null) trouble.puts.say(fault);
    else if (late) trouble.puts.say(`${target.label} takes ${Math.round(tookMs)} ms a batch`);
    if (pressed || fault !== null || late) window.narrow(sentAt, pageSize());
    else window.widen(count);
  }
}

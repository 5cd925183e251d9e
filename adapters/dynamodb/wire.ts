import type * as Sdk from '@aws-sdk/client-dynamodb';
import { type Clock, sleep } from '../../src/core/clock.ts';
import { Closed, Interrupted } from '../../src/core/errors.ts';
import type { Item } from './attribute.ts';
import { classify, faultOf, type Verdict } from './faults.ts';
import type { ResolvedOptions } from './options.ts';

/** The driver, loaded when a store is made. */
export type SdkModule = typeof Sdk;

/** What became of a conditional write. */
export type WriteAnswer =
  | { readonly kind: 'done'; readonly attributes: Item | null }
  /** `item` is what the condition met, where the server tells (see {@link Wire.tellsWhatItMet}). */
  | { readonly kind: 'unmet'; readonly item: Item | null }
  | { readonly kind: 'invalid'; readonly name: string }
  | { readonly kind: 'expired' };

/** What became of one copy of a write. */
export type OneCopy<T> =
  | { readonly kind: 'done'; readonly output: T }
  | { readonly kind: 'failed'; readonly verdict: Verdict; readonly error: unknown }
  | { readonly kind: 'expired' };

interface WriteOutput {
  readonly Attributes?: Record<string, Sdk.AttributeValue> | undefined;
}

type Send<T> = (signal: AbortSignal) => Promise<T>;

const FIRST_DELAY_MS = 25;
const LAST_DELAY_MS = 1_000;

/** An item as this adapter sees it: the SDK's type has a member for what is not known yet, which none of ours is. */
export const asItem = (attributes: Record<string, Sdk.AttributeValue> | undefined): Item | null =>
  (attributes as Item | undefined) ?? null;

/**
 * Sends requests: at most until their deadline, again while the server throttles (with full jitter, bounded), and
 * turns every error into what it means. The SDK's own retries are off, because they know no deadline.
 */
export class Wire {
  readonly sdk: SdkModule;
  readonly client: Sdk.DynamoDBClient;
  readonly label: string;
  readonly clock: Clock;
  readonly #options: ResolvedOptions;
  readonly #owned: boolean;
  #offsetMs = 0;
  #pressure = 0;
  #tells = false;
  #closed = false;

  constructor(sdk: SdkModule, options: ResolvedOptions, clock: Clock) {
    this.sdk = sdk;
    this.#options = options;
    this.clock = clock;
    this.label = `dynamodb ${options.table}`;
    this.#owned = options.client === null;
    this.client =
      options.client ??
      new sdk.DynamoDBClient({
        ...options.clientConfig,
        maxAttempts: 1,
        requestHandler: {
          connectionTimeout: 3_000,
          httpAgent: { keepAlive: true, maxSockets: options.maxInFlight * 2 },
          httpsAgent: { keepAlive: true, maxSockets: options.maxInFlight * 2 },
        },
      });
  }

  get table(): string {
    return this.#options.table;
  }

  /** How often something is tried before it is a fault. */
  get maxAttempts(): number {
    return this.#options.maxAttempts;
  }

  get maxInFlight(): number {
    return this.#options.maxInFlight;
  }

  /** How often the server throttled a request or left a part of it undone. */
  get pressure(): number {
    return this.#pressure;
  }

  #classify(error: unknown): Verdict {
    const verdict = classify(error);
    if (verdict.kind === 'fault' && verdict.pressure) this.#pressure += 1;
    return verdict;
  }

  /** The server's time: the local clock, corrected where the server's `Date` header showed it to be off. */
  now(): number {
    return this.clock.now() + this.#offsetMs;
  }

  /** How far the server's clock is ahead of ours, where that is more than its header can hide. */
  get offsetMs(): number {
    return this.#offsetMs;
  }

  /** Whether the server was seen to say what a condition met, so that silence means that there was nothing. */
  get tellsWhatItMet(): boolean {
    return this.#tells;
  }

  /**
   * Learns the server's clock from one answer. The header counts whole seconds, so that smaller differences cannot be
   * seen and are not corrected.
   */
  learnClock(dateHeader: string | undefined, sentAt: number, receivedAt: number): void {
    const second = dateHeader === undefined ? Number.NaN : Date.parse(dateHeader);
    if (Number.isNaN(second)) return;
    if (second + 1_000 < sentAt) this.#offsetMs = second + 1_000 - sentAt;
    else if (second > receivedAt) this.#offsetMs = second - receivedAt;
    else this.#offsetMs = 0;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#owned) this.client.destroy();
  }

  /** A read, or a write of which nothing depends on how often it is carried out. */
  async read<T>(operation: string, send: Send<T>, signal?: AbortSignal): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#once(send, this.#options.readTimeoutMs, signal);
      } catch (error) {
        if (signal?.aborted) throw this.#interrupted(operation, signal);
        const verdict = this.#classify(error);
        const again = verdict.passing || verdict.broken === true;
        if (!again || attempt >= this.#options.maxAttempts) {
          throw faultOf(this.label, operation, verdict, false, error);
        }
        await this.pause(attempt, signal, operation);
      }
    }
  }

  /**
   * A conditional write. Before each copy the deadline is compared with the server's time as we know it, and no copy
   * is waited for beyond it. `repeatable` writes carry a stamp, so that a copy whose answer was lost does no harm.
   */
  async write(operation: string, send: Send<WriteOutput>, deadline: number, repeatable: boolean): Promise<WriteAnswer> {
    let unanswered = false;
    let last: Verdict | null = null;
    for (let attempt = 1; ; attempt += 1) {
      const left = deadline - this.now();
      if (left <= 0) {
        if (last === null) return { kind: 'expired' };
        throw faultOf(this.label, operation, last, unanswered);
      }
      try {
        const output = await this.#once(send, left);
        return { kind: 'done', attributes: asItem(output.Attributes) };
      } catch (error) {
        const verdict = this.#classify(error);
        if (verdict.kind === 'unmet') return { kind: 'unmet', item: this.#itemOf(error) };
        if (verdict.kind === 'invalid') return { kind: 'invalid', name: verdict.name };
        const lost = verdict.outcome === 'unknown';
        unanswered ||= lost;
        last = verdict;
        const again = verdict.passing && (repeatable || !lost) && attempt < this.#options.maxAttempts;
        if (!again) throw faultOf(this.label, operation, verdict, unanswered, error);
        await this.pause(attempt);
      }
    }
  }

  /**
   * One copy of a write that looks at nothing. It is never sent again here: where it had no answer it may arrive late,
   * and its caller has to know that.
   */
  async writeOnce<T>(send: Send<T>, deadline: number): Promise<OneCopy<T>> {
    const left = deadline - this.now();
    if (left <= 0) return { kind: 'expired' };
    try {
      return { kind: 'done', output: await this.#once(send, left) };
    } catch (error) {
      return { kind: 'failed', verdict: this.#classify(error), error };
    }
  }

  /** The server left a part of a request undone: it asks for less. */
  leftUndone(): void {
    this.#pressure += 1;
  }

  #itemOf(error: unknown): Item | null {
    const item = error instanceof this.sdk.ConditionalCheckFailedException ? asItem(error.Item) : null;
    this.#tells ||= item !== null;
    return item;
  }

  async #once<T>(send: Send<T>, limitMs: number, signal?: AbortSignal): Promise<T> {
    if (this.#closed) throw new Closed(`${this.label} is closed`);
    const controller = new AbortController();
    const abort = (): void => controller.abort();
    // setTimeout turns anything longer into 1 ms.
    const timer = this.clock.after(Math.min(limitMs, 2 ** 31 - 1), abort);
    signal?.addEventListener('abort', abort, { once: true });
    if (signal?.aborted) abort();
    try {
      return await send(controller.signal);
    } finally {
      timer.cancel();
      signal?.removeEventListener('abort', abort);
    }
  }

  /** Waits a random part of a doubling time: full jitter. */
  async pause(attempt: number, signal?: AbortSignal, operation = ''): Promise<void> {
    const most = Math.min(LAST_DELAY_MS, FIRST_DELAY_MS * 2 ** (attempt - 1));
    try {
      await sleep(this.clock, this.#options.random() * most, signal);
    } catch {
      throw this.#interrupted(operation, signal);
    }
  }

  #interrupted(operation: string, signal: AbortSignal | undefined): Interrupted {
    return new Interrupted(`${this.label}: ${operation} was interrupted`, { cause: signal?.reason });
  }

  /** Waits, for a table to become active. */
  wait(ms: number): Promise<void> {
    return sleep(this.clock, ms);
  }

  /** Throws when the signal says so; between the steps of long work. */
  proceed(operation: string, signal: AbortSignal | undefined): void {
    if (signal?.aborted) throw this.#interrupted(operation, signal);
  }

  /**
   * Sends what a server did not get to (unprocessed keys or items) again until nothing is left. Progress renews the
   * patience; standing still uses it up.
   */
  async drain<T>(
    operation: string,
    items: readonly T[],
    send: (items: readonly T[]) => Promise<readonly T[]>,
    signal?: AbortSignal,
  ): Promise<void> {
    let left = items;
    for (let attempt = 1; left.length > 0; attempt += 1) {
      const before = left.length;
      left = await send(left);
      if (left.length === 0) return;
      this.#pressure += 1;
      if (left.length < before) attempt = 1;
      if (attempt >= this.#options.maxAttempts) {
        const verdict = { kind: 'fault', outcome: 'nothing-written', pressure: true, passing: true } as const;
        throw faultOf(this.label, operation, { ...verdict, name: 'unprocessed for too long' }, false);
      }
      await this.pause(attempt, signal, operation);
    }
  }
}

/** Runs `work` for every item, at most `width` at a time, and answers in their order. */
export async function pooled<T, R>(items: readonly T[], width: number, work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = new Array(items.length);
  const queue = items.entries();
  const worker = async (): Promise<void> => {
    for (const [i, item] of queue) results[i] = await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, worker));
  return results;
}

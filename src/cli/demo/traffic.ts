import { setTimeout as pause } from 'node:timers/promises';
import {
  AlreadyExists,
  ChangeoverError,
  Closed,
  InvalidRecord,
  StoreRejected,
  VersionConflict,
} from '../../core/errors.ts';
import type { Repository } from '../../repository/repository.ts';
import { COUNTER_KEYS, type EventKey, eventOf, keyOf, SHARED_KEYS, seedKey, type WebhookEvent } from './events.ts';
import { hostMicros, type Journal, keyText, type WriteKind } from './journal.ts';

/** What callers met since the last look. */
export interface TrafficSample {
  readonly latenciesMs: readonly number[];
  /** Failed calls by their code; `ALREADY_EXISTS` is an answer and no failure. */
  readonly errors: Readonly<Record<string, FailedCalls>>;
}

/** Calls that failed with one code. */
export interface FailedCalls {
  readonly times: number;
  /** What the first of them was told. */
  readonly message: string;
}

export interface TrafficOptions {
  readonly events: Repository<WebhookEvent>;
  readonly journal: Journal;
  /** Unique among all services that ever ran, without "-". */
  readonly label: string;
  readonly seeds: number;
  readonly operationsPerSecond: number;
}

const LANES = 4;
const LIST_PAGE = 10;
/** Own keys that are written again; older ones rest. */
const MOST_OWN = 300;
const FIELDS: ReadonlySet<string> = new Set([
  'userKey',
  'id',
  'event',
  'action',
  'receivedAt',
  'deliveries',
  'lastWrite',
  'payload',
]);

const isForeign = (record: object): boolean => Object.keys(record).some((field) => !FIELDS.has(field));

/** Callers of a service: a steady mix of all operations, journalled for the audit. */
export class Traffic {
  readonly #options: TrafficOptions;
  readonly #own: EventKey[] = [];
  readonly #lanes: readonly Promise<void>[];
  #made = 0;
  #writes = 0;
  #stopped = false;
  #latenciesMs: number[] = [];
  #errors: Record<string, FailedCalls> = {};

  constructor(options: TrafficOptions) {
    this.#options = options;
    this.#lanes = Array.from({ length: LANES }, () => this.#lane());
  }

  take(): TrafficSample {
    const sample = { latenciesMs: this.#latenciesMs, errors: this.#errors };
    this.#latenciesMs = [];
    this.#errors = {};
    return sample;
  }

  /** Resolves when every call has its answer. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#lanes);
  }

  /** Calls at its share of the rate; falls behind rather than piling up when calls are slow. */
  async #lane(): Promise<void> {
    const periodMs = (LANES * 1_000) / this.#options.operationsPerSecond;
    let due = performance.now() + Math.random() * periodMs;
    while (!this.#stopped) {
      const waitMs = due - performance.now();
      await pause(Math.max(waitMs, 0));
      due = Math.max(due + periodMs, performance.now());
      if (!this.#stopped) await this.#call();
    }
  }

  async #call(): Promise<void> {
    const dice = Math.random();
    const begun = performance.now();
    if (dice < 0.08) await this.#create(this.#newKey());
    else if (dice < 0.1) await this.#create(pick(SHARED_KEYS));
    else if (dice < 0.28) await this.#put(this.#anyKey());
    else if (dice < 0.43) await this.#update('update', this.#anyKey());
    else if (dice < 0.51) await this.#update('count', pick(COUNTER_KEYS));
    else if (dice < 0.59) await this.#delete(this.#anyKey());
    else if (dice < 0.96) await this.#get(Math.random() < 0.1 ? pick(COUNTER_KEYS) : this.#anyKey());
    else await this.#list(this.#anyKey().userKey);
    this.#latenciesMs.push(performance.now() - begun);
  }

  #newKey(): EventKey {
    this.#made += 1;
    const key = keyOf(Math.floor(Math.random() * 1e6), `${this.#options.label}.${this.#made}`);
    this.#own.push(key);
    if (this.#own.length > MOST_OWN) this.#own.shift();
    return key;
  }

  /** Half of the calls are about seeded events, the rest about shared and own ones. */
  #anyKey(): EventKey {
    const dice = Math.random();
    if (dice < 0.25) return pick(SHARED_KEYS);
    if (dice < 0.5 && this.#own.length > 0) return pick(this.#own);
    return seedKey(Math.floor(Math.random() * this.#options.seeds));
  }

  #fresh(key: EventKey, lastWrite: string): WebhookEvent {
    return eventOf(key, { lastWrite, deliveries: 1, receivedAt: new Date().toISOString() }) as WebhookEvent;
  }

  #create(key: EventKey): Promise<void> {
    return this.#write('create', key, async (write) => {
      await this.#options.events.create(this.#fresh(key, write));
    });
  }

  #put(key: EventKey): Promise<void> {
    return this.#write('put', key, async (write) => {
      await this.#options.events.put(this.#fresh(key, write));
    });
  }

  #delete(key: EventKey): Promise<void> {
    return this.#write('delete', key, async () => {
      await this.#options.events.delete(key);
    });
  }

  #update(kind: 'update' | 'count', key: EventKey): Promise<void> {
    return this.#write(kind, key, async (write) => {
      let from: string | null = null;
      let left = false;
      const after = await this.#options.events.update(key, (event) => {
        from = event?.lastWrite ?? null;
        left = event === undefined && kind === 'update';
        if (left) return undefined;
        if (event === undefined) return this.#fresh(key, write);
        return { ...event, lastWrite: write, deliveries: event.deliveries + 1 };
      });
      return left || after === undefined ? null : { from, count: after.deliveries };
    });
  }

  /** `work` gives null when it wrote nothing. */
  async #write(
    kind: WriteKind,
    key: EventKey,
    // biome-ignore lint/suspicious/noConfusingVoidType: most writes have nothing to tell
    work: (write: string) => Promise<{ readonly from: string | null; readonly count: number } | null | void>,
  ): Promise<void> {
    const { journal, label } = this.#options;
    this.#writes += 1;
    const write = `${label}.${this.#writes}`;
    journal.before(kind, keyText(key), write);
    try {
      const done = await work(write);
      if (done === null) journal.after(write, 'failed');
      else journal.after(write, 'applied', done ?? {});
    } catch (error) {
      if (error instanceof AlreadyExists) {
        journal.after(write, 'failed');
        return;
      }
      const code = this.#count(error);
      journal.after(write, wroteNothing(error) ? 'failed' : 'unknown', { code });
    }
  }

  async #get(key: EventKey): Promise<void> {
    await this.#read(async () => {
      const event = await this.#options.events.get(key);
      return [[keyText(key), event?.lastWrite ?? null, event !== undefined && isForeign(event)]];
    });
  }

  async #list(userKey: string): Promise<void> {
    await this.#read(async () => {
      for await (const { records } of this.#options.events.list(userKey, { pageSize: LIST_PAGE }).pages()) {
        return records.map((event) => [keyText(event), event.lastWrite, isForeign(event)] as const);
      }
      return [];
    });
  }

  async #read(
    work: () => Promise<readonly (readonly [key: string, write: string | null, foreign: boolean])[]>,
  ): Promise<void> {
    const { journal } = this.#options;
    const start = hostMicros();
    try {
      journal.read(start, await work());
    } catch (error) {
      journal.read(start, [], this.#count(error));
    }
  }

  #count(error: unknown): string {
    const code = error instanceof ChangeoverError ? error.code : 'UNEXPECTED';
    const { times, message } = this.#errors[code] ?? { times: 0, message: String(error) };
    this.#errors[code] = { times: times + 1, message };
    return code;
  }
}

/** Only errors that promise it may be taken for it. */
const wroteNothing = (error: unknown): boolean =>
  (error instanceof ChangeoverError && error.retryable) ||
  [StoreRejected, InvalidRecord, VersionConflict, Closed].some((kind) => error instanceof kind);

const pick = <T>(items: readonly T[]): T => items[Math.floor(Math.random() * items.length)] as T;

import { expect } from 'vitest';
import { equalValues } from '../../src/core/canonical.ts';
import { StoreFault } from '../../src/core/errors.ts';
import { makeStamp, type Stamp } from '../../src/core/stamp.ts';
import type {
  CasOutcome,
  Entry,
  Expected,
  KeyRef,
  Partition,
  PutOutcome,
  ScanPage,
  Store,
} from '../../src/core/store.ts';
import type { StoredRecord } from '../../src/core/value.ts';
import type { Harness, KitOptions, OpenOptions } from './harness.ts';

const DAY_ONE = 1_750_000_000_000;
const BUDGET_MS = 60_000;
const RESENDS = 50;
const MAX_PAGES = 5_000;

/** The stamp number `n` of a test, by one of several writers. */
export const stampOf = (n: number, writer = 1): Stamp => makeStamp(DAY_ONE + n, 0, writer);

/** A random generator that gives the same numbers for the same seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The same items in another order. */
export function shuffled<T>(items: readonly T[], random: () => number): T[] {
  const result = [...items];
  for (let i = result.length - 1; i > 0; i -= 1) {
    const j = Math.floor(random() * (i + 1));
    [result[i], result[j]] = [result[j] as T, result[i] as T];
  }
  return result;
}

/** Sends again, with the same stamp, what had no definite answer (R4). */
export async function definite<T>(call: () => Promise<T>): Promise<T> {
  for (let sent = 1; ; sent += 1) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof StoreFault) || sent >= RESENDS) throw error;
    }
  }
}

/** What the tests of one kit share: the harness, the stores to close, and short ways to write and look. */
export class Fixture {
  readonly seed: number;
  readonly #scale: number;
  readonly #stores: Store[] = [];
  #harness: Harness | undefined;
  #plainStamp: Stamp | null = null;

  constructor(options: KitOptions) {
    this.seed = options.seed ?? 20260101;
    this.#scale = options.scale ?? 1;
  }

  get harness(): Harness {
    if (this.#harness === undefined) throw new Error('the harness is made in beforeAll');
    return this.#harness;
  }

  start(harness: Harness): void {
    this.#harness = harness;
  }

  /** Closes what the test opened. */
  async closeStores(): Promise<void> {
    for (const store of this.#stores.splice(0)) await store.close();
  }

  async stop(): Promise<void> {
    await this.closeStores();
    await this.#harness?.close();
  }

  /** `count`, scaled, and at least `least`. */
  scaled(count: number, least = 2): number {
    return Math.max(least, Math.round(count * this.#scale));
  }

  async open(options?: OpenOptions): Promise<Store> {
    this.#plainStamp = this.harness.plainStamp ?? null;
    return this.#kept(await this.harness.open(options));
  }

  async second(): Promise<Store> {
    return this.#kept(await this.harness.second());
  }

  async unprepared(): Promise<Store | null> {
    this.#plainStamp = null;
    const store = await this.harness.unprepared();
    return store === null ? null : this.#kept(store);
  }

  /** A store for plain writes: never prepared where there is such a thing. */
  async plainStore(): Promise<Store> {
    return (await this.unprepared()) ?? (await this.open());
  }

  keep(store: Store): Store {
    return this.#kept(store);
  }

  #kept(store: Store): Store {
    this.#stores.push(store);
    return store;
  }

  /** An entry of a record. */
  entryOf(record: StoredRecord, stamp: Stamp | null): Entry {
    const key = this.harness.keys.keyOf(record);
    return { id: this.harness.keys.id(key), key, stamp, value: record };
  }

  /** The entry of record `n` with the stamp number `s`; its number field holds `s` unless `extra` says otherwise. */
  entry(n: number, s: number, extra?: StoredRecord): Entry {
    return this.entryOf(this.record(n, s, extra), stampOf(s));
  }

  record(n: number, s: number, extra?: StoredRecord): StoredRecord {
    const { number, text } = this.harness.fields;
    return this.harness.record(n, { [number]: s, [text]: `text ${s}`, ...extra });
  }

  tombstone(n: number, s: number): Entry {
    return { ...this.entry(n, s), value: null };
  }

  /** A plain record, as the store that was opened last reads it. */
  plain(n: number, s: number, extra?: StoredRecord): Entry {
    return { ...this.entry(n, s, extra), stamp: this.#plainStamp };
  }

  /** A plain delete. */
  plainDelete(n: number): Entry {
    return { ...this.entry(n, 0), stamp: null, value: null };
  }

  ref(n: number): KeyRef {
    const { id, key } = this.entry(n, 0);
    return { id, key };
  }

  /** A deadline that no test reaches. */
  later(store: Store): number {
    return store.now() + BUDGET_MS;
  }

  /** A deadline that has surely passed. */
  past(store: Store): number {
    return store.now() - store.capabilities.clockErrorMs - 2_000;
  }

  put(store: Store, entry: Entry): Promise<PutOutcome> {
    return definite(() => store.putIfNewer(entry, this.later(store)));
  }

  cas(store: Store, entry: Entry, expected: Expected): Promise<CasOutcome> {
    return definite(() => store.compareAndSet(entry, expected, this.later(store)));
  }

  putPlain(store: Store, entry: Entry): Promise<PutOutcome> {
    return store.putPlain({ ...entry, stamp: null }, this.later(store));
  }

  read(store: Store, n: number): Promise<Entry | undefined> {
    const { id, key } = this.ref(n);
    return store.get(id, key);
  }

  /** Everything that a scan over `count` partitions sees. */
  async scanAll(store: Store, count = 1, pageSize = 100): Promise<Entry[]> {
    const entries: Entry[] = [];
    for (const partition of await store.partitions(count)) {
      for (const page of await scanPages(store, partition, pageSize)) entries.push(...page.entries);
    }
    return entries;
  }

  /** Says that nothing at all is stored. */
  async expectEmpty(store: Store): Promise<void> {
    expect(await this.scanAll(store), 'a scan').toEqual([]);
  }
}

/** The pages of one partition, from a cursor on. */
export async function scanPages(
  store: Store,
  partition: Partition,
  pageSize: number,
  cursor?: string,
): Promise<ScanPage[]> {
  const pages: ScanPage[] = [];
  for await (const page of store.scan(partition, { pageSize, cursor })) {
    pages.push(page);
    if (pages.length > MAX_PAGES) expect.fail(`a scan of ${partition.id} does not end: its cursor goes round`);
  }
  return pages;
}

/** Says that an entry is this one: key, stamp, and value by the rules of value.ts. */
export function expectEntry(actual: Entry | undefined, expected: Entry, hint = ''): void {
  expect(actual, `${hint} nothing is stored under ${expected.id}`).toBeDefined();
  if (actual === undefined) return;
  expect(actual.id, `${hint} id`).toBe(expected.id);
  expect(equalValues(actual.key, expected.key), `${hint} the key of ${expected.id} came back different`).toBe(true);
  expect(actual.stamp, `${hint} the stamp of ${expected.id}`).toBe(expected.stamp);
  expectValue(actual.value, expected.value, `${hint} the value of ${expected.id}`);
}

/** Says that two values are equal by the rules of value.ts, and shows both when they are not. */
export function expectValue(actual: unknown, expected: unknown, hint: string): void {
  if (!equalValues(actual, expected)) expect({ hint, value: actual }).toEqual({ hint, value: expected });
  expect(equalValues(actual, expected), hint).toBe(true);
}

/** Says the same of many entries, in whatever order. */
export function expectSameEntries(actual: readonly Entry[], expected: readonly Entry[], hint = ''): void {
  const byId = new Map(actual.map((entry) => [entry.id, entry]));
  expect(actual.length, `${hint} an entry came twice`).toBe(byId.size);
  expect([...byId.keys()].sort(), hint).toEqual(expected.map((entry) => entry.id).sort());
  for (const entry of expected) expectEntry(byId.get(entry.id), entry, hint);
}

import { describe, expect, it } from 'vitest';
import { describeStore, type Harness, type OpenOptions } from '../../adapters/conformance/index.ts';
import {
  type Call,
  type Fault,
  type FaultPlan,
  MemoryDatabase,
  type MemoryDefinition,
  type MemoryOptions,
  type MemoryRecords,
  memory,
} from '../../adapters/memory/index.ts';
import { type Clock, systemClock } from '../../src/core/clock.ts';
import { Closed, InvalidConfiguration, NotPrepared, NotSupported, StoreFault } from '../../src/core/errors.ts';
import { KeySpec } from '../../src/core/record-key.ts';
import { makeStamp } from '../../src/core/stamp.ts';
import { type Capabilities, type Entry, identityCodec, type Store } from '../../src/core/store.ts';
import type { StoredRecord } from '../../src/core/value.ts';
import { LateStore } from '../../src/service/late-store.ts';
import { settle, VirtualClock } from '../support/virtual-clock.ts';

const keys = new KeySpec(['user', 'id'], ['user']);

/** Nothing here waits, so all clients of a harness share the machine's clock. */
class MemoryHarness implements Harness {
  readonly keys = keys;
  readonly fields = { number: 'count', text: 'title', any: 'data' };
  readonly holdsValues = 'all';
  readonly holdsKeys = 'all';
  readonly #capabilities: Partial<Capabilities>;
  #database = new MemoryDatabase();
  #codec = identityCodec;

  constructor(capabilities: Partial<Capabilities> = {}) {
    this.#capabilities = capabilities;
  }

  async open(options: OpenOptions = {}): Promise<Store> {
    this.#reset(true);
    this.#codec = options.codec ?? identityCodec;
    return this.second();
  }

  async second(): Promise<Store> {
    return this.#client();
  }

  async unprepared(): Promise<Store> {
    this.#reset(false);
    this.#codec = identityCodec;
    return this.second();
  }

  record(n: number, extra?: StoredRecord): StoredRecord {
    return { user: `u${Math.floor(n / 10)}`, id: `i${n}`, slot: `s${n}`, ...extra };
  }

  recordNamed = (text: string, extra?: StoredRecord): StoredRecord => ({ user: 'named', id: text, ...extra });
  breaksConstraint = (n: number): StoredRecord => this.record(n, { count: -1 });
  breaksLimit = (n: number): StoredRecord => this.record(n, { title: 'x'.repeat(10_001) });
  breaksUnique = (n: number, other: StoredRecord): StoredRecord => ({
    ...this.record(n),
    slot: other['slot'],
  });
  failingFor = (ids: readonly string[]): Promise<Store> => {
    let struck = false;
    return this.#client(({ op }) => {
      if (op !== 'putManyIfNewer' || struck) return undefined;
      struck = true;
      return { kind: 'fail', pressure: true, ids };
    });
  };

  nativeRows = async (store: Store): Promise<StoredRecord[]> => (store.native as MemoryRecords).records();

  async close(): Promise<void> {}

  #reset(prepared: boolean): void {
    this.#database = new MemoryDatabase({
      prepared,
      constraint: (entry, others) => {
        if (entry.value?.['count'] === -1) return 'count is negative';
        const slot = entry.value?.['slot'];
        const taken = slot !== undefined && [...others].some(({ value }) => value?.['slot'] === slot);
        return taken ? 'slot is taken' : null;
      },
      limit: ({ value }) => (String(value?.['title'] ?? '').length > 10_000 ? 'title is too long' : null),
    });
  }

  async #client(faults?: FaultPlan): Promise<Store> {
    const store = await memory({ database: this.#database, faults, capabilities: this.#capabilities }).create({
      migration: 'events',
      side: 'old',
      keys,
      codec: this.#codec,
      clock: systemClock,
    });
    await store.open();
    return store;
  }
}

describeStore('memory', async () => new MemoryHarness());
/** What it gives away is connected when it is first needed, as a process does whose store was away. */
class LateHarness extends MemoryHarness {
  override async second(): Promise<Store> {
    const store = new LateStore(await super.second(), 'events', 'old', systemClock);
    await store.open();
    return store;
  }
}

describeStore('memory, connected late', async () => new LateHarness());
describeStore('memory without deadlines', async () => new MemoryHarness({ lateBoundMs: 900_000, list: false }));

const entryOf = (n: number, s: number): Entry => {
  const value = { user: 'ada', id: `i${n}`, count: s };
  const key = keys.keyOf(value);
  return { id: keys.id(key), key, stamp: makeStamp(1_000 + s, 0, 1), value };
};

/** What became of a call so far. */
type Fate<T> = { state: 'open' } | { state: 'done'; value: T } | { state: 'failed'; error: unknown };

const watch = <T>(promise: Promise<T>): { fate: Fate<T> } => {
  const seen: { fate: Fate<T> } = { fate: { state: 'open' } };
  promise.then(
    (value) => {
      seen.fate = { state: 'done', value };
    },
    (error: unknown) => {
      seen.fate = { state: 'failed', error };
    },
  );
  return seen;
};

const applied = (previous = 'absent') => ({ state: 'done', value: { kind: 'applied', previous } });
const failed = (outcome: 'unknown' | 'nothing-written', pressure = false) => ({
  state: 'failed',
  error: expect.objectContaining({ code: 'STORE_FAULT', outcome, pressure }),
});

const connect = (definition: MemoryDefinition, clock: Clock): Promise<Store> =>
  definition.create({ migration: 'events', side: 'new', keys, codec: identityCodec, clock });

/** A database on a virtual clock, and a client whose next write meets `fault`. */
async function struckBy(fault: Fault | undefined, options: MemoryOptions = {}) {
  const clock = new VirtualClock();
  const database = new MemoryDatabase({ clock, prepared: true });
  let left = fault;
  const faults: FaultPlan = ({ op }) => {
    if (!op.startsWith('put') && op !== 'compareAndSet') return undefined;
    const now = left;
    left = undefined;
    return now;
  };
  const store = await connect(memory({ database, faults, ...options }), clock);
  const soon = (ms: number) => store.now() + ms;
  return { clock, database, store, soon };
}

describe('a memory database with faults, on a virtual clock', () => {
  it('answers without a timer when nothing is planned', async () => {
    const { clock, store, soon } = await struckBy(undefined);
    const put = watch(store.putIfNewer(entryOf(1, 1), soon(1)));
    await settle();
    expect(put.fate).toEqual(applied());
    expect(clock.pending).toBe(0);
    expect(clock.monotonic()).toBe(0);
  });

  it('applies a slow request when it arrives, and answers later still', async () => {
    const { clock, database, store, soon } = await struckBy({ kind: 'slow', requestMs: 30, answerMs: 20 });
    const put = watch(store.putIfNewer(entryOf(1, 1), soon(100)));
    await clock.advance(29);
    expect(database.snapshot()).toEqual([]);
    await clock.advance(1);
    expect(database.snapshot()).toHaveLength(1);
    await clock.advance(19);
    expect(put.fate.state).toBe('open');
    await clock.advance(1);
    expect(put.fate).toEqual(applied());
  });

  it('holds the deadline against the moment at which a slow put arrives', async () => {
    const { clock, database, store, soon } = await struckBy({ kind: 'slow', requestMs: 30 });
    const put = watch(store.putIfNewer(entryOf(1, 1), soon(30)));
    await clock.advance(30);
    expect(put.fate).toEqual({ state: 'done', value: { kind: 'expired' } });
    expect(database.snapshot()).toEqual([]);
  });

  it('fails with nothing written, and under pressure says so', async () => {
    for (const pressure of [false, true]) {
      const { clock, database, store, soon } = await struckBy({ kind: 'fail', pressure, requestMs: 5, answerMs: 5 });
      const put = watch(store.putIfNewer(entryOf(1, 1), soon(100)));
      await clock.advance(10);
      expect(put.fate).toEqual(failed('nothing-written', pressure));
      expect(database.snapshot()).toEqual([]);
    }
  });

  it('loses a request: the outcome is unknown, and nothing was written', async () => {
    const { clock, database, store, soon } = await struckBy({ kind: 'lose-request', answerMs: 50 });
    const put = watch(store.putIfNewer(entryOf(1, 1), soon(100)));
    await clock.advance(49);
    expect(put.fate.state).toBe('open');
    await clock.advance(1);
    expect(put.fate).toEqual(failed('unknown'));
    expect(await clock.runUntilIdle()).toBe(true);
    expect(database.snapshot()).toEqual([]);
  });

  it('loses an answer: the outcome is unknown, the entry is there, and a second sending finds it', async () => {
    const { clock, database, store, soon } = await struckBy({ kind: 'lose-answer', requestMs: 10, answerMs: 50 });
    const put = watch(store.putIfNewer(entryOf(1, 1), soon(100)));
    await clock.advance(10);
    expect(database.snapshot()).toEqual([entryOf(1, 1)]);
    expect(put.fate.state).toBe('open');
    await clock.advance(50);
    expect(put.fate).toEqual(failed('unknown'));
    expect(await store.putIfNewer(entryOf(1, 1), soon(100))).toEqual({ kind: 'applied', previous: 'same' });
  });

  it('never answers, whether it applied the put or not', async () => {
    for (const isApplied of [false, true]) {
      const { clock, database, store, soon } = await struckBy({ kind: 'hang', applied: isApplied });
      const put = watch(store.putIfNewer(entryOf(1, 1), soon(100)));
      await clock.advance(1_000_000);
      expect(put.fate.state).toBe('open');
      expect(database.snapshot()).toHaveLength(isApplied ? 1 : 0);
    }
  });

  it('applies late what its caller has given up on', async () => {
    for (const caller of ['unknown', 'hang'] as const) {
      const { clock, database, store, soon } = await struckBy({ kind: 'late', lateMs: 80, caller });
      const put = watch(store.putIfNewer(entryOf(1, 1), soon(100)));
      await clock.advance(79);
      expect(put.fate).toEqual(caller === 'hang' ? { state: 'open' } : failed('unknown'));
      expect(database.snapshot()).toEqual([]);
      await clock.advance(1);
      expect(database.snapshot()).toEqual([entryOf(1, 1)]);
    }
  });

  it('changes nothing by what arrives after its deadline', async () => {
    const { clock, database, store, soon } = await struckBy({ kind: 'late', lateMs: 80, caller: 'unknown' });
    const put = watch(store.putIfNewer(entryOf(1, 1), soon(80)));
    await clock.advance(1_000);
    expect(put.fate).toEqual(failed('unknown'));
    expect(database.snapshot()).toEqual([]);
    expect(database.calls('putIfNewer')).toBe(1);
  });

  it('applies a late compare-and-set only if what it expects is still there', async () => {
    const { clock, database, store, soon } = await struckBy({ kind: 'late', lateMs: 80, caller: 'unknown' });
    database.load([entryOf(1, 1)]);
    const expected = { kind: 'version', stamp: entryOf(1, 1).stamp } as const;
    watch(store.compareAndSet(entryOf(1, 2), expected, soon(1_000)));
    await clock.advance(10);
    expect((await store.putIfNewer(entryOf(1, 3), soon(1_000))).kind).toBe('applied');
    await clock.advance(100);
    expect(database.snapshot()).toEqual([entryOf(1, 3)]);
  });

  it('applies twice: a copy that arrives later, over what was written since', async () => {
    const { clock, database, store, soon } = await struckBy({ kind: 'twice', againMs: 40 });
    const plain: Entry = { ...entryOf(1, 1), stamp: null };
    expect((await store.putPlain(plain, soon(100))).kind).toBe('applied');
    await store.putPlain({ ...plain, value: null }, soon(100));
    expect(database.snapshot()).toEqual([]);
    await clock.advance(40);
    expect(database.snapshot()).toEqual([plain]);
    expect(database.calls('putPlain')).toBe(3);
  });

  it('is not moved by the second copy of a stamped put, nor by one after its deadline', async () => {
    for (const budgetMs of [100, 30]) {
      const { clock, database, store, soon } = await struckBy({ kind: 'twice', againMs: 40 });
      await store.putIfNewer(entryOf(1, 1), soon(budgetMs));
      await store.putIfNewer(entryOf(1, 2), soon(100));
      await clock.advance(50);
      expect(database.snapshot()).toEqual([entryOf(1, 2)]);
    }
  });

  it('rejects as a constraint or a limit would, with nothing written', async () => {
    for (const reason of ['constraint', 'limit'] as const) {
      const { database, store, soon } = await struckBy({ kind: 'reject', reason, message: 'no' });
      const outcome = await store.putIfNewer(entryOf(1, 1), soon(100));
      expect(outcome).toEqual({ kind: 'rejected', reason, message: 'no' });
      expect(database.snapshot()).toEqual([]);
    }
  });

  it('turns the fault of a part of a batch into the outcome of that part', async () => {
    const ids = [entryOf(2, 1).id];
    for (const [fault, outcome, count] of [
      [{ kind: 'lose-answer', ids }, 'unknown', 3],
      [{ kind: 'fail', ids }, 'nothing-written', 2],
    ] as const) {
      const { database, store, soon } = await struckBy(fault);
      const outcomes = await store.putManyIfNewer([entryOf(1, 1), entryOf(2, 1), entryOf(3, 1)], soon(100));
      expect(outcomes.map(({ kind }) => kind)).toEqual(['applied', 'fault', 'applied']);
      expect(outcomes[1]).toMatchObject({ outcome });
      expect(database.snapshot()).toHaveLength(count);
    }
  });

  it('turns the fault of a whole batch into the outcome of each entry', async () => {
    const { database, store, soon } = await struckBy({ kind: 'lose-request' });
    const outcomes = await store.putManyIfNewer([entryOf(1, 1), entryOf(2, 1)], soon(100));
    expect(outcomes.map(({ kind }) => kind)).toEqual(['fault', 'fault']);
    expect(database.snapshot()).toEqual([]);
  });

  it('strikes reads too, which are then unanswered', async () => {
    const clock = new VirtualClock();
    const definition = memory({ faults: ({ op }) => (op === 'get' ? { kind: 'lose-answer' } : undefined) });
    const store = await connect(definition, clock);
    const { id, key } = entryOf(1, 1);
    await expect(store.get(id, key)).rejects.toBeInstanceOf(StoreFault);
    expect(await store.getMany([{ id, key }])).toEqual([undefined]);
  });

  it('tells the plan what is asked, of which entries, by whom', async () => {
    const calls: Call[] = [];
    const definition = memory({
      faults: (call) => {
        calls.push(call);
        return undefined;
      },
    });
    definition.database.prepared = true;
    const store = await connect(definition, new VirtualClock());
    await store.putManyIfNewer([entryOf(1, 1), entryOf(2, 1)], store.now() + 1);
    const [partition] = await store.partitions(1);
    if (partition)
      for await (const page of store.scan(partition, { pageSize: 1 })) expect(page.entries).toHaveLength(1);
    const by = { side: 'new', migration: 'events' };
    expect(calls).toEqual([
      { op: 'putManyIfNewer', ids: [entryOf(1, 1).id, entryOf(2, 1).id], ...by },
      { op: 'partitions', ids: [], ...by },
      { op: 'scan', ids: [], ...by },
      { op: 'scan', ids: [], ...by },
      { op: 'scan', ids: [], ...by },
    ]);
  });
});

describe('a memory database in an outage', () => {
  it('that refuses fails every call at once, with nothing written', async () => {
    const { database, store, soon } = await struckBy(undefined);
    database.outage = 'refuse';
    const { id, key } = entryOf(1, 1);
    for (const call of [store.open(), store.get(id, key), store.putIfNewer(entryOf(1, 1), soon(100))]) {
      await expect(call).rejects.toMatchObject({ code: 'STORE_FAULT', outcome: 'nothing-written' });
    }
    expect((await store.putManyIfNewer([entryOf(1, 1)], soon(100)))[0]).toMatchObject({ kind: 'fault' });
    database.outage = 'none';
    expect(database.snapshot()).toEqual([]);
    expect((await store.putIfNewer(entryOf(1, 1), soon(100))).kind).toBe('applied');
  });

  it('that hangs applies what waited when it ends, in order, unless the deadline is over', async () => {
    const { clock, database, store, soon } = await struckBy(undefined);
    database.outage = 'hang';
    const first = watch(store.putIfNewer(entryOf(1, 1), soon(5_000)));
    const second = watch(store.putIfNewer(entryOf(1, 2), soon(5_000)));
    const hasty = watch(store.putIfNewer(entryOf(2, 1), soon(1_000)));
    await clock.advance(2_000);
    expect([first.fate.state, second.fate.state, hasty.fate.state]).toEqual(['open', 'open', 'open']);
    database.outage = 'none';
    await settle();
    expect(first.fate).toEqual(applied());
    expect(second.fate).toEqual(applied('record'));
    expect(hasty.fate).toEqual({ state: 'done', value: { kind: 'expired' } });
    expect(database.snapshot()).toEqual([entryOf(1, 2)]);
  });

  it('that hangs and then refuses loses what waited', async () => {
    const { database, store, soon } = await struckBy(undefined);
    database.outage = 'hang';
    const put = watch(store.putIfNewer(entryOf(1, 1), soon(5_000)));
    await settle();
    database.outage = 'refuse';
    await settle();
    expect(put.fate).toEqual(failed('unknown'));
    expect(database.snapshot()).toEqual([]);
  });
});

describe('the time of a memory database', () => {
  it('is its own: every client sees it, however wrong the clock of its node is', async () => {
    const clock = new VirtualClock();
    const database = new MemoryDatabase({ clock, skewMs: 700, prepared: true });
    const definition = memory({ database });
    const slow = await connect(definition, clock.skewed(-60_000));
    const fast = await connect(definition, clock.skewed(60_000));
    expect(slow.now()).toBe(clock.now() + 700);
    expect(fast.now()).toBe(clock.now() + 700);
    const deadline = slow.now() + 10;
    await clock.advance(9);
    expect((await fast.putIfNewer(entryOf(1, 1), deadline)).kind).toBe('applied');
    database.skewMs += 1;
    expect((await fast.putIfNewer(entryOf(1, 2), deadline)).kind).toBe('expired');
  });

  it('is not looked at where a late bound is declared', async () => {
    const { clock, database, store, soon } = await struckBy(
      { kind: 'late', lateMs: 80, caller: 'unknown' },
      { capabilities: { lateBoundMs: 900_000 } },
    );
    watch(store.putIfNewer(entryOf(1, 1), soon(10)));
    await clock.advance(80);
    expect(database.snapshot()).toEqual([entryOf(1, 1)]);
    expect(store.capabilities.lateBoundMs).toBe(900_000);
  });
});

describe('a memory store', () => {
  it('gives named queries its records, and knows their stamps when it gets them back', async () => {
    const { database, store, soon } = await struckBy(undefined);
    await store.putIfNewer(entryOf(1, 7), soon(100));
    database.load([
      { ...entryOf(2, 1), stamp: null },
      { ...entryOf(3, 9), value: null },
    ]);
    const native = store.native as MemoryRecords;
    expect(native.database).toBe(database);
    const [one, two] = native.records().sort((a, b) => String(a['id']).localeCompare(String(b['id'])));
    expect(store.decode(one)).toEqual(entryOf(1, 7));
    expect(store.decode(two)).toEqual({ ...entryOf(2, 1), stamp: null });
    expect(store.decode({ ...one })).toEqual({ ...entryOf(1, 7), stamp: null });
  });

  it('refuses stamped writes before it is prepared, and everything after it is closed', async () => {
    const clock = new VirtualClock();
    const store = await connect(memory(), clock);
    await expect(store.putIfNewer(entryOf(1, 1), store.now() + 1)).rejects.toBeInstanceOf(NotPrepared);
    await expect(store.putManyIfNewer([entryOf(1, 1)], store.now() + 1)).rejects.toBeInstanceOf(NotPrepared);
    await store.close();
    await expect(store.prepared()).rejects.toBeInstanceOf(Closed);
  });

  it('goes without the abilities that it is told to go without', async () => {
    const store = await connect(memory({ capabilities: { list: false, batchSize: 3 } }), new VirtualClock());
    expect(store.capabilities).toEqual({ lateBoundMs: 0, clockErrorMs: 0, list: false, batchSize: 3 });
    await expect(store.list({ user: 'ada' }, null, 1)).rejects.toBeInstanceOf(NotSupported);
    expect(() => memory({ capabilities: { batchSize: 0 } })).toThrow(InvalidConfiguration);
    expect(() => memory({ capabilities: { lateBoundMs: Number.NaN } })).toThrow(InvalidConfiguration);
  });

  it('hands out snapshots that can be loaded elsewhere and share nothing', async () => {
    const { database, store, soon } = await struckBy(undefined);
    await store.putIfNewer(entryOf(1, 1), soon(100));
    const taken = database.snapshot();
    const copy = new MemoryDatabase();
    copy.load(taken);
    (taken[0]?.value as Record<string, unknown>)['count'] = 'spoiled';
    expect(database.snapshot()).toEqual([entryOf(1, 1)]);
    expect(copy.snapshot()).toEqual([entryOf(1, 1)]);
  });
});

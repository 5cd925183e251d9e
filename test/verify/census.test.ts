import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type MemoryDatabase, type MemoryOptions, memory } from '../../adapters/memory/index.ts';
import { systemClock } from '../../src/core/clock.ts';
import { InvalidRecord } from '../../src/core/errors.ts';
import { KeySpec } from '../../src/core/record-key.ts';
import { type Codec, type Entry, identityCodec, type ScanPage, type Store } from '../../src/core/store.ts';
import { cloneValue, type StoredRecord, type Value } from '../../src/core/value.ts';
import { type CensusOptions, type CensusReport, takeCensus } from '../../verify/census.ts';
import type { LossMatrix, PathLoss } from '../../verify/lossiness.ts';
import { withMethods } from './data-set.ts';

const keys = new KeySpec(['user', 'id'], ['user']);

const entryOf = (value: StoredRecord): Entry => {
  const key = keys.keyOf(value);
  return { id: keys.id(key), key, stamp: null, value };
};

interface Setting extends Partial<Pick<CensusOptions, 'sample' | 'rules' | 'signal' | 'onProgress'>> {
  readonly codecs?: { readonly old?: Codec; readonly new?: Codec };
  readonly old?: MemoryOptions;
  readonly limit?: (entry: Entry) => string | null;
  /** Told of every page of the old store, which has one share then. */
  readonly onPage?: (page: ScanPage) => void;
  readonly showValues?: boolean;
}

/** A census of these records, from one memory store to another. */
async function censusOf(records: readonly StoredRecord[], setting: Setting = {}): Promise<CensusReport> {
  const { MemoryDatabase } = await import('../../adapters/memory/index.ts');
  const old: MemoryDatabase = new MemoryDatabase();
  const fresh: MemoryDatabase = new MemoryDatabase({ limit: setting.limit });
  const connect = async (side: 'old' | 'new', options: MemoryOptions): Promise<Store> => {
    const context = { migration: 'events', side, keys, codec: setting.codecs?.[side] ?? identityCodec };
    return memory(options).create({ ...context, clock: systemClock });
  };
  old.load(records.map(entryOf));
  const before = old.snapshot();
  const { sample = null, rules = {}, signal, onProgress, onPage } = setting;
  const plain = await connect('old', { ...setting.old, database: old });
  const watched: Partial<Store> = {
    partitions: () => plain.partitions(1),
    async *scan(partition, options): AsyncIterable<ScanPage> {
      for await (const page of plain.scan(partition, options)) {
        onPage?.(page);
        yield page;
      }
    },
  };
  const stores = {
    old: onPage === undefined ? plain : withMethods(plain, watched),
    new: await connect('new', { database: fresh }),
  };
  const { census, exhaustive } = await takeCensus({
    stores,
    keys,
    rules,
    sample,
    signal,
    onProgress,
    clock: systemClock,
    random: Math.random,
  });
  // Whatever it finds, it changes nothing.
  expect(old.snapshot()).toEqual(before);
  expect(fresh.snapshot()).toEqual([]);
  return census.report(exhaustive, setting.showValues);
}

const losing = ({ paths }: LossMatrix): readonly PathLoss[] =>
  paths.filter(({ lost, changed, refused }) => lost > 0 || changed.length > 0 || refused.length > 0);

const pathsOf = (matrix: LossMatrix): readonly string[] => losing(matrix).map(({ path }) => path);

/** A codec that does something to the value at a place; one that is not there is left alone. */
const at = (steps: readonly string[], change: (parent: Record<string, Value>, field: string) => void): Codec => ({
  encode: (record) => {
    const copy = cloneValue(record) as Record<string, Value>;
    let parent: unknown = copy;
    for (const step of steps.slice(0, -1)) parent = (parent as Record<string, Value> | undefined)?.[step];
    const field = steps.at(-1) as string;
    if (parent !== undefined && Object.hasOwn(parent as object, field)) change(parent as Record<string, Value>, field);
    return copy;
  },
  decode: (stored) => stored,
});

const record = (n: number, rest: StoredRecord = {}): StoredRecord => ({ user: `u${n % 7}`, id: `i${n}`, ...rest });
const many = (count: number, rest: (n: number) => StoredRecord = () => ({})): StoredRecord[] =>
  Array.from({ length: count }, (_, n) => record(n, rest(n)));

/** Nested records of a schema: each field a leaf or a record of its own, all there in each record. */
const schema = fc.letrec<{ node: { readonly [field: string]: unknown } }>((tie) => ({
  node: fc.dictionary(
    fc.constantFrom('a', 'b', 'c', 'a.b', '*', 'x y', 'list', 'user2'),
    fc.oneof({ depthSize: 'small' }, fc.constant(null), tie('node')),
    { minKeys: 1, maxKeys: 5, noNullPrototype: true },
  ),
})).node;

type Shape = { readonly [field: string]: Shape | null };

const leavesOf = (shape: Shape, above: readonly string[] = []): (readonly string[])[] =>
  Object.entries(shape).flatMap(([field, below]) =>
    below === null ? [[...above, field]] : leavesOf(below, [...above, field]),
  );

const fill = (shape: Shape, n: number): StoredRecord =>
  Object.fromEntries(
    Object.entries(shape).map(([field, below]) => [field, below === null ? `${field}${n}` : fill(below, n)]),
  );

const written = (steps: readonly string[]): string =>
  steps.reduce(
    (path, step) =>
      /^[A-Za-z_$][\w$-]*$/.test(step) ? `${path}${path === '' ? '' : '.'}${step}` : `${path}[${JSON.stringify(step)}]`,
    '',
  );

/** A schema and one of its leaves. */
const place = schema
  .map((shape) => ({ shape: shape as Shape, leaves: leavesOf(shape as Shape) }))
  .filter(({ leaves }) => leaves.length > 0)
  .chain(({ shape, leaves }) => fc.record({ shape: fc.constant(shape), steps: fc.constantFrom(...leaves) }));

describe('a codec that does something to one field', () => {
  test('that drops it is found at exactly that path, as often as it does', async () => {
    await fc.assert(
      fc.asyncProperty(place, fc.integer({ min: 1, max: 30 }), async ({ shape, steps }, count) => {
        const drop = at(steps, (parent, field) => delete parent[field]);
        const report = await censusOf(
          many(count, (n) => fill(shape, n)),
          { codecs: { new: drop } },
        );
        expect(pathsOf(report.toNew)).toEqual([written(steps)]);
        expect(losing(report.toNew)[0]).toMatchObject({ lost: count, kept: 0, changed: [], refused: [] });
        expect(report.losses).toEqual([`new store: ${written(steps)} lost`]);
        expect(report.toNew).toMatchObject({ records: count, same: 0, refused: 0 });
        // What the new store has left of them goes back unharmed.
        expect(report.toOld).toMatchObject({ records: count, same: count });
      }),
      { numRuns: 60 },
    );
  });

  test('that makes another type of it is found there, with both types', async () => {
    const kinds: readonly [Value, string][] = [
      [7, 'number'],
      [7n, 'bigint'],
      [new Date(0), 'Date'],
      [null, 'null'],
      [true, 'boolean'],
      [['x'], 'array'],
      [{ y: 1 }, 'object'],
      [new Uint8Array(3), 'bytes'],
      ['other', 'another string'],
    ];
    await fc.assert(
      fc.asyncProperty(place, fc.constantFrom(...kinds), async ({ shape, steps }, [value, to]) => {
        const change = at(steps, (parent, field) => {
          parent[field] = value;
        });
        const report = await censusOf(
          many(3, (n) => fill(shape, n)),
          { codecs: { new: change } },
        );
        expect(losing(report.toNew)).toMatchObject([
          { path: written(steps), lost: 0, kept: 0, changed: [{ from: 'string', to, count: 3 }] },
        ]);
        expect(report.losses).toEqual([`new store: ${written(steps)} string → ${to}`]);
      }),
      { numRuns: 60 },
    );
  });

  test('that refuses some of its values is found there, with its reason, whatever it says', async () => {
    await fc.assert(
      fc.asyncProperty(place, fc.boolean(), async ({ shape, steps }, ours) => {
        const refuse = at(steps, () => {
          throw ours ? new InvalidRecord('cannot be held') : new TypeError('secret value');
        });
        const report = await censusOf(
          many(4, (n) => (n % 2 === 0 ? fill(shape, n) : {})),
          {
            codecs: { new: refuse },
          },
        );
        expect(report.toNew).toMatchObject({ records: 4, same: 2, refused: 2 });
        // Where leaving out a record around it helps as well, it is still the field itself that is named.
        expect(pathsOf(report.toNew)).toEqual([written(steps)]);
        expect(losing(report.toNew)[0]?.refused).toMatchObject([{ count: 2 }]);
        expect(JSON.stringify(report)).not.toContain('secret value');
      }),
      { numRuns: 60 },
    );
  });

  test('of the old store is found on the way back', async () => {
    const codec: Codec = { encode: (held) => ({ ...held, n: Math.round(Number(held['n'])) }), decode: (held) => held };
    const report = await censusOf(
      many(5, (n) => ({ n: n + 0.5 })),
      { codecs: { old: codec } },
    );
    expect(pathsOf(report.toNew)).toEqual([]);
    expect(losing(report.toOld)).toMatchObject([
      { path: 'n', changed: [{ from: 'number', to: 'another number', count: 5 }] },
    ]);
    expect(report.losses).toEqual(['old store: n number → another number']);
  });

  test('that adds one is found', async () => {
    const codec: Codec = { encode: (held) => ({ ...held, extra: 1 }), decode: (held) => held };
    const report = await censusOf(many(2), { codecs: { new: codec } });
    expect(report.losses).toEqual(['new store: extra absent → number']);
  });

  test('that does nothing is found innocent, and every place is counted', async () => {
    await fc.assert(
      fc.asyncProperty(place, fc.integer({ min: 0, max: 9 }), async ({ shape, steps }, count) => {
        const report = await censusOf(many(count, (n) => fill(shape, n)));
        expect(report).toMatchObject({ losses: [], sampled: count, exhaustive: true, unreadable: null });
        expect(report.toNew).toMatchObject({ records: count, same: count, refused: 0 });
        expect(report.toNew.paths.find(({ path }) => path === written(steps))?.kept ?? 0).toBe(count);
      }),
      { numRuns: 30 },
    );
  });
});

describe('places', () => {
  test('of items are one place, however many there are and however many are lost', async () => {
    const items = (n: number): Value[] => Array.from({ length: n }, (_, i) => ({ at: i, keep: 1 }));
    const codec: Codec = {
      encode: (held) => ({
        ...held,
        items: (held['items'] as { keep: Value }[]).map(({ keep }) => ({ keep })),
        z: undefined,
      }),
      decode: (held) => held,
    };
    const report = await censusOf([record(1, { items: items(70), z: 1 }), record(2, { items: items(3), z: 2 })], {
      codecs: { new: codec },
    });
    expect(losing(report.toNew)).toMatchObject([
      { path: 'items[].at', lost: 73 },
      { path: 'z', lost: 2 },
    ]);
    expect(report.toNew.paths.find(({ path }) => path === 'items[].keep')).toMatchObject({ kept: 73, lost: 0 });
  });

  test('below keys of a map are one place, fields of a wide record are not', async () => {
    const wide = Object.fromEntries(Array.from({ length: 80 }, (_, i) => [`f${i}`, 'x']));
    const codec: Codec = {
      encode: (held) => {
        const { f40: _, ...rest } = held as Record<string, Value>;
        const counts = held['counts'] as Record<string, { n: Value; m: Value }>;
        return { ...rest, counts: Object.fromEntries(Object.entries(counts).map(([k, { n }]) => [k, { n }])) };
      },
      decode: (held) => held,
    };
    const report = await censusOf(
      many(200, (n) => ({ ...wide, counts: { [`day ${n}`]: { n, m: n } } })),
      { codecs: { new: codec } },
    );
    expect(losing(report.toNew)).toMatchObject([
      { path: 'counts.*.m', lost: 200 },
      { path: 'f40', lost: 200 },
    ]);
    expect(report.toNew.paths.length).toBeLessThan(90);
  });

  test('are bounded whatever the records are', async () => {
    const report = await censusOf(
      many(12, (n) => ({
        a: Object.fromEntries(
          Array.from({ length: 700 }, (_, i) => [`k${n}-${i}`, { [`x${i * n}`]: { [`y${i}`]: 1 } }]),
        ),
      })),
    );
    expect(report.losses).toEqual([]);
    expect(report.toNew.paths.length).toBeLessThan(2_001);
  });
});

describe('what is refused', () => {
  const longest = (most: number) => (entry: Entry) => {
    const size = JSON.stringify(entry.value).length;
    return size > most ? `the record has ${size} bytes, more than ${most}` : null;
  };

  test('because of its size is named by the field without which it fits, and as a whole where there is none such', async () => {
    const big = await censusOf([record(1, { text: 'x'.repeat(900), n: 1 }), record(2)], { limit: longest(200) });
    expect(pathsOf(big.toNew)).toEqual(['text']);
    const many = Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`field${i}`, 'y'.repeat(60)]));
    const wide = await censusOf([record(1, many), record(2)], { limit: longest(200) });
    expect(wide.losses).toEqual(['new store: (the whole record) refused (limit)']);
  });

  test('because of two fields is named by both', async () => {
    const limit = ({ value }: Entry): string | null =>
      typeof value?.['a'] === 'bigint' ? 'a is a bigint' : value?.['b'] instanceof Date ? 'b is a date' : null;
    const report = await censusOf([record(1, { a: 1n, b: new Date(0), c: 'fine' })], { limit });
    expect(pathsOf(report.toNew)).toEqual(['a', 'b']);
  });

  test('is named where fields must be there, as those of a table, and may be null', async () => {
    const limit = ({ value }: Entry): string | null => {
      const absent = ['a', 'b', 'c'].find((field) => value?.[field] === undefined);
      if (absent !== undefined) return `${absent} is absent`;
      return typeof value?.['b'] === 'bigint' ? 'b is a bigint' : value?.['c'] instanceof Date ? 'c is a date' : null;
    };
    const one = await censusOf([record(1, { a: 1, b: 1n, c: 'fine' })], { limit });
    expect(pathsOf(one.toNew)).toEqual(['b']);
    const two = await censusOf([record(1, { a: 1, b: 1n, c: new Date(0) })], { limit });
    expect(pathsOf(two.toNew)).toEqual(['b', 'c']);
  });

  test('inside a list is named there', async () => {
    const limit = ({ value }: Entry): string | null =>
      (value?.['items'] as { price: Value }[] | undefined)?.some(({ price }) => price === -1)
        ? 'a price is below 0'
        : null;
    const items = [
      { price: 1, name: 'a' },
      { price: -1, name: 'b' },
    ];
    expect(pathsOf((await censusOf([record(1, { items })], { limit })).toNew)).toEqual(['items[].price']);
  });
});

describe('a sample', () => {
  test('takes as many as it is told, from all over the store', async () => {
    const seen: number[] = [];
    const report = await censusOf(
      many(2_000, (n) => ({ n })),
      {
        sample: 300,
        codecs: {
          new: {
            encode: (held) => {
              seen.push(Number(held['n']));
              return held;
            },
            decode: (held) => held,
          },
        },
      },
    );
    expect(report).toMatchObject({ sampled: 300, exhaustive: false });
    expect(new Set(seen).size).toBe(300);
    for (let from = 0; from < 2_000; from += 500) {
      expect(seen.filter((n) => n >= from && n < from + 500).length).toBeGreaterThan(40);
    }
  });

  test('larger than the store is everything, each record once', async () => {
    expect(await censusOf(many(130), { sample: 1_000 })).toMatchObject({ sampled: 130, exhaustive: true });
    expect(await censusOf(many(130), { sample: null })).toMatchObject({ sampled: 130, exhaustive: true });
    expect(await censusOf(many(130), { sample: 130 })).toMatchObject({ sampled: 130 });
  });

  test.each([null, 30])('reads few large records at once (sample: %s)', async (sample) => {
    const text = 'x'.repeat(2_000_000);
    const sizes: number[] = [];
    const report = await censusOf(
      many(40, () => ({ text })),
      { sample, onPage: ({ entries }) => sizes.push(entries.length) },
    );
    expect(report.sampled).toBe(sample ?? 40);
    expect(Math.max(...sizes)).toBe(2);
  });

  test('goes on after a passing fault of the store, and counts nothing twice', async () => {
    let calls = 0;
    const faults: MemoryOptions['faults'] = ({ op }) => {
      calls += op === 'scan' ? 1 : 0;
      return op === 'scan' && calls % 5 === 0 ? { kind: 'fail' } : undefined;
    };
    expect(await censusOf(many(400), { sample: null, old: { faults } })).toMatchObject({
      sampled: 400,
      exhaustive: true,
    });
  });

  test('stops when it is told to', async () => {
    const stop = new AbortController();
    const onProgress = (): void => stop.abort(new Error('enough'));
    await expect(censusOf(many(3_000), { signal: stop.signal, onProgress })).rejects.toThrow('enough');
  });

  test('says that the old store cannot read some, and goes on with all others', async () => {
    const decode = (held: StoredRecord): StoredRecord => {
      if (held['n'] === 77) throw new InvalidRecord('a value cannot be read');
      return held;
    };
    const report = await censusOf(
      many(300, (n) => ({ n })),
      { codecs: { old: { encode: (held) => held, decode } } },
    );
    expect(report.unreadable).toEqual({ count: 1, message: 'a value cannot be read' });
    expect(report).toMatchObject({ exhaustive: true, sampled: 300 });
    expect(report.losses).toContain('old store: records that cannot be read');
  });
});

describe('an example', () => {
  const codec = at(['name'], (parent, field) => delete parent[field]);

  test('shows its key, and its value only where that was asked for', async () => {
    const masked = await censusOf([record(3, { name: 'Ada Lovelace' })], { codecs: { new: codec } });
    const [example] = losing(masked.toNew);
    expect(example?.example).toEqual({ key: { user: 'u3', id: 'i3' }, given: 'string(12)', back: null });
    expect(JSON.stringify(masked)).not.toContain('Lovelace');
    const shown = await censusOf([record(3, { name: 'Ada Lovelace' })], { codecs: { new: codec }, showValues: true });
    expect(losing(shown.toNew)[0]?.example?.given).toBe('Ada Lovelace');
  });

  test('is none of what the compare rules forgive', async () => {
    const report = await censusOf([record(1, { name: 'Ada' })], {
      codecs: { new: codec },
      rules: { ignore: ['name'] },
    });
    expect(report.losses).toEqual([]);
  });
});

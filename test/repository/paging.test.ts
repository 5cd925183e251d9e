import { describe, expect, test } from 'vitest';
import type { MemoryRecords } from '../../adapters/memory/memory-records.ts';
import { CursorExpired, InvalidArgument, InvalidRecord, NotSupported, StoreUnavailable } from '../../src/index.ts';
import type { Listing, RecordPage } from '../../src/repository/paging.ts';
import { type Item, item, type MemoryService, startService } from '../support/memory-service.ts';

const collect = async <R>(listing: AsyncIterable<R>): Promise<R[]> => {
  const all: R[] = [];
  for await (const one of listing) all.push(one);
  return all;
};

const firstPage = async <R>(listing: Listing<R>): Promise<RecordPage<R>> => {
  for await (const page of listing.pages()) return page;
  throw new Error('there was no page');
};

const ids = (items: readonly Item[]): string[] => items.map(({ id }) => id);

async function fill(service: MemoryService): Promise<void> {
  await service.items.putMany([...'fbdace'].map((id, n) => item('ada', id, n)));
  await service.items.put(item('bob', 'z'));
}

describe.each(['off', 'shadow', 'live', 'complete'] as const)('a list in the stage %s', (stage) => {
  test('gives the records of one unit in the order of their keys, deleted ones hidden', async () => {
    await using service = await startService();
    await service.to(stage);
    await fill(service);
    await service.items.delete({ user: 'ada', id: 'c' });
    expect(ids(await collect(service.items.list('ada')))).toStrictEqual([...'abdef']);
    expect(ids(await collect(service.items.list({ user: 'bob' })))).toStrictEqual(['z']);
    expect(await collect(service.items.list('nobody'))).toStrictEqual([]);
  });

  test.each([1, 2, 3, 6, 100])(
    'in pages of %i loses and repeats none, whether it goes on or is taken up by its cursor',
    async (pageSize) => {
      await using service = await startService();
      await service.to(stage);
      await fill(service);
      const pages = await collect(service.items.list('ada', { pageSize }).pages());
      expect(pages.flatMap(({ records }) => ids(records))).toStrictEqual([...'abcdef']);
      for (const { records } of pages) expect(records.length).toBeLessThanOrEqual(pageSize);
      const taken: string[] = [];
      for (let cursor: string | null | undefined; cursor !== null; ) {
        const page: RecordPage<Item> = await firstPage(
          service.items.list('ada', { pageSize, ...(cursor === undefined ? {} : { cursor }) }),
        );
        taken.push(...ids(page.records));
        cursor = page.cursor;
      }
      expect(taken).toStrictEqual([...'abcdef']);
    },
  );
});

describe('a cursor of a list', () => {
  test('goes on across a cutover and back, in a list that is being read and in one taken up later', async () => {
    await using service = await startService();
    await service.to('dualwrite');
    await fill(service);
    const { cursor } = await firstPage(service.items.list('ada', { pageSize: 2 }));
    const read: string[] = [];
    for await (const page of service.items.list('ada', { pageSize: 2 }).pages()) {
      read.push(...ids(page.records));
      if (read.length === 2) await service.to('live');
      if (read.length === 4) await service.to('dualwrite');
    }
    expect(read).toStrictEqual([...'abcdef']);
    await service.to('live');
    service.forget();
    expect(ids(await collect(service.items.list('ada', { cursor: cursor as string })))).toStrictEqual([...'cdef']);
    expect(service.requests).toStrictEqual(['new list']);
  });

  test('belongs to its unit and to its kind of query', async () => {
    await using service = await startService();
    await fill(service);
    const cursor = (await firstPage(service.items.list('ada', { pageSize: 2 }))).cursor as string;
    expect(() => service.items.list('bob', { cursor })).toThrow(CursorExpired);
    for (const wrong of ['', 'x', 'bnVsbA', Buffer.from('{"q":"?"}').toString('base64url')]) {
      expect(() => service.items.list('ada', { cursor: wrong })).toThrow(CursorExpired);
    }
  });

  test.each([0, -1, 1.5, 10_001, Number.NaN])('a page cannot hold %d records', async (pageSize) => {
    await using service = await startService();
    expect(() => service.items.list('ada', { pageSize })).toThrow(InvalidArgument);
  });
});

describe('a list', () => {
  test('asks the authority of its unit, also where units are on different sides', async () => {
    await using service = await startService();
    await service.to('dualwrite');
    const units = Array.from({ length: 12 }, (_, n) => `user-${n}`);
    for (const unit of units) await service.items.put(item(unit, 'a'));
    await service.cover();
    await service.set('cutover', 50_000);
    const sides = units.map((unit) => service.items.route(unit).authority);
    expect(new Set(sides).size).toBe(2);
    service.forget();
    for (const unit of units) expect(await collect(service.items.list(unit))).toStrictEqual([item(unit, 'a')]);
    expect(service.requests).toStrictEqual(sides.map((side) => `${side} list`));
  });

  test('says so where the store cannot list', async () => {
    await using service = await startService({ memory: { old: { capabilities: { list: false } } } });
    await expect(collect(service.items.list('ada'))).rejects.toBeInstanceOf(NotSupported);
  });

  test('says so when the authority cannot be read', async () => {
    await using service = await startService();
    service.faults.old = ({ op }) => (op === 'list' ? { kind: 'fail' } : undefined);
    await expect(collect(service.items.list('ada'))).rejects.toBeInstanceOf(StoreUnavailable);
  });

  test('wants its unit', async () => {
    await using service = await startService();
    expect(() => service.items.list(undefined)).toThrow(InvalidRecord);
    expect(() => service.items.list({ id: 'a' })).toThrow('"user" is missing');
  });
});

interface Since {
  readonly since: number;
  readonly user?: string;
}

const native =
  (side: string, asked: string[]) =>
  (records: MemoryRecords, args: Since, page: { readonly limit: number; readonly cursor: string | undefined }) => {
    asked.push(side);
    const begin = Number(page.cursor ?? 0);
    const rows = records
      .records()
      .filter(
        (record) => (record['n'] as number) >= args.since && (args.user === undefined || record['user'] === args.user),
      )
      .sort((a, b) => (a['n'] as number) - (b['n'] as number));
    const rest = begin + page.limit < rows.length;
    return { rows: rows.slice(begin, begin + page.limit), cursor: rest ? String(begin + page.limit) : null };
  };

async function withQueries(asked: string[] = []): Promise<MemoryService> {
  const pair = { old: native('old', asked) as never, new: native('new', asked) as never };
  const failing = () => Promise.reject(new RangeError('mine'));
  return startService({
    queries: {
      recent: pair,
      'recent-of': { ...pair, unit: ((args: Since) => args.user) as never },
      failing: { old: failing, new: failing },
      plain: { old: ((records: MemoryRecords) => records.records()) as never, new: (() => []) as never },
    },
  });
}

describe('a named query', () => {
  test('decodes native rows, hides what is deleted, and pages', async () => {
    await using service = await withQueries();
    await service.to('dualwrite');
    await fill(service);
    await service.items.delete({ user: 'ada', id: 'd' });
    const all = await collect(service.items.query('recent', { since: 1 }, { pageSize: 2 }));
    expect(all.map(({ n }) => n)).toStrictEqual([1, 1, 3, 4, 5]);
    expect(all.every((record) => Object.keys(record).length === 3)).toBe(true);
    expect(await collect(service.items.query('plain'))).toHaveLength(6);
    const { cursor } = await firstPage(service.items.query('recent', { since: 1 }, { pageSize: 3 }));
    const rest = await collect(service.items.query('recent', { since: 1 }, { pageSize: 3, cursor: cursor as string }));
    expect(rest.map(({ n }) => n)).toStrictEqual([4, 5]);
    expect(() => service.items.query('recent', { since: 2 }, { cursor: cursor as string })).toThrow(CursorExpired);
    expect(() => service.items.query('plain', { since: 1 }, { cursor: cursor as string })).toThrow(CursorExpired);
  });

  test('within a unit follows its authority, and its cursor expires with it', async () => {
    const asked: string[] = [];
    await using service = await withQueries(asked);
    await service.to('dualwrite');
    await fill(service);
    const args = { since: 0, user: 'ada' };
    const { cursor } = await firstPage(service.items.query('recent-of', args, { pageSize: 2 }));
    await service.to('live');
    await expect(
      collect(service.items.query('recent-of', args, { pageSize: 2, cursor: cursor as string })),
    ).rejects.toBeInstanceOf(CursorExpired);
    expect(ids(await collect(service.items.query('recent-of', args, { pageSize: 4 })))).toHaveLength(6);
    expect(asked).toStrictEqual(['old', 'new', 'new']);
  });

  test('expires between two pages too', async () => {
    await using service = await withQueries();
    await service.to('dualwrite');
    await fill(service);
    const reading = (async () => {
      for await (const _ of service.items.query('recent-of', { since: 0, user: 'ada' }, { pageSize: 2 }).pages())
        await service.to('live');
    })();
    await expect(reading).rejects.toBeInstanceOf(CursorExpired);
  });

  test('across units goes to the old store until it is retired, then to the new one, never to a mixture', async () => {
    const asked: string[] = [];
    await using service = await withQueries(asked);
    for (const stage of ['off', 'dualwrite', 'live', 'rampdown', 'complete'] as const) {
      await service.to(stage);
      await collect(service.items.query('recent', { since: 0 }));
    }
    expect(asked).toStrictEqual(['old', 'old', 'old', 'old', 'new']);
  });

  test('that there is none of is named, with those that there are', async () => {
    await using service = await withQueries();
    for (const name of ['gone', 'constructor', '__proto__']) {
      expect(() => service.items.query(name)).toThrow(InvalidArgument);
    }
    expect(() => service.items.query('gone')).toThrow('there is no query "gone"');
  });

  test('passes an error of its own function as it is', async () => {
    await using service = await withQueries();
    await expect(collect(service.items.query('failing'))).rejects.toThrow(RangeError);
  });
});

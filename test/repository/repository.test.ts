import { describe, expect, test } from 'vitest';
import type { StoredRecord } from '../../src/core/value.ts';
import {
  AlreadyExists,
  Closed,
  type Codec,
  InvalidArgument,
  InvalidRecord,
  StoreRejected,
  VersionConflict,
} from '../../src/index.ts';
import { item, startService, until } from '../support/memory-service.ts';

const key = (user: string, id: string) => ({ user, id });

describe.each(['off', 'dualwrite', 'live', 'complete'] as const)('records in the stage %s', (stage) => {
  test('are created once, also by many at once', async () => {
    await using service = await startService();
    await service.to(stage);
    const { items } = service;
    await items.create(item('ada', '1', 7));
    await expect(items.create(item('ada', '1', 8))).rejects.toBeInstanceOf(AlreadyExists);
    expect(await items.get(key('ada', '1'))).toStrictEqual(item('ada', '1', 7));
    const tries = await Promise.allSettled(Array.from({ length: 20 }, (_, n) => items.create(item('ada', '2', n))));
    expect(tries.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const answer of tries) if (answer.status === 'rejected') expect(answer.reason).toBeInstanceOf(AlreadyExists);
    const winner = tries.findIndex(({ status }) => status === 'fulfilled');
    expect(await items.get(key('ada', '2'))).toStrictEqual(item('ada', '2', winner));
  });

  test('are put, read, deleted and created again', async () => {
    await using service = await startService();
    await service.to(stage);
    const { items } = service;
    expect(await items.get(key('ada', '1'))).toBeUndefined();
    expect(await items.delete(key('ada', '1'))).toBe(false);
    await items.put(item('ada', '1', 1));
    await items.put(item('ada', '1', 2));
    expect(await items.get({ ...item('ada', '1'), more: 'than the key' })).toStrictEqual(item('ada', '1', 2));
    expect(await items.delete(key('ada', '1'))).toBe(true);
    expect(await items.delete(key('ada', '1'))).toBe(false);
    expect(await items.get(key('ada', '1'))).toBeUndefined();
    expect(await items.get(key('ada', '1'), { version: true })).toBeUndefined();
    await items.create(item('ada', '1', 3));
    expect(await items.get(key('ada', '1'))).toStrictEqual(item('ada', '1', 3));
  });

  test('are replaced at the version that was read, and at no other', async () => {
    await using service = await startService();
    await service.to(stage);
    const { items } = service;
    await items.put(item('ada', '1', 1));
    const read = await items.get(key('ada', '1'), { version: true });
    expect(read?.record).toStrictEqual(item('ada', '1', 1));
    const ifVersion = read?.version as string;
    await items.replace(key('ada', '1'), item('ada', '1', 2), { ifVersion });
    await expect(items.replace(key('ada', '1'), item('ada', '1', 3), { ifVersion })).rejects.toBeInstanceOf(
      VersionConflict,
    );
    expect(await items.get(key('ada', '1'))).toStrictEqual(item('ada', '1', 2));
    const again = (await items.get(key('ada', '1'), { version: true }))?.version as string;
    await items.delete(key('ada', '1'));
    await expect(items.replace(key('ada', '1'), item('ada', '1', 4), { ifVersion: again })).rejects.toBeInstanceOf(
      VersionConflict,
    );
    expect(await items.get(key('ada', '1'))).toBeUndefined();
  });

  test('are not replaced twice at one version by many at once', async () => {
    await using service = await startService();
    await service.to(stage);
    const { items } = service;
    await items.put(item('ada', '1', -1));
    const ifVersion = (await items.get(key('ada', '1'), { version: true }))?.version as string;
    const tries = await Promise.allSettled(
      Array.from({ length: 20 }, (_, n) => items.replace(key('ada', '1'), item('ada', '1', n), { ifVersion })),
    );
    expect(tries.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    const winner = tries.findIndex(({ status }) => status === 'fulfilled');
    expect(await items.get(key('ada', '1'))).toStrictEqual(item('ada', '1', winner));
  });

  test('are updated from what is there, and no update is lost among many', async () => {
    await using service = await startService();
    await service.to(stage);
    const { items } = service;
    const seen: unknown[] = [];
    const first = await items.update(key('ada', '1'), (present) => {
      seen.push(present);
      return item('ada', '1', 0);
    });
    expect(seen).toStrictEqual([undefined]);
    expect(first).toStrictEqual(item('ada', '1', 0));
    let runs = 0;
    await Promise.all(
      Array.from({ length: 20 }, () =>
        items.update(key('ada', '1'), (present) => {
          runs += 1;
          return present && { ...present, n: present.n + 1 };
        }),
      ),
    );
    expect(await items.get(key('ada', '1'))).toStrictEqual(item('ada', '1', 20));
    expect(runs).toBeGreaterThan(20);
  });

  test('are left as they are by an update that returns undefined, and nothing is written', async () => {
    await using service = await startService();
    await service.to(stage);
    const { items } = service;
    await items.put(item('ada', '1', 5));
    service.forget();
    expect(await items.update(key('ada', '1'), () => undefined)).toStrictEqual(item('ada', '1', 5));
    expect(await items.update(key('ada', 'none'), () => undefined)).toBeUndefined();
    expect(service.requests.filter((request) => !request.endsWith(' get'))).toStrictEqual([]);
  });

  test('may be changed in place by an update', async () => {
    await using service = await startService();
    await service.to(stage);
    const { items } = service;
    await items.put(item('ada', '1', 5));
    const after = await items.update(key('ada', '1'), (present) => Object.assign(present ?? {}, { n: 6 }) as never);
    expect(after).toStrictEqual(item('ada', '1', 6));
    expect(await items.get(key('ada', '1'))).toStrictEqual(item('ada', '1', 6));
  });

  test('are not touched by an update that returns a promise, null or another key, or that throws', async () => {
    await using service = await startService();
    await service.to(stage);
    const { items } = service;
    await items.put(item('ada', '1', 5));
    const failure = new TypeError('mine');
    await expect(items.update(key('ada', '1'), (async () => item('ada', '1', 6)) as never)).rejects.toBeInstanceOf(
      InvalidRecord,
    );
    await expect(items.update(key('ada', '1'), () => null as never)).rejects.toBeInstanceOf(InvalidRecord);
    await expect(items.update(key('ada', '1'), () => item('bob', '1', 6))).rejects.toBeInstanceOf(InvalidRecord);
    await expect(items.update(key('ada', '1'), () => item('ada', '2', 6))).rejects.toBeInstanceOf(InvalidRecord);
    await expect(
      items.update(key('ada', '1'), () => {
        throw failure;
      }),
    ).rejects.toBe(failure);
    expect(await items.get(key('ada', '1'))).toStrictEqual(item('ada', '1', 5));
    expect(await items.get(key('ada', '2'))).toBeUndefined();
  });

  test('are read and put by the many, an outcome for each', async () => {
    await using service = await startService();
    await service.to(stage);
    const { items } = service;
    const outcomes = await items.putMany([
      item('ada', '1', 1),
      { id: '2', n: 2 } as never,
      item('bob', '1', 3),
      { ...item('ada', '3'), note: () => 1 },
      null as never,
    ]);
    expect(outcomes.map(({ ok }) => ok)).toStrictEqual([true, false, true, false, false]);
    for (const outcome of outcomes) if (!outcome.ok) expect(outcome.error).toBeInstanceOf(InvalidRecord);
    expect(outcomes[0]?.key).toStrictEqual(key('ada', '1'));
    expect(outcomes[3]?.key).toStrictEqual(key('ada', '3'));
    const keys = [key('bob', '1'), key('ada', 'none'), key('ada', '1'), key('bob', '1')];
    expect(await items.getMany(keys)).toStrictEqual([
      item('bob', '1', 3),
      undefined,
      item('ada', '1', 1),
      item('bob', '1', 3),
    ]);
    expect(await items.getMany([])).toStrictEqual([]);
    expect(await items.putMany([])).toStrictEqual([]);
    await expect(items.getMany([{ user: 'ada' }])).rejects.toBeInstanceOf(InvalidRecord);
  });

  test('share nothing with what callers hold', async () => {
    await using service = await startService();
    await service.to(stage);
    const { items } = service;
    const given = { ...item('ada', '1'), note: { tags: ['a'], at: new Date(0), raw: new Uint8Array([1]) } };
    const kept = structuredClone(given);
    const spoil = (record: unknown): void => {
      const { note } = record as typeof given;
      note.tags.push('spoilt');
      note.at.setTime(9);
      note.raw[0] = 9;
      Object.assign(record as object, { n: -1 });
    };
    const writing = items.put(given);
    spoil(given);
    await writing;
    const read = () => items.get(key('ada', '1'));
    expect(await read()).toStrictEqual(kept);
    spoil(await read());
    spoil((await items.getMany([key('ada', '1')]))[0]);
    spoil(await items.update(key('ada', '1'), () => undefined));
    for await (const record of items.list('ada')) spoil(record);
    expect(await read()).toStrictEqual(kept);
    const mine = structuredClone(kept);
    spoil(await items.update(key('ada', '1'), () => mine));
    spoil(mine);
    expect(await read()).toStrictEqual(kept);
    if (stage === 'dualwrite' || stage === 'live') {
      for (const side of ['old', 'new'] as const) {
        await expect.poll(() => service.stored(side, 'ada', '1')?.value).toStrictEqual(kept);
      }
    }
  });
});

describe('a version', () => {
  test('survives a cutover and the way back', async () => {
    await using service = await startService();
    const { items } = service;
    await service.to('dualwrite');
    await items.put(item('ada', '1', 1));
    const before = (await items.get(key('ada', '1'), { version: true }))?.version as string;
    await service.to('live');
    expect((await items.get(key('ada', '1'), { version: true }))?.version).toBe(before);
    await items.replace(key('ada', '1'), item('ada', '1', 2), { ifVersion: before });
    const after = (await items.get(key('ada', '1'), { version: true }))?.version as string;
    await service.to('shadow');
    await expect(items.replace(key('ada', '1'), item('ada', '1', 3), { ifVersion: before })).rejects.toBeInstanceOf(
      VersionConflict,
    );
    await items.replace(key('ada', '1'), item('ada', '1', 3), { ifVersion: after });
    expect(await items.get(key('ada', '1'))).toStrictEqual(item('ada', '1', 3));
  });

  test('of a record from before the migration survives stamping, backfill and cutover', async () => {
    await using service = await startService();
    const { items } = service;
    await items.put(item('ada', '1', 1));
    const version = (await items.get(key('ada', '1'), { version: true }))?.version as string;
    await service.to('dualwrite');
    expect((await items.get(key('ada', '1'), { version: true }))?.version).toBe(version);
    await service.to('live');
    expect((await items.get(key('ada', '1'), { version: true }))?.version).toBe(version);
    await items.replace(key('ada', '1'), item('ada', '1', 2), { ifVersion: version });
    await expect(items.replace(key('ada', '1'), item('ada', '1', 3), { ifVersion: version })).rejects.toBeInstanceOf(
      VersionConflict,
    );
    expect(await items.get(key('ada', '1'))).toStrictEqual(item('ada', '1', 2));
  });

  test.each([undefined, null, '', 'abc', 5, '0'.repeat(23)])('is not %j', async (ifVersion) => {
    await using service = await startService();
    await service.items.put(item('ada', '1'));
    await expect(
      service.items.replace(key('ada', '1'), item('ada', '1', 2), { ifVersion: ifVersion as string }),
    ).rejects.toBeInstanceOf(InvalidArgument);
    expect(await service.items.get(key('ada', '1'))).toStrictEqual(item('ada', '1'));
  });
});

describe('a record that does not fit', () => {
  test('its key is refused by every call, naming the field, and nothing is sent', async () => {
    await using service = await startService();
    const { items } = service;
    service.forget();
    const wrong = { user: 'ada', id: null };
    const record = { ...wrong, n: 1 } as never;
    const calls: (() => Promise<unknown>)[] = [
      () => items.create(record),
      () => items.put(record),
      () => items.get(wrong),
      () => items.replace(wrong, record, { ifVersion: '0'.repeat(24) }),
      () => items.update(wrong, () => record),
      () => items.delete(wrong),
      () => items.getMany([wrong]),
    ];
    for (const call of calls) {
      const error: unknown = await call().catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(InvalidRecord);
      expect((error as Error).message).toContain('"id"');
    }
    expect(() => items.list({})).toThrow(InvalidRecord);
    expect(service.requests).toStrictEqual([]);
  });

  test('its replacement under another key is refused', async () => {
    await using service = await startService();
    await service.items.put(item('ada', '1'));
    const ifVersion = (await service.items.get(key('ada', '1'), { version: true }))?.version as string;
    await expect(service.items.replace(key('ada', '1'), item('ada', '2'), { ifVersion })).rejects.toBeInstanceOf(
      InvalidRecord,
    );
  });

  test('the authority says so before anything is mirrored', async () => {
    await using service = await startService();
    await service.to('dualwrite');
    service.faults.old = ({ op }) =>
      op === 'putIfNewer' ? { kind: 'reject', reason: 'constraint', message: 'taken' } : undefined;
    service.forget();
    const error: unknown = await service.items.put(item('ada', '1')).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(StoreRejected);
    expect(error).toMatchObject({ details: { reason: 'constraint' } });
    expect(service.requests).toStrictEqual(['old putIfNewer']);
    expect(await service.dirt()).toStrictEqual([]);
  });
});

describe('a schema', () => {
  const issue = (message: string, ...path: PropertyKey[]) => ({ issues: [{ message, path }] });
  const schema = (validate: (value: unknown) => never) => ({
    '~standard': { version: 1 as const, vendor: 'test', validate },
  });

  test('refuses what does not fit, naming the fields, before anything is sent', async () => {
    await using service = await startService({ schema: schema(() => issue('too small', 'note', 'n') as never) });
    service.forget();
    const error: unknown = await service.items.put(item('ada', '1')).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(InvalidRecord);
    expect((error as Error).message).toContain('note.n: too small');
    await expect(service.items.update(key('ada', '1'), () => item('ada', '1'))).rejects.toBeInstanceOf(InvalidRecord);
    expect(service.requests).toStrictEqual(['old get']);
  });

  test('may change the record on its way in', async () => {
    const double = schema((value) => ({ value: { ...(value as object), n: (value as { n: number }).n * 2 } }) as never);
    await using service = await startService({ schema: double });
    await service.items.put(item('ada', '1', 4));
    expect(await service.items.get(key('ada', '1'))).toStrictEqual(item('ada', '1', 8));
  });

  test('may not be asynchronous', async () => {
    await using service = await startService({ schema: schema((async () => ({ value: {} })) as never) });
    await expect(service.items.put(item('ada', '1'))).rejects.toBeInstanceOf(InvalidRecord);
    await using failing = await startService({
      schema: schema((async () => Promise.reject(new Error('late'))) as never),
    });
    await expect(failing.items.put(item('ada', '1'))).rejects.toBeInstanceOf(InvalidRecord);
  });
});

describe('codecs', () => {
  test('that make what cannot be copied fail no compared read, and no process', async () => {
    class Odd {}
    const old = {
      encode: (record: StoredRecord) => record,
      decode: (stored: StoredRecord) => ({ ...stored, note: new Odd() }),
    };
    await using service = await startService({ codecs: { old: old as unknown as Codec } });
    await service.to('off');
    await service.items.put(item('ada', '1', 4));
    await service.set('dual-write', 100_000);
    await service.set('shadow-read', 100_000);
    expect(service.items.route('ada').compare).toBe(true);
    expect((await service.items.get(key('ada', '1')))?.note).toBeInstanceOf(Odd);
    expect(await service.items.getMany([key('ada', '1')])).toMatchObject([{ n: 4 }]);
  });

  test('that change their argument harm neither side nor caller', async () => {
    const spoiling = (mark: string) => ({
      encode: (record: object) => Object.assign(record, { [mark]: true }) as never,
      decode: (stored: object) => {
        Reflect.deleteProperty(stored, mark);
        return stored as never;
      },
    });
    await using service = await startService({ codecs: { old: spoiling('inOld'), new: spoiling('inNew') } });
    await service.to('shadow');
    const record = item('ada', '1', 3);
    await service.items.put(record);
    expect(record).toStrictEqual(item('ada', '1', 3));
    expect(await service.items.get(key('ada', '1'))).toStrictEqual(record);
    await expect.poll(() => service.stored('new', 'ada', '1')?.value).toStrictEqual({ ...record, inNew: true });
    expect(service.stored('old', 'ada', '1')?.value).toStrictEqual({ ...record, inOld: true });
    await until(async () => (await service.operations.plane.status('items')).shadow.compared > 0, 'a comparison');
    expect((await service.operations.plane.status('items')).shadow.divergent).toBe(0);
  });
});

describe('a closed service', () => {
  test('writes nothing any more, and closes again without harm', async () => {
    await using service = await startService();
    await service.changeover.close();
    await service.changeover.close();
    for (const call of [
      () => service.items.put(item('ada', '1')),
      () => service.items.create(item('ada', '1')),
      () => service.items.delete(key('ada', '1')),
      () => service.items.get(key('ada', '1')),
    ]) {
      await expect(call()).rejects.toBeInstanceOf(Closed);
    }
    expect(service.databases.old.snapshot()).toStrictEqual([]);
  });
});

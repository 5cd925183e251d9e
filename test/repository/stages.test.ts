import { describe, expect, test } from 'vitest';
import type { Side, Stage } from '../../src/core/stage.ts';
import { AlreadyExists, DeadlineExceeded, OutcomeUnknown, StoreRejected, StoreUnavailable } from '../../src/index.ts';
import { item, type MemoryService, startService, until } from '../support/memory-service.ts';

const key = { user: 'ada', id: '1' };
const isWrite = (op: string): boolean => op === 'putIfNewer' || op === 'compareAndSet' || op === 'putPlain';

/** Waits until the service has made as many requests, and gives it a chance to make more. */
async function requestsOf(service: MemoryService, count: number): Promise<string[]> {
  await until(() => service.requests.length >= count, `${count} requests`);
  await new Promise((resolve) => setImmediate(resolve));
  return service.requests;
}

/** What a put, an update and a get send, in this order: the stage table of the design. */
const EXPECTED: Readonly<Record<Stage, { readonly put: string[]; readonly update: string[]; readonly get: string[] }>> =
  {
    off: { put: ['old putPlain'], update: ['old get', 'old compareAndSet'], get: ['old get'] },
    dualwrite: {
      put: ['old putIfNewer', 'new putIfNewer'],
      update: ['old get', 'old compareAndSet', 'new putIfNewer'],
      get: ['old get'],
    },
    shadow: {
      put: ['old putIfNewer', 'new putIfNewer'],
      update: ['old get', 'old compareAndSet', 'new putIfNewer'],
      get: ['old get', 'new get'],
    },
    live: {
      put: ['new putIfNewer', 'old putIfNewer'],
      update: ['new get', 'new compareAndSet', 'old putIfNewer'],
      get: ['new get', 'old get'],
    },
    rampdown: {
      put: ['new putIfNewer', 'old putIfNewer'],
      update: ['new get', 'new compareAndSet', 'old putIfNewer'],
      get: ['new get'],
    },
    complete: { put: ['new putIfNewer'], update: ['new get', 'new compareAndSet'], get: ['new get'] },
  };

describe.each(Object.entries(EXPECTED))('in the stage %s', (name, expected) => {
  const stage = name as Stage;

  test('the authority is read and written first, the follower after it, and nobody else', async () => {
    await using service = await startService();
    await service.to(stage);
    const { items } = service;
    expect(items.route('ada').stage).toBe(stage);
    await items.put(item('ada', '1', 1));
    expect(await requestsOf(service, expected.put.length)).toStrictEqual(expected.put);
    service.forget();
    await items.update(key, (record) => record && { ...record, n: 2 });
    expect(await requestsOf(service, expected.update.length)).toStrictEqual(expected.update);
    service.forget();
    expect(await items.get(key)).toStrictEqual(item('ada', '1', 2));
    expect(await requestsOf(service, expected.get.length)).toStrictEqual(expected.get);
    service.forget();
    expect(await items.delete(key)).toBe(true);
    expect(await requestsOf(service, expected.put.length)).toStrictEqual(expected.put);
    for (const side of ['old', 'new'] as const) {
      expect(service.stored(side, 'ada', '1')?.value ?? null).toBeNull();
    }
  });

  test('what the authority refuses or loses is never mirrored, and its error is the caller’s', async () => {
    await using service = await startService();
    await service.to(stage);
    const lead = service.items.route('ada').authority;
    const mirrored = (): string[] =>
      service.requests.filter((request) => !request.startsWith(lead) && !request.endsWith('get'));
    service.faults[lead] = ({ op }) => (isWrite(op) ? { kind: 'fail' } : undefined);
    await expect(service.items.put(item('ada', '1'))).rejects.toBeInstanceOf(StoreUnavailable);
    service.faults[lead] = ({ op }) => (isWrite(op) ? { kind: 'reject', reason: 'limit' } : undefined);
    await expect(service.items.create(item('ada', '1'))).rejects.toBeInstanceOf(StoreRejected);
    service.faults[lead] = ({ op }) => (op === 'get' ? { kind: 'fail' } : undefined);
    await expect(service.items.get(key)).rejects.toBeInstanceOf(StoreUnavailable);
    await expect(service.items.update(key, () => item('ada', '1'))).rejects.toBeInstanceOf(StoreUnavailable);
    expect(mirrored()).toStrictEqual([]);
    // Only here is a time-out waited for.
    await service.settings({ putTimeoutMs: 200, operationTimeoutMs: 400 });
    service.faults[lead] = ({ op }) => (isWrite(op) ? { kind: 'lose-request' } : undefined);
    await expect(service.items.put(item('ada', '1'))).rejects.toBeInstanceOf(OutcomeUnknown);
    expect(mirrored()).toStrictEqual([]);
    expect(service.databases.old.snapshot()).toStrictEqual([]);
    expect(service.databases.new.snapshot()).toStrictEqual([]);
  });
});

describe('a lead put whose answer is lost', () => {
  test.each(['dualwrite', 'live'] as const)(
    'is sent again with its stamp in the stage %s, succeeds, and is mirrored once',
    async (stage) => {
      await using service = await startService();
      await service.to(stage);
      const lead = service.items.route('ada').authority;
      let lost = 0;
      service.faults[lead] = ({ op }) => {
        if (!isWrite(op) || lost >= 2) return undefined;
        lost += 1;
        return { kind: 'lose-answer' };
      };
      await service.items.create(item('ada', '1', 5));
      await until(
        () => service.stored('new', 'ada', '1') !== undefined && service.stored('old', 'ada', '1') !== undefined,
      );
      expect(service.stored('old', 'ada', '1')?.stamp).toBe(service.stored('new', 'ada', '1')?.stamp);
      expect(service.requests.filter((request) => request === `${lead} compareAndSet`)).toHaveLength(3);
      await expect(service.items.create(item('ada', '1', 6))).rejects.toBeInstanceOf(AlreadyExists);
    },
  );

  test('is OutcomeUnknown when somebody else wrote the key before it could be asked again, and fn is not run again', async () => {
    await using service = await startService();
    await service.to('dualwrite');
    await service.items.put(item('ada', '1', 1));
    let first = true;
    service.faults.old = ({ op }) => {
      if (op !== 'compareAndSet' || !first) return undefined;
      first = false;
      return { kind: 'lose-answer', answerMs: 20 };
    };
    let runs = 0;
    const updating = service.items.update(key, (record) => {
      runs += 1;
      return record && { ...record, n: 2 };
    });
    const refused = expect(updating).rejects.toBeInstanceOf(OutcomeUnknown);
    await until(() => service.stored('old', 'ada', '1')?.value?.['n'] === 2, 'the first copy');
    await service.items.put(item('ada', '1', 3));
    await refused;
    expect(runs).toBe(1);
    expect(await service.items.get(key)).toStrictEqual(item('ada', '1', 3));
  });

  test('is not sent again while stamping is off; the caller hears what the store answered last, on or off', async () => {
    const message = expect.stringContaining('the database did not answer');
    const unknown = { code: 'OUTCOME_UNKNOWN', message, cause: { code: 'STORE_FAULT' } };
    await using service = await startService({ settings: { putTimeoutMs: 200, operationTimeoutMs: 400 } });
    service.faults.old = ({ op }) => (isWrite(op) ? { kind: 'lose-answer' } : undefined);
    await expect(service.items.put(item('ada', '1'))).rejects.toMatchObject(unknown);
    expect(service.requests).toStrictEqual(['old putPlain']);
    await service.to('dualwrite');
    await expect(service.items.put(item('ada', '1'))).rejects.toMatchObject(unknown);
  });
});

describe('a put that reaches the authority after its deadline', () => {
  test('is DeadlineExceeded, and nothing is written or mirrored', async () => {
    await using service = await startService({ settings: { putTimeoutMs: 10, operationTimeoutMs: 10 } });
    await service.to('dualwrite');
    service.faults.old = ({ op }) => (isWrite(op) ? { kind: 'slow', requestMs: 30 } : undefined);
    await expect(service.items.put(item('ada', '1'))).rejects.toBeInstanceOf(DeadlineExceeded);
    expect(service.databases.old.snapshot()).toStrictEqual([]);
    expect(service.requests.filter((request) => request.startsWith('new'))).toStrictEqual([]);
  });
});

describe('while the old store leads, the follower', () => {
  const hurt: readonly (readonly [string, 'lost' | 'rejected' | null, (service: MemoryService) => void])[] = [
    ['that fails', 'lost', (service) => (service.faults.new = () => ({ kind: 'fail' }))],
    ['that asks for less load', 'lost', (service) => (service.faults.new = () => ({ kind: 'fail', pressure: true }))],
    ['that loses answers', null, (service) => (service.faults.new = () => ({ kind: 'lose-answer' }))],
    ['that loses requests', 'lost', (service) => (service.faults.new = () => ({ kind: 'lose-request' }))],
    ['that never answers', 'lost', (service) => (service.faults.new = () => ({ kind: 'hang', applied: false }))],
    ['that is slow', 'lost', (service) => (service.faults.new = () => ({ kind: 'slow', requestMs: 60_000 }))],
    ['that is down', 'lost', (service) => (service.databases.new.outage = 'refuse')],
    ['that hangs as a whole', 'lost', (service) => (service.databases.new.outage = 'hang')],
    [
      'that refuses the record',
      'rejected',
      (service) => (service.faults.new = () => ({ kind: 'reject', reason: 'constraint' })),
    ],
  ];

  test.each(hurt)('%s changes neither result nor error of any call', async (_, dirt, harm) => {
    await using service = await startService({ settings: { mirrorTimeoutMs: 1_000, breakerFailures: 1_000_000 } });
    await service.to('shadow');
    harm(service);
    const { items } = service;
    await items.create(item('ada', '1', 1));
    await expect(items.create(item('ada', '1', 1))).rejects.toBeInstanceOf(AlreadyExists);
    expect(await items.update(key, (record) => record && { ...record, n: 2 })).toStrictEqual(item('ada', '1', 2));
    expect(await items.get(key)).toStrictEqual(item('ada', '1', 2));
    expect(await items.getMany([key])).toStrictEqual([item('ada', '1', 2)]);
    expect((await items.putMany([item('ada', '2'), item('bob', '1')])).every(({ ok }) => ok)).toBe(true);
    expect(await items.delete({ user: 'ada', id: '2' })).toBe(true);
    // Nothing is left open: what did not arrive is dirty in the control plane, and the follower blocks no acknowledgement.
    const { revision } = await service.operations.plane.changeSettings(
      'items',
      { acknowledgeGraceMs: 0 },
      { actor: 'a', reason: 'b' },
    );
    await service.controller.waitAcknowledged(revision);
    if (dirt === null) return;
    await until(async () => (await service.dirt()).length >= 3, 'the dirt');
    const written = ['1', '1', '2'].map((id) => `new ${dirt} ${id}`);
    expect(new Set(await service.dirt())).toStrictEqual(new Set(written));
  });
});

describe('a full mirror queue', () => {
  test('sheds to dirt, and the caller does not notice', async () => {
    await using service = await startService({
      settings: { mirrorQueueLimit: 2, mirrorConcurrency: 1, mirrorTimeoutMs: 60_000 },
    });
    await service.to('dualwrite');
    service.databases.new.outage = 'hang';
    for (let n = 0; n < 8; n += 1) await service.items.put(item('ada', String(n)));
    await until(async () => (await service.dirt()).length === 5, 'what was shed');
    expect(await service.dirt()).toStrictEqual(['3', '4', '5', '6', '7'].map((id) => `new lost ${id}`));
    service.databases.new.outage = 'none';
    await until(() => service.databases.new.snapshot().length === 3, 'what was not shed');
  });
});

describe('the breaker', () => {
  test('stops trying after some failures in a row, marks instead, and tries again later', async () => {
    await using service = await startService({
      settings: { breakerFailures: 2, breakerResetMs: 30_000, mirrorTimeoutMs: 10_000 },
    });
    await service.to('dualwrite');
    service.faults.new = () => ({ kind: 'fail' });
    await service.items.put(item('ada', '1'));
    await until(async () => (await service.dirt()).length === 1, 'the first dirt');
    const tries = service.requests.filter((request) => request === 'new putIfNewer').length;
    expect(tries).toBeLessThanOrEqual(3);
    service.faults.new = () => undefined;
    await service.items.put(item('ada', '2'));
    await until(async () => (await service.dirt()).length === 2, 'the second dirt');
    expect(service.requests.filter((request) => request === 'new putIfNewer')).toHaveLength(tries);
    expect(service.stored('new', 'ada', '2')).toBeUndefined();
  });

  test('closes again when a try succeeds', async () => {
    await using service = await startService({ settings: { breakerFailures: 1, breakerResetMs: 10 } });
    await service.to('dualwrite');
    service.faults.new = () => ({ kind: 'fail' });
    await service.items.put(item('ada', '1'));
    await until(async () => (await service.dirt()).length === 1, 'the dirt');
    service.faults.new = () => undefined;
    await until(async () => {
      await service.items.put(item('ada', '2', 7));
      return service.stored('new', 'ada', '2')?.value?.['n'] === 7;
    }, 'a mirror put that arrives');
  });
});

describe('while the new store leads', () => {
  test('the caller waits for the mirror to the old store', async () => {
    await using service = await startService();
    await service.to('live');
    service.databases.old.outage = 'hang';
    let answered = false;
    const writing = service.items.put(item('ada', '1')).then(() => {
      answered = true;
    });
    await until(() => service.stored('new', 'ada', '1') !== undefined, 'the lead put');
    await new Promise((resolve) => setImmediate(resolve));
    expect(answered).toBe(false);
    service.databases.old.outage = 'none';
    await writing;
    expect(service.stored('old', 'ada', '1')?.stamp).toBe(service.stored('new', 'ada', '1')?.stamp);
    expect(await service.dirt()).toStrictEqual([]);
  });

  test('a failing old store is dirty and fails no call; after some failures nobody waits for it any more', async () => {
    await using service = await startService({
      settings: { mirrorTimeoutMs: 30, breakerFailures: 3, breakerResetMs: 60_000 },
    });
    await service.to('live');
    service.databases.old.outage = 'hang';
    const { items } = service;
    for (let n = 0; n < 6; n += 1) await items.put(item('ada', String(n)));
    expect(await items.get(key)).toStrictEqual(item('ada', '1'));
    await until(async () => (await service.dirt()).length === 6, 'the dirt');
    expect(await service.dirt()).toStrictEqual(['0', '1', '2', '3', '4', '5'].map((id) => `old lost ${id}`));
    expect(service.requests.filter((request) => request === 'old putIfNewer').length).toBeLessThanOrEqual(4);
  });

  test('nobody waits where the settings say detached', async () => {
    await using service = await startService({ settings: { mirrorToOld: 'detached', mirrorTimeoutMs: 60_000 } });
    await service.to('live');
    service.databases.old.outage = 'hang';
    await service.items.put(item('ada', '1'));
    expect(service.stored('new', 'ada', '1')).toBeDefined();
  });
});

describe('what only the follower cannot hold', () => {
  const limit = (entry: { readonly value: unknown }): string | null =>
    (entry.value as { n?: number } | null)?.n === 13 ? 'thirteen' : null;

  test('is listed as rejected, and the caller does not notice', async () => {
    await using service = await startService({ memory: { new: { database: await limited(limit) } } });
    await service.to('dualwrite');
    await service.items.put(item('ada', '1', 13));
    await until(async () => (await service.dirt()).length === 1, 'the dirt');
    expect(await service.dirt()).toStrictEqual(['new rejected 1']);
    // However often it is written, it is one key.
    for (let n = 0; n < 5; n += 1) {
      await service.items.put({ ...item('ada', '1', 13), note: n });
      await service.items.put({ ...item('ada', '2', 13), note: n });
      await service.settings({ mirrorQueueLimit: 1_000 + n });
    }
    await until(async () => (await service.dirt()).length === 2, 'the dirt of the second');
    expect(await service.dirt()).toStrictEqual(['new rejected 1', 'new rejected 2']);
    expect((await service.controller.repair({ actor: 'test', reason: 'test' })).rejected).toEqual({ old: 0, new: 2 });
  });

  test('is the caller’s error where the settings say so, before anything is sent', async () => {
    await using service = await startService({
      settings: { followerLimits: 'refuse' },
      memory: { new: { database: await limited(limit) } },
    });
    await service.to('dualwrite');
    await expect(service.items.put(item('ada', '1', 13))).rejects.toBeInstanceOf(StoreRejected);
    expect(service.requests).toStrictEqual([]);
    await service.items.put(item('ada', '1', 12));
  });
});

async function limited(limit: (entry: { readonly value: unknown }) => string | null) {
  const { MemoryDatabase } = await import('../../adapters/memory/index.ts');
  return new MemoryDatabase({ limit });
}

describe('where units stand on both sides', () => {
  test('each is read and written on its own, also by one getMany', async () => {
    await using service = await startService();
    await service.to('dualwrite');
    const users = Array.from({ length: 12 }, (_, n) => `user-${n}`);
    await service.items.putMany(users.map((user, n) => item(user, '1', n)));
    await service.cover();
    await service.set('cutover', 50_000);
    const sides = users.map((user): Side => service.items.route(user).authority);
    expect(new Set(sides)).toStrictEqual(new Set(['old', 'new']));
    for (const [n, user] of users.entries()) {
      service.forget();
      await service.items.put(item(user, '1', n + 100));
      await requestsOf(service, 2);
      expect(service.requests[0]).toBe(`${sides[n]} putIfNewer`);
    }
    service.forget();
    const read = await service.items.getMany(users.map((user) => ({ user, id: '1' })));
    expect(read.map((record) => record?.n)).toStrictEqual(users.map((_, n) => n + 100));
    expect(service.requests.sort()).toStrictEqual(['new getMany', 'old getMany']);
  });
});

describe('shadow reads', () => {
  const counts = async (service: MemoryService) => (await service.operations.plane.status('items')).shadow;

  test('find what differs on the follower, whichever side that is, and change no answer', async () => {
    for (const [stage, follower] of [
      ['shadow', 'new'],
      ['live', 'old'],
    ] as const) {
      await using service = await startService({ showValues: true });
      await service.to(stage);
      await service.items.put(item('ada', '1', 1));
      await until(() => service.stored(follower, 'ada', '1') !== undefined, 'the mirror');
      const entry = service.stored(follower, 'ada', '1');
      service.databases[follower].load([{ ...(entry as object), value: item('ada', '1', 2) } as never]);
      expect(await service.items.get(key)).toStrictEqual(item('ada', '1', 1));
      await until(async () => (await counts(service)).divergent === 1, 'the divergence');
      const [line] = await service.operations.plane.divergences('items', 0, 10);
      const [old, fresh] = follower === 'new' ? [1, 2] : [2, 1];
      expect(line).toMatchObject({ kind: 'different', fields: [{ path: 'n', old, new: fresh }] });
    }
  });

  test('wait for a mirror that is on its way before they speak of a difference', async () => {
    await using service = await startService({ settings: { shadowRecheckMs: [1, 5, 20_000] } });
    await service.to('shadow');
    service.databases.new.outage = 'none';
    service.faults.new = ({ op }) => (op === 'putIfNewer' ? { kind: 'slow', requestMs: 3 } : undefined);
    for (let n = 0; n < 10; n += 1) {
      await service.items.put(item('ada', '1', n));
      expect(await service.items.get(key)).toStrictEqual(item('ada', '1', n));
    }
    await until(async () => (await counts(service)).compared > 0, 'comparisons');
    expect((await counts(service)).divergent).toBe(0);
  });

  test('are as many as the sample says', async () => {
    await using service = await startService({ settings: { shadowSample: 0 } });
    await service.to('shadow');
    await service.items.put(item('ada', '1'));
    await until(() => service.requests.length === 2, 'the mirror');
    service.forget();
    for (let n = 0; n < 20; n += 1) await service.items.get(key);
    expect(new Set(service.requests)).toStrictEqual(new Set(['old get']));
  });
});

import { describe, expect, test, vi } from 'vitest';
import type { RepairProgress } from '../../src/control/repair.ts';
import { NOBODY } from '../../src/core/dial.ts';
import { type ChangeoverError, Interrupted } from '../../src/core/errors.ts';
import { makeStamp } from '../../src/core/stamp.ts';
import type { Entry } from '../../src/core/store.ts';
import type { Control } from '../../src/index.ts';
import { item, type MemoryService, startService, until } from '../support/memory-service.ts';
import { lost, reportDirt } from '../support/reported-dirt.ts';

const why = { actor: 'ada', reason: 'test' };
const verify = { ...why, recheckMs: [] };

/** Dual-write everywhere, with some records on both sides. */
async function mirrored(users: readonly string[] = ['ada', 'bob', 'eve', 'joe']): Promise<MemoryService> {
  const service = await startService();
  await service.to('dualwrite');
  for (const user of users) await service.items.put(item(user, '1'));
  await until(() => users.every((user) => service.stored('new', user, '1') !== undefined), 'the mirrors');
  return service;
}

/** Changes what the new store holds behind everybody's back. */
function plant(service: MemoryService, user: string, change: (entry: Entry) => Partial<Entry>): void {
  const entry = service.stored('new', user, '1') as Entry;
  service.databases.new.load([{ ...entry, ...change(entry) }]);
}

/** A record as a store holds it. */
const held = (user: string, n: number) => ({ user, id: '1', n });

test('a roll-back reads nothing of what is dirty elsewhere', async () => {
  await using service = await mirrored();
  const { plane } = service.operations;
  await service.cover();
  await service.set('cutover', 50_000);
  const { revision } = await plane.ruleset('items');
  const elsewhere = Array.from({ length: 3_000 }, (_, n) => ({ position: 50_000 + n, revision, key: null, ...lost }));
  await reportDirt(plane, 'items', elsewhere);
  const read = vi.spyOn(plane, 'dirtOf');
  await service.controller.rollback({ ...why, force: true });
  expect((await plane.ruleset('items')).dials.cutover).toBe(NOBODY);
  const pages = await Promise.all(read.mock.results.map(({ value }) => value));
  read.mockRestore();
  expect(pages.length).toBeGreaterThan(0);
  expect(pages.flat()).toEqual([]);
  expect(await plane.status('items')).toMatchObject({ dirty: { ranges: 3_000 } });
});

describe('repair', () => {
  test('mends every kind of divergence, and says before what it would do', { timeout: 240_000 }, async () => {
    await using service = await mirrored();
    await service.cover();
    const { controller, operations } = service;
    // Missing: a tombstone is no record. Different: the same version with another value. Stale: an older version.
    plant(service, 'ada', () => ({ value: null }));
    plant(service, 'bob', () => ({ value: held('bob', 99) }));
    plant(service, 'eve', () => ({ value: held('eve', 5), stamp: makeStamp(1, 0, 1) }));
    // Written past the repository, without a stamp; and one that the leading store never had.
    plant(service, 'joe', () => ({ value: held('joe', 6), stamp: null }));
    const stranger = service.stored('new', 'joe', '1') as Entry;
    const orphan = {
      id: stranger.id.replace('joe', 'zoe'),
      key: { user: 'zoe', id: '1' },
      value: held('zoe', 1),
      stamp: null,
    };
    service.databases.new.load([orphan]);

    const report = await controller.verify(verify);
    expect(report).toMatchObject({
      verdict: 'divergent',
      counts: { equal: 0, missing: 1, extra: 1, different: 1, stale: 2 },
    });
    const causes = report.divergences.map(({ cause }) => cause);
    expect(causes).toContain('written outside');

    const before = service.databases.new.snapshot();
    const plan = await controller.planRepair();
    expect(plan).toMatchObject({
      replays: [],
      restamps: {
        records: 5,
        from: { old: 5, new: 0 },
        kinds: { missing: 1, extra: 1, different: 1, stale: 2 },
        unmirrored: 0,
      },
    });
    expect(plan.restamps.causes.reduce((sum, { records }) => sum + records, 0)).toBe(5);
    expect(plan.restamps.examples.map(({ key }) => key['user']).sort()).toEqual(['ada', 'bob', 'eve', 'joe', 'zoe']);
    expect(service.databases.new.snapshot()).toEqual(before);

    const seen: RepairProgress[] = [];
    const summary = await controller.repair({ ...why, onProgress: (progress) => seen.push(progress) });
    expect(summary).toMatchObject({ restamped: 5, divergent: 0, unmended: [] });
    expect(seen.map(({ done }) => done)).toEqual([1, 2, 3, 4, 5]);
    expect(seen.at(-1)).toEqual({ phase: 'divergent', target: null, done: 5, all: 5, mended: 5, refused: 0 });

    expect(await controller.verify(verify)).toMatchObject({ verdict: 'consistent', counts: { old: 4, equal: 4 } });
    expect(service.stored('new', 'zoe', '1')?.value).toBeNull();
    expect(await operations.plane.divergences('items', 0, 10)).toEqual([]);
    expect(await controller.planRepair()).toMatchObject({ replays: [], restamps: { records: 0, examples: [] } });
  });

  test('what was mended by hand is over once all of it was found equal, and not by a part or a sample', {
    timeout: 240_000,
  }, async () => {
    await using service = await mirrored();
    await service.cover();
    const { controller, operations } = service;
    const good = new Map(['ada', 'bob'].map((user) => [user, service.stored('new', user, '1') as Entry]));
    for (const user of good.keys()) plant(service, user, () => ({ value: held(user, 99) }));
    await controller.verify(verify);
    const open = async () => (await operations.plane.divergences('items', 0, 10)).map(({ key }) => key['user']);
    expect((await open()).sort()).toEqual(['ada', 'bob']);
    service.databases.new.load([...good.values()]);
    const { position } = await operations.route('items', 'ada');
    const part = await controller.verify({ ...verify, positions: [[position, position + 1]] });
    expect(part.verdict).toBe('consistent');
    expect(await open()).toEqual(['bob']);
    await controller.verify({ ...verify, unit: 'bob' });
    await controller.verify({ ...verify, sample: 0.999 });
    expect(await open()).toEqual(['bob']);
    // Met again while it is verified: what was seen last is not known to be over.
    const record = operations.plane.recordVerification;
    const again = vi.spyOn(operations.plane, 'recordVerification').mockImplementationOnce(async (...args) => {
      const [row] = await operations.plane.divergences('items', 0, 1);
      const { key, position, kind, cause, fields, lastSeen } = row!;
      await operations.plane.recordDivergences('items', [
        { migration: 'items', key, position, kind, cause, fields, at: lastSeen },
      ]);
      return record.apply(operations.plane, args);
    });
    await controller.verify(verify);
    again.mockRestore();
    expect(await open()).toEqual(['bob']);
    await controller.verify(verify);
    expect(await open()).toEqual([]);
    expect(await operations.plane.status('items')).toMatchObject({ divergences: 0 });
  });

  test('what another mapping found different is not over because this one sees no difference', async () => {
    await using service = await mirrored();
    await service.cover();
    const { controller, operations } = service;
    const good = service.stored('new', 'ada', '1') as Entry;
    plant(service, 'ada', () => ({ value: held('ada', 99) }));
    await controller.verify(verify);
    service.databases.new.load([good]);
    const open = async () => (await operations.plane.status('items')).divergences;
    /** A verdict of whoever has another compare rule, say. */
    const ofAnother = async (verdict: 'consistent' | 'divergent' | 'inconclusive') => {
      const [row] = await operations.plane.verifications('items', { limit: 1 });
      const { reportKept: _, ...last } = row!;
      await operations.plane.recordVerification({ ...last, id: 0, verdict, mapping: 'another' }, why, {});
    };
    for (const verdict of ['divergent', 'inconclusive'] as const) {
      await ofAnother(verdict);
      expect(await controller.verify(verify)).toMatchObject({ verdict: 'consistent' });
      expect(await open()).toBe(1);
    }
    await ofAnother('consistent');
    await controller.verify(verify);
    expect(await open()).toBe(0);
  });

  test('the store that leads a unit is the one that its divergent records are written from', {
    timeout: 240_000,
  }, async () => {
    await using service = await mirrored(['ada']);
    await service.to('rampdown');
    const entry = service.stored('old', 'ada', '1') as Entry;
    service.databases.old.load([{ ...entry, value: held('ada', 77) }]);
    await service.controller.verify(verify);
    expect((await service.controller.planRepair()).restamps).toMatchObject({ records: 1, from: { old: 0, new: 1 } });
    expect(await service.controller.repair(why)).toMatchObject({ restamped: 1, divergent: 0 });
    expect(service.stored('old', 'ada', '1')?.value).toEqual(item('ada', '1'));
  });

  test('what is dirty is planned by direction, replayed and cleared; nothing else is touched', {
    timeout: 240_000,
  }, async () => {
    await using service = await mirrored();
    service.faults.new = ({ op, ids }) =>
      op === 'putIfNewer' && ids.some((id) => id.includes('bob')) ? { kind: 'fail' } : undefined;
    await service.items.put(item('bob', '1', 2));
    await until(async () => (await service.dirt()).length > 0, 'the dirt');
    service.faults.new = () => undefined;
    const bystander = service.stored('new', 'ada', '1');

    const plan = await service.controller.planRepair();
    expect(plan).toMatchObject({ restamps: { records: 0 }, replays: [{ target: 'new', lines: 1, rejected: 0 }] });
    expect(plan.replays[0]).toMatchObject({ positions: [], records: 0, keys: 1 });
    expect(plan.replays[0]?.examples).toMatchObject([{ key: { user: 'bob', id: '1' } }]);

    const seen: RepairProgress[] = [];
    const summary = await service.controller.repair({ ...why, onProgress: (progress) => seen.push(progress) });
    expect(summary).toMatchObject({ cleared: 1, applied: 1, rejected: { old: 0, new: 0 } });
    expect(seen).toEqual([{ phase: 'keys', target: 'new', done: 1, all: null, mended: 1, refused: 0 }]);
    expect(service.stored('new', 'bob', '1')?.value).toEqual(item('bob', '1', 2));
    expect(service.stored('new', 'ada', '1')).toEqual(bystander);
    expect(await service.dirt()).toEqual([]);
  });

  test('single keys are read as their records fit into memory', {
    timeout: 240_000,
  }, async () => {
    const users = Array.from({ length: 60 }, (_, n) => `user-${n}`);
    await using service = await mirrored([]);
    const { controller, operations } = service;
    service.faults.new = ({ op }) => (op === 'putIfNewer' ? { kind: 'reject', reason: 'constraint' } : undefined);
    const large = 'x'.repeat(500_000);
    for (const user of users) await service.items.put({ ...item(user, '1'), large } as never);
    await until(async () => (await operations.plane.status('items')).dirty.rejected === 60, 'the dirt');
    service.faults.new = () => undefined;
    const read: number[] = [];
    service.faults.old = ({ op, ids }) => {
      if (op === 'getMany') read.push(ids.length);
      return undefined;
    };
    expect(await controller.repair(why)).toMatchObject({ applied: 60, rejected: { old: 0, new: 0 } });
    expect(read.reduce((sum, count) => sum + count, 0)).toBe(60);
    // 4 MB of them at once.
    expect(Math.max(...read.slice(1))).toBeLessThanOrEqual(16);
    expect(read.length).toBeGreaterThan(6);
    service.faults.old = () => undefined;
    for (const user of users) expect(service.stored('new', user, '1')?.value).toMatchObject({ large });
  });

  test('single keys are clean when they were put, and no others with them', { timeout: 240_000 }, async () => {
    const users = ['ada', 'bob', 'eve', 'joe'];
    await using service = await mirrored([]);
    const { controller, operations } = service;
    service.faults.new = ({ op }) => (op === 'putIfNewer' ? { kind: 'reject', reason: 'constraint' } : undefined);
    for (const user of users) await service.items.put(item(user, '1'));
    const rejected = async () => (await operations.plane.status('items')).dirty.rejected;
    await until(async () => (await rejected()) === users.length, 'the dirt');
    service.faults.new = () => undefined;
    const stop = new AbortController();
    const interrupted = controller.repair({ ...why, signal: stop.signal, onProgress: () => stop.abort() });
    await expect(interrupted).rejects.toBeInstanceOf(Interrupted);
    const put = users.filter((user) => service.stored('new', user, '1') !== undefined);
    expect(put).toHaveLength(1);
    expect(await rejected()).toBe(users.length - put.length);
    expect(await controller.repair(why)).toMatchObject({ applied: users.length - put.length });
    expect(await rejected()).toBe(0);
  });

  test('what was lost in a dirty range is scanned with it; only what was refused there is read by itself', {
    timeout: 240_000,
  }, async () => {
    await using service = await mirrored();
    const { controller, operations } = service;
    service.faults.new = ({ op, ids }) =>
      op !== 'putIfNewer'
        ? undefined
        : ids.some((id) => id.includes('ada'))
          ? { kind: 'reject', reason: 'constraint' }
          : { kind: 'fail' };
    for (const user of ['ada', 'bob', 'eve']) await service.items.put(item(user, '1', 2));
    await until(async () => (await service.dirt()).length === 3, 'the dirt');
    service.faults.new = () => undefined;
    const at = async (user: string) => (await operations.route('items', user)).position;
    for (const user of ['ada', 'bob']) await leaveDirty(operations, await at(user));
    // Beside a range is not in it.
    for (const side of [-1, 1]) await leaveDirty(operations, (await at('eve')) + side);

    expect((await controller.planRepair()).replays).toMatchObject([{ keys: 2, rejected: 1, lines: 7 }]);
    const read: number[] = [];
    service.faults.old = ({ op, ids }) => {
      if (op === 'getMany') read.push(ids.length);
      return undefined;
    };
    expect(await controller.repair(why)).toMatchObject({ cleared: 7, rejected: { old: 0, new: 0 } });
    expect(read.slice(0, 2)).toEqual([1, 1]);
    for (const user of ['ada', 'bob', 'eve'])
      expect(service.stored('new', user, '1')?.value).toEqual(item(user, '1', 2));
    expect(await service.dirt()).toEqual([]);
  });

  test('a dirty range is scanned, and nothing beside it is put', { timeout: 240_000 }, async () => {
    await using service = await mirrored();
    const { controller, operations } = service;
    const { position } = await operations.route('items', 'bob');
    await leaveDirty(operations, position);
    for (const user of ['ada', 'bob']) {
      const entry = service.stored('new', user, '1') as Entry;
      service.databases.new.load([{ ...entry, value: held(user, 0), stamp: makeStamp(1, 0, 1) }]);
    }
    const { replays } = await controller.planRepair();
    expect(replays).toMatchObject([{ target: 'new', positions: [[position, position + 1]], keys: 0, lines: 1 }]);
    const seen: RepairProgress[] = [];
    const summary = await controller.repair({ ...why, onProgress: (progress) => seen.push(progress) });
    expect(summary).toMatchObject({ applied: 1, cleared: 1, restamped: 0 });
    expect(seen.at(-1)).toMatchObject({ phase: 'ranges', target: 'new', mended: 1, refused: 0 });
    expect(service.stored('new', 'bob', '1')?.value).toEqual(item('bob', '1'));
    expect(service.stored('new', 'ada', '1')?.value).toEqual(held('ada', 0));
  });

  test('a repair that was interrupted and meets more dirt scans all of it anew', { timeout: 240_000 }, async () => {
    await using service = await mirrored();
    const { controller, operations } = service;
    const behind = (user: string): void =>
      plant(service, user, () => ({ value: held(user, 0), stamp: makeStamp(1, 0, 1) }));
    const first = (await operations.route('items', 'bob')).position;
    await leaveDirty(operations, first);
    behind('bob');
    service.faults.old = ({ op }) => (op === 'scan' ? { kind: 'fail' } : undefined);
    const stop = new AbortController();
    const interrupted = controller.repair({ ...why, signal: stop.signal });
    await until(async () => (await operations.plane.runningReplay('items', 'repair', 'new')) !== null, 'the replay');
    stop.abort();
    await expect(interrupted).rejects.toBeInstanceOf(Interrupted);
    service.faults.old = () => undefined;

    const second = (await operations.route('items', 'eve')).position;
    await leaveDirty(operations, second);
    behind('eve');
    expect(await controller.repair(why)).toMatchObject({ applied: 2, cleared: 2 });
    for (const user of ['bob', 'eve']) expect(service.stored('new', user, '1')?.value).toEqual(item(user, '1'));
    expect(await service.dirt()).toEqual([]);
  });

  test('what the store refuses is named, and goes through once the cause is mended', { timeout: 240_000 }, async () => {
    await using service = await mirrored();
    const refuse = (): void => {
      service.faults.new = ({ op, ids }) =>
        (op === 'putIfNewer' || op === 'putManyIfNewer') && ids.some((id) => id.includes('eve'))
          ? { kind: 'reject', reason: 'constraint' }
          : undefined;
    };
    refuse();
    await service.items.put(item('eve', '1', 2));
    await until(async () => (await service.dirt()).length > 0, 'the dirt');
    const { replays } = await service.controller.planRepair();
    expect(replays).toMatchObject([{ target: 'new', positions: [], keys: 1, rejected: 1 }]);
    expect(replays[0]?.examples).toMatchObject([{ key: { user: 'eve', id: '1' }, cause: /constraint/ }]);
    const seen: RepairProgress[] = [];
    const refused = await service.controller.repair({ ...why, onProgress: (progress) => seen.push(progress) });
    expect(refused).toMatchObject({ cleared: 0, rejected: { new: 1 } });
    expect(seen).toContainEqual({ phase: 'keys', target: 'new', done: 1, all: null, mended: 0, refused: 1 });
    service.faults.new = () => undefined;
    expect(await service.controller.repair(why)).toMatchObject({ cleared: 1, applied: 1, rejected: { new: 0 } });
    expect(await service.dirt()).toEqual([]);
  });

  test('a record that cannot be written again does not keep the others from it', { timeout: 240_000 }, async () => {
    let strict = false;
    const schema = {
      '~standard': {
        version: 1 as const,
        vendor: 'test',
        validate: (value: unknown) =>
          strict && (value as { user: string }).user === 'bob' ? { issues: [{ message: 'no bobs' }] } : { value },
      },
    };
    await using service = await startService({ schema });
    await service.to('dualwrite');
    for (const user of ['ada', 'bob', 'eve']) await service.items.put(item(user, '1'));
    await until(() => service.stored('new', 'eve', '1') !== undefined, 'the mirrors');
    for (const user of ['ada', 'bob', 'eve']) plant(service, user, () => ({ value: held(user, 99) }));
    await service.controller.verify(verify);
    strict = true;
    const summary = await service.controller.repair(why);
    expect(summary).toMatchObject({ restamped: 2, divergent: 1 });
    expect(summary.unmended).toMatchObject([{ key: { user: 'bob', id: '1' }, why: /no bobs.*\[INVALID_RECORD\]/ }]);
    strict = false;
    expect(await service.controller.repair(why)).toMatchObject({ restamped: 1, divergent: 0 });
  });

  test('a repair that is interrupted keeps what it mended, and another one mends the rest', {
    timeout: 240_000,
  }, async () => {
    const users = Array.from({ length: 80 }, (_, i) => `user-${i}`);
    await using service = await mirrored(users);
    for (const user of users) plant(service, user, () => ({ value: held(user, 99) }));
    await service.controller.verify(verify);
    const stop = new AbortController();
    const failure = await service.controller
      .repair({
        ...why,
        signal: stop.signal,
        onProgress: ({ done }) => {
          if (done === 5) stop.abort();
        },
      })
      .then(
        () => null,
        (error: unknown) => error as ChangeoverError,
      );
    expect(failure).toBeInstanceOf(Interrupted);
    const left = (await service.operations.plane.divergences('items', 0, 1_000)).length;
    expect(left).toBeGreaterThan(0);
    expect(left).toBeLessThanOrEqual(75);
    const rest = await service.controller.repair(why);
    expect(rest.restamped + rest.agreed).toBe(left);
    expect(rest.divergent).toBe(0);
    expect(await service.controller.verify(verify)).toMatchObject({ verdict: 'consistent', counts: { equal: 80 } });
  });
});

describe('a roll-back', () => {
  const NEVER_MS = 20_000;
  const behind = (service: MemoryService, user: string): void => {
    const entry = service.stored('old', user, '1') as Entry;
    service.databases.old.load([{ ...entry, value: held(user, 0), stamp: makeStamp(1, 0, 1) }]);
  };

  test.for([
    ['whose process has gone', false],
    ['that a process holds', true],
  ] as const)(
    'gives up a paused repair %s, and replays what it needs itself',
    { timeout: 240_000 },
    async ([, stays]) => {
      await using service = await mirrored();
      await service.to('rampdown');
      const { controller, operations } = service;
      await leaveDirty(operations, (await operations.route('items', 'bob')).position, 'old');
      behind(service, 'bob');
      service.faults.new = ({ op }) => (op === 'scan' ? { kind: 'fail' } : undefined);
      const stop = new AbortController();
      const repair = controller.repair({ ...why, signal: stop.signal });
      const ended = repair.then(
        () => 'done',
        (error: unknown) => error,
      );
      await until(async () => (await operations.plane.runningReplay('items', 'repair', 'old')) !== null, 'the replay');
      await operations.plane.pauseReplay('items', 'repair', 'old', true, why);
      if (!stays) {
        stop.abort();
        await ended;
      }
      service.faults.new = () => undefined;
      const { document } = await controller.rollback({ ...why, signal: AbortSignal.timeout(NEVER_MS) });
      expect(document.dials.cutover).toBe(-1);
      expect(service.stored('old', 'bob', '1')?.value).toEqual(item('bob', '1'));
      expect(await service.dirt()).toEqual([]);
      expect(await ended).toBeInstanceOf(Interrupted);
    },
  );

  test('waits for nothing that is dirty or divergent elsewhere', { timeout: 240_000 }, async () => {
    const users = Array.from({ length: 40 }, (_, i) => `user-${i}`);
    await using service = await mirrored(users);
    await service.cover();
    await service.set('cutover', 50_000);
    const { controller, operations } = service;
    const routes = await Promise.all(users.map((user) => operations.route('items', user)));
    const high = routes.findIndex(({ position }) => position >= 50_000);
    await leaveDirty(operations, routes[high]?.position as number, 'new');
    for (const user of users) plant(service, user, () => ({ value: held(user, 99) }));
    await controller.verify(verify);
    // What is of no use to it is not even tried: the new store bears no more of it.
    service.faults.new = ({ op }) => (op === 'putManyIfNewer' || op === 'scan' ? { kind: 'fail' } : undefined);
    const writes = service.databases.old.snapshot();
    const { document } = await controller.rollback({ ...why, signal: AbortSignal.timeout(NEVER_MS) });
    expect(document.dials.cutover).toBe(-1);
    expect(service.databases.old.snapshot()).toEqual(writes);
    expect(await service.dirt()).toHaveLength(1);
    expect((await operations.plane.divergences('items', 0, 100)).length).toBe(40);
  });
});

/** What a process leaves that had to forget which keys of a position its mirrors missed. */
async function leaveDirty({ plane }: Control, position: number, target: 'old' | 'new' = 'new'): Promise<void> {
  const { revision } = await plane.ruleset('items');
  await reportDirt(plane, 'items', [{ ...lost, target, position, revision, key: null }]);
}

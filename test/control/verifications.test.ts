import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { VerificationOptions } from '../../src/control/verification.ts';
import { describePositions } from '../../src/core/dial.ts';
import { Busy, InvalidArgument } from '../../src/core/errors.ts';
import { Ruleset } from '../../src/core/ruleset.ts';
import { plantedStamp } from '../../verify/planted.ts';
import { insist } from '../support/insist.ts';
import { item, type MemoryService, startService, until } from '../support/memory-service.ts';
import { lost, reportDirt } from '../support/reported-dirt.ts';

const WHY = { actor: 'test', reason: 'test' };
let service: MemoryService;

beforeEach(async () => {
  service = await startService();
  for (let i = 0; i < 60; i += 1) await service.items.create(item(`u${i % 20}`, `i${i}`, i));
  await service.cover(100_000);
});
afterEach(() => service[Symbol.asyncDispose]());

const verify = (options: Partial<VerificationOptions> = {}) =>
  service.controller.verify({ ...WHY, recheckMs: [5, 10], ...options });

/** The verification gate of a move of cutover: whether it passes, and its evidence. */
async function gate(to = 100_000): Promise<readonly [boolean, string, string | null]> {
  const { gates } = await service.controller.preview({ dial: 'cutover', to });
  const found = gates.find(({ gate: name }) => name === 'verification');
  if (found === undefined) throw new Error('there is no such gate');
  return [found.passed, found.evidence, found.remedy];
}

/** Spoils a record of the new store, as somebody who writes past the repository would. */
function spoil(user: string, id: string): void {
  const there = service.stored('new', user, id);
  if (there === undefined) throw new Error('there is no such record');
  service.databases.new.load([{ ...there, value: { ...there.value, n: -1 } }]);
}

describe('a verification that proves itself', () => {
  test('is refused while another one does, which keeps what it planted; then another may', async () => {
    let planted = false;
    service.faults.old = ({ op }) => {
      if (op === 'compareAndSet') planted = true;
      return op === 'scan' && planted ? { kind: 'slow', answerMs: 1_000 } : undefined;
    };
    const first = verify({ prove: true, actor: 'ada' });
    await until(() => planted, 'what it plants');
    const second = await verify({ prove: true, actor: 'bob' }).catch((error: unknown) => error);
    expect(second).toBeInstanceOf(Busy);
    expect(second).toMatchObject({ message: expect.stringMatching(/planted records.*by ada/), remedy: /--prove/ });
    expect(await first).toMatchObject({ verdict: 'consistent', proof: { planted: 12, missed: [] } });
    service.faults.old = () => undefined;
    expect(await verify({ prove: true })).toMatchObject({ verdict: 'consistent', proof: { missed: [] } });
  });

  test('waits neither for a process that has surely ended nor for a lease that is over', async () => {
    const { plane } = service.operations;
    const process = { host: 'gone', pid: 1, processId: 'x', version: '1', name: '' };
    const lease = { migration: 'items', process, actor: 'eve', leaseMs: 60_000, instead: null };
    expect(await plane.holdProof({ ...lease, runner: 'dead' })).toBeNull();
    expect(await plane.holdProof({ ...lease, runner: 'next' })).toMatchObject({ runner: 'dead', actor: 'eve' });
    expect(await plane.holdProof({ ...lease, runner: 'next', instead: 'another' })).toMatchObject({ runner: 'dead' });
    await plane.releaseProof('items', 'next');
    await expect(verify({ prove: true })).rejects.toThrow(Busy);
    expect(await plane.holdProof({ ...lease, runner: 'next', instead: 'dead', leaseMs: 1 })).toBeNull();
    await until(async () => (await plane.holdProof({ ...lease, runner: 'last' })) === null, 'the end of its lease');
    await plane.releaseProof('items', 'last');
    expect(await verify({ prove: true })).toMatchObject({ verdict: 'consistent' });
  });
});

describe('what a verification is about', () => {
  test('a range satisfies the gate within itself only, and ranges add up', async () => {
    expect(await gate()).toEqual([false, 'never verified', 'changeover verify items']);
    const report = await verify({ positions: [[-1, 50_000]] });
    expect(report).toMatchObject({ verdict: 'consistent', positions: [[-1, 50_000]] });
    expect(report.counts.old).toBeLessThan(60);
    expect((await gate(50_000))[0]).toBe(true);
    expect(await gate()).toEqual([false, expect.stringContaining('other positions than 50–100 %'), expect.anything()]);
    await verify({ positions: [[50_000, 100_000]] });
    expect((await gate())[0]).toBe(true);
    // What a raise of dual-write voids is verified again in part: the evidence is about the rest.
    await service.controller.set({ dial: 'dual-write', to: 50_000 }, WHY);
    await service.cover(100_000);
    await verify({ positions: [[-1, 50_000]] });
    expect(await gate()).toEqual([false, expect.stringMatching(/^50–100 %: dual-write was raised/), expect.anything()]);
  });

  test('what is asked for and not mirrored is said, and leaves the verdict open', async () => {
    const report = await verify({ positions: [[0, 100_001]] });
    expect(report).toMatchObject({ verdict: 'inconclusive', positions: [[0, 100_000]] });
    expect(report.reasons).toEqual(['not verified: kept-back, which is not mirrored']);
    await expect(verify({ positions: [[100_000, 100_001]] })).rejects.toThrow(InvalidArgument);
  });

  test('a store that is retired is compared with nothing', async () => {
    await service.to('complete');
    await service.items.put(item('u3', 'i3', -7));
    await expect(verify()).rejects.toThrow('retired');
    expect(await service.operations.plane.divergences('items', 0, 10)).toEqual([]);
  });

  test('a sample or a unit satisfies no gate, but shuts it when it finds a difference', async () => {
    await verify({ sample: 0.9 });
    expect(await gate()).toEqual([false, 'the last verdict is about a sample', expect.anything()]);
    await verify();
    expect((await gate())[0]).toBe(true);
    // Less than everything does not undo what everything proved.
    expect(await verify({ unit: 'u3' })).toMatchObject({ verdict: 'consistent', counts: { old: 3 }, unit: 'u3' });
    expect(await verify({ sample: 0.9 })).toMatchObject({ verdict: 'consistent', sample: 0.9 });
    expect((await gate())[0]).toBe(true);
    spoil('u3', 'i3');
    expect(await verify({ unit: { user: 'u3' } })).toMatchObject({ verdict: 'divergent', counts: { different: 1 } });
    expect(await gate()).toEqual([false, expect.stringContaining('divergent'), expect.anything()]);
    // Once mended, it takes a look at everything again.
    await service.controller.repair(WHY);
    await verify({ unit: 'u3' });
    expect((await gate())[0]).toBe(false);
    await verify();
    expect((await gate())[0]).toBe(true);
  });

  test('a sample is enough where the settings say so', async () => {
    await service.settings({ verification: 'sample' });
    await verify({ unit: 'u3' });
    expect((await gate())[0]).toBe(false);
    expect(await verify({ sample: 1e-12 })).toMatchObject({
      verdict: 'inconclusive',
      counts: { old: 0 },
      reasons: ['the sample held no record: take a larger one'],
    });
    expect((await gate())[0]).toBe(false);
    await verify({ sample: 0.9 });
    expect((await gate())[0]).toBe(true);
  });

  test('a plain record that a complete store lacks was written outside', async () => {
    const key = { user: 'u99', id: 'i99' };
    service.databases.old.load([{ id: '["u99","i99"]', key, stamp: null, value: { ...key, n: 9 } }]);
    const found = (await verify()).divergences.map(({ kind, cause }) => [kind, cause]);
    expect(found).toEqual([['missing', 'written outside']]);
    await service.controller.repair(WHY);
    expect(await verify()).toMatchObject({ verdict: 'consistent' });
  });

  test('a unit that nobody has proves nothing', async () => {
    expect(await verify({ unit: 'mistyped' })).toMatchObject({
      verdict: 'inconclusive',
      counts: { old: 0, new: 0 },
      reasons: ['neither store has a record of the unit'],
    });
  });

  test('what is planted is not copied by a replay that begins beside it', async () => {
    const planted = { user: '~changeover-left', id: '~changeover-1', n: 1 };
    const key = { user: planted.user, id: planted.id };
    const stamp = plantedStamp(Date.now(), 'older');
    service.databases.old.load([{ id: '["~changeover-left","~changeover-1"]', key, stamp, value: planted }]);
    await service.controller.backfill(WHY);
    expect(service.stored('old', planted.user, planted.id)).toBeDefined();
    expect(service.stored('new', planted.user, planted.id)).toBeUndefined();
  });

  test('the gate can ask for a proof', async () => {
    await service.settings({ verification: 'proven' });
    await verify();
    expect(await gate()).toEqual([
      false,
      expect.stringContaining('did not prove itself'),
      'changeover verify items --prove',
    ]);
    expect(await verify({ prove: true })).toMatchObject({ verdict: 'consistent', proof: { planted: 12, missed: [] } });
    expect((await gate())[0]).toBe(true);
    expect(await service.controller.verify({ ...WHY, recheckMs: [5], positions: [[0, 2]] })).toBeDefined();
    expect((await gate())[0]).toBe(true);
    const left = [service.databases.old, service.databases.new].map((database) => database.snapshot().length);
    expect(left).toEqual([60, 60]);
  });

  test('nothing is planted for one unit, or beside a replay', async () => {
    await expect(verify({ unit: 'u3', prove: true })).rejects.toThrow(InvalidArgument);
    await service.settings({ replayRate: 1 });
    const stop = new AbortController();
    const replaying = service.controller.backfill({ ...WHY, signal: stop.signal }).catch((error: unknown) => error);
    await until(async () => (await service.operations.plane.status('items')).replay !== null, 'a replay');
    await expect(verify({ prove: true })).rejects.toThrow(Busy);
    stop.abort();
    expect(await replaying).toBeInstanceOf(Error);
  });

  test('a difference that a mirror write known to be lost explains is told as such', async () => {
    service.faults.new = ({ op }) => (op === 'putIfNewer' ? { kind: 'fail' } : undefined);
    await service.items.put(item('u3', 'i3', -7));
    await until(async () => (await service.dirt()).length > 0, 'dirt');
    service.faults.new = () => undefined;
    // The write is seconds old; told to wait for nothing, the verification judges it at once.
    const report = await verify({ recheckMs: [] });
    expect(report.counts).toMatchObject({ stale: 1, equal: 59 });
    expect(report.divergences.map(({ kind, cause }) => [kind, cause])).toEqual([['stale', 'lost mirror']]);
    await service.controller.repair(WHY);
    expect(await verify()).toMatchObject({ verdict: 'consistent', counts: { equal: 60 } });
  });
});

test('however much is dirty elsewhere, a verification knows what is dirty in its positions', async () => {
  const { plane } = service.operations;
  const document = await plane.ruleset('items');
  const position = new Ruleset(document).position('u3');
  const elsewhere = Array.from({ length: 10_500 }, (_, n) => ({
    ...{ position: (position + 1 + n) % 100_000, revision: document.revision, key: null },
    ...lost,
  }));
  await reportDirt(plane, 'items', elsewhere);
  service.faults.new = ({ op }) => (op === 'putIfNewer' ? { kind: 'fail' } : undefined);
  await service.items.put(item('u3', 'i3', -7));
  await until(async () => (await plane.status('items')).dirty.ranges > elsewhere.length, 'dirt');
  service.faults.new = () => undefined;
  const { verdict, divergences, reasons } = await verify({ unit: 'u3', recheckMs: [] });
  expect(divergences.map(({ kind, cause }) => [kind, cause])).toEqual([['stale', 'lost mirror']]);
  expect([verdict, reasons]).toEqual(['divergent', expect.arrayContaining(['1 dirty range(s) wait for repair'])]);
  expect((await verify({ recheckMs: [] })).reasons).toContain(`${elsewhere.length + 1} dirty range(s) wait for repair`);
});

test('what is missing where mirror writes were lost is told as that, and elsewhere it is not', async () => {
  const { plane } = service.operations;
  const document = await plane.ruleset('items');
  const position = new Ruleset(document).position('u3');
  await reportDirt(plane, 'items', [{ position, revision: document.revision, key: null, ...lost }]);
  const plain = ['u3', 'u4'].map((user) => {
    const key = { user, id: 'i99' };
    return { id: `["${user}","i99"]`, key, stamp: null, value: { ...key, n: 9 } };
  });
  service.databases.old.load(plain);
  const { divergences } = await verify();
  expect(divergences.map(({ key, kind, cause }) => [key['user'], kind, cause])).toEqual([
    ['u3', 'missing', 'dirty range'],
    ['u4', 'missing', 'written outside'],
  ]);
});

describe('a unit that changes its cohort (R18)', () => {
  const change = (to: 'canary' | 'kept-back' | null) => service.controller.cohort('u3', to, WHY);

  test('is verified where it stands now only if it was where it stood', async () => {
    await change('kept-back');
    await verify();
    expect((await gate())[0]).toBe(true);
    // It was not compared: what it comes back to is not verified any more, and all the rest is.
    await change(null);
    await service.controller.backfill(WHY);
    expect(await gate()).toEqual([false, expect.stringContaining('other positions'), expect.anything()]);
    await verify({ unit: 'u3' });
    expect((await gate())[0]).toBe(false);
    await verify();
    expect((await gate())[0]).toBe(true);
    // To and fro among what was verified.
    await change('canary');
    await change(null);
    expect((await gate())[0]).toBe(true);
  });

  test('takes its differences along', async () => {
    const divergences = async () => {
      const { gates } = await service.controller.preview({ dial: 'cutover', to: 100_000 });
      return gates.find(({ gate: name }) => name === 'divergences')?.passed;
    };
    await service.cover(100_001);
    await change('kept-back');
    spoil('u3', 'i3');
    expect(await verify({ positions: [[100_000, 100_001]] })).toMatchObject({ verdict: 'divergent' });
    expect(await verify({ positions: [[-1, 100_000]] })).toMatchObject({ verdict: 'consistent' });
    // The kept-back ones are not asked for.
    expect([await divergences(), (await gate())[0]]).toEqual([true, true]);
    await change(null);
    expect([await divergences(), (await gate())[0]]).toEqual([false, false]);
    await service.controller.repair(WHY);
    expect(await divergences()).toBe(true);
    await verify();
    expect((await gate())[0]).toBe(true);
  });
});

test('a verdict that gates take no more is outdated wherever it is shown', async () => {
  const outdated = async () => (await service.operations.plane.status('items')).verification?.outdated;
  expect(await outdated()).toBeUndefined();
  await verify();
  expect([await outdated(), (await gate())[0]]).toEqual([false, true]);
  await service.set('dual-write', 100_001);
  expect([await outdated(), (await gate())[1]]).toEqual([true, 'dual-write was raised since the last verdict']);
  await service.controller.backfill(WHY);
  await verify();
  expect([await outdated(), (await gate())[0]]).toEqual([false, true]);
});

test('a verdict that is about a part is shown with that part', async () => {
  const only = async () => (await service.operations.plane.status('items')).verification?.only;
  await service.cover(100_001);
  await verify();
  expect(await only()).toBeNull();
  await verify({ unit: { user: 'u3' } });
  expect(await only()).toBe('one unit');
  await verify({ sample: 0.125 });
  expect(await only()).toBe('a sample of 12.5 % of the units');
  await verify({ positions: [[-1, 4_000]] });
  expect(await only()).toBe(describePositions([[-1, 4_000]]));
  await verify({ positions: [[-1, 100_001]] });
  expect(await only()).toBeNull();
});

test('what no backfill has brought yet is told as that, and nothing else', async () => {
  await service.set('dual-write', -1);
  const there = service.stored('old', 'u3', 'i3');
  if (there === undefined) throw new Error('there is no such record');
  // As it was before there were stamps.
  const legacy = { ...there, id: there.id.replace('u3', 'late'), key: { user: 'late', id: 'i3' }, stamp: null };
  service.databases.old.load([{ ...legacy, value: { user: 'late', id: 'i3', n: 3 } }]);
  await service.set('dual-write', 100_000);
  const report = await verify();
  expect(report).toMatchObject({ verdict: 'divergent', counts: { missing: 1 } });
  expect(report.divergences).toMatchObject([{ key: { user: 'late' }, kind: 'missing', cause: 'not backfilled' }]);
  const { plane } = service.operations;
  expect([(await gate())[0], await plane.divergences('items', 0, 10)]).toEqual([false, []]);
  await service.controller.backfill(WHY);
  expect(await verify()).toMatchObject({ verdict: 'consistent' });
  expect((await gate())[0]).toBe(true);
});

test('what a unit wrote while it was kept back and not mirrored is due when it is in its bucket again', async () => {
  const { controller, items, operations } = service;
  await service.set('dual-write', 100_000);
  await insist(controller, () => controller.cohort('u3', 'kept-back', WHY));
  await items.put(item('u3', 'i3', 77));
  await insist(controller, () => controller.cohort('u3', null, WHY));
  const report = await verify();
  expect(report.divergences).toMatchObject([{ key: { user: 'u3' }, kind: 'stale', cause: 'not backfilled' }]);
  expect(await operations.plane.divergences('items', 0, 10)).toEqual([]);
  await controller.backfill(WHY);
  expect(await verify()).toMatchObject({ verdict: 'consistent' });
});

import { describe, expect, test } from 'vitest';
import { ControlPlane } from '../../src/control/control-plane.ts';
import { factsOf } from '../../src/control/facts.ts';
import { gatesOf, preloadGates } from '../../src/control/gates.ts';
import { memoryStorage } from '../../src/control/memory-storage.ts';
import type { ControlStorage, DirtRow, VerificationRow } from '../../src/control/storage.ts';
import { systemClock } from '../../src/core/clock.ts';
import { ALL, EVERY_BUCKET, NOBODY, WHOLE_LINE } from '../../src/core/dial.ts';
import { ControlUnavailable, GatesRefused } from '../../src/core/errors.ts';
import { initialRuleset } from '../../src/core/ruleset.ts';
import { dirtRow, migrationRow } from '../support/control-rows.ts';

const MIGRATION = 'events';
const MANY = 10_100;
const evidence = { prepared: { old: true, new: true }, findings: { old: [], new: [] }, mapping: 'm' };

test('very much dirt of one store does not hide that of the other', async () => {
  const storage = memoryStorage();
  const facts = await storage.transaction(async (tx) => {
    await tx.insert('migrations', migrationRow(MIGRATION));
    await tx.insertMany(
      'dirt',
      Array.from({ length: MANY }, (_, n) => dirtRow({ target: 'new', fromPosition: n, toPosition: n + 1 })),
    );
    await tx.insert('dirt', dirtRow({ target: 'old', fromPosition: 77_777, toPosition: 77_778 }));
    return factsOf(tx, MIGRATION, 0);
  });
  const dirty = preloadGates(facts, evidence).find(({ gate }) => gate === 'dirty');
  expect(dirty).toMatchObject({ passed: false, evidence: expect.stringContaining('1 dirty entry') });
});

/** The dials' move, and what its gates say where very much is dirty from 50,000 on and something below 100. */
async function dirtyGates(from: number, to: number, dirty: readonly Partial<DirtRow>[]) {
  const storage = memoryStorage();
  const move = { dial: 'cutover', to } as const;
  const seen = await storage.transaction(async (tx) => {
    const initial = initialRuleset(MIGRATION);
    const dials = { ...initial.dials, dualWrite: ALL, shadowRead: EVERY_BUCKET, cutover: from };
    const document = { ...initial, stamping: 'on' as const, dials };
    const coverage = { coverageOld: WHOLE_LINE, coverageNew: WHOLE_LINE };
    await tx.insert('migrations', migrationRow(MIGRATION, { document, ...coverage }));
    const far = (n: number) => ({ fromPosition: 50_000 + 2 * n, toPosition: 50_001 + 2 * n });
    for (const target of ['new', 'old'] as const) {
      await tx.insertMany(
        'dirt',
        Array.from({ length: MANY }, (_, n) => dirtRow({ target, ...far(n) })),
      );
    }
    await tx.insertMany('dirt', dirty.map(dirtRow));
    const facts = await factsOf(tx, MIGRATION, 0, move);
    const gates = gatesOf(facts, move, evidence);
    const [lost, rejected] = ['dirty', 'rejected'].map((name) => gates.find(({ gate }) => gate === name));
    return { lost, rejected };
  });
  const plane = new ControlPlane(storage, systemClock);
  const request = { migration: MIGRATION, move, evidence, force: true, dryRun: true, ifRevision: null };
  return { ...seen, furthest: (await plane.move({ ...request, actor: 'a', reason: 'r' })).furthest };
}

describe('however much is dirty elsewhere', () => {
  test('a move sees what is dirty in its positions, and nothing else', async () => {
    const at = (position: number) => ({ fromPosition: position, toPosition: position + 1 });
    const few = [{ ...at(40) }, { ...at(60), target: 'old' as const }, { ...at(70), kind: 'rejected' as const }];
    for (const [from, to] of [
      [NOBODY, 40],
      [40, NOBODY],
    ] as const) {
      const clean = await dirtyGates(from, to, few);
      expect(clean).toMatchObject({ lost: { passed: true }, rejected: { passed: true } });
    }
    expect(await dirtyGates(NOBODY, 100, few)).toMatchObject({
      lost: { passed: false, evidence: expect.stringContaining('2 dirty entries at bucket 40, bucket 60') },
      rejected: { passed: false, evidence: expect.stringContaining('1 dirty entry at bucket 70') },
      furthest: 40,
    });
    expect(await dirtyGates(100, NOBODY, few)).toMatchObject({ furthest: 71 });
    // Behind all that is dirty, too.
    expect(await dirtyGates(90_000, 90_040, [at(90_040)])).toMatchObject({ lost: { passed: true } });
    expect(await dirtyGates(90_000, 90_050, [at(90_040)])).toMatchObject({
      lost: { passed: false, evidence: expect.stringContaining('1 dirty entry at bucket 90040') },
    });
  });

  test('a move is told how much it is, and how far it may go in spite of it', async () => {
    expect(await dirtyGates(NOBODY, EVERY_BUCKET, [])).toMatchObject({
      lost: { passed: false, evidence: expect.stringContaining(`${2 * MANY} dirty entries at bucket 50000`) },
      rejected: { passed: true },
      furthest: 50_000,
    });
    expect(await dirtyGates(EVERY_BUCKET, NOBODY, [])).toMatchObject({ furthest: 50_000 + 2 * MANY - 1 });
    // One that begins before all others and ends behind them.
    const wide = { fromPosition: 1, toPosition: 90_000 };
    expect(await dirtyGates(EVERY_BUCKET, NOBODY, [wide])).toMatchObject({ furthest: 90_000 });
  });
});

/** The gate of a cutover to a threshold, where so many records differ at 90,000 and one at 5. */
async function divergenceGate(to: number, verifications: readonly Partial<VerificationRow>[] = []) {
  const storage = memoryStorage();
  const move = { dial: 'cutover', to } as const;
  const facts = await storage.transaction(async (tx) => {
    const initial = initialRuleset(MIGRATION);
    const dials = { ...initial.dials, dualWrite: ALL, shadowRead: EVERY_BUCKET, cutover: NOBODY };
    await tx.insert('migrations', migrationRow(MIGRATION, { document: { ...initial, stamping: 'on', dials } }));
    const line = { migration: MIGRATION, kind: 'different' as const, cause: null, fields: [] };
    const seen = { firstSeen: 0, lastSeen: 0, seen: 1 };
    await tx.insertMany(
      'divergences',
      Array.from({ length: MANY }, (_, n) => {
        const position = n < MANY - 1 ? 90_000 : 5;
        return { id: 0, ...line, ...seen, keyId: String(n), key: { id: n }, position };
      }),
    );
    for (const row of verifications) await tx.insert('verifications', { ...verdict, ...row });
    return factsOf(tx, MIGRATION, 0, move);
  });
  return gatesOf(facts, move, evidence).find((one) => one.gate === 'divergences');
}

const verdict: VerificationRow = {
  id: 0,
  migration: MIGRATION,
  verdict: 'divergent',
  positions: [[NOBODY, ALL]],
  revision: 1,
  mapping: 'm',
  startedAt: 0,
  finishedAt: 0,
  expiresAt: 1e15,
  report: {},
};

test('however many records differ elsewhere, those of the move are seen, and nothing else is in its way', async () => {
  expect(await divergenceGate(5)).toMatchObject({ passed: true });
  expect(await divergenceGate(10)).toMatchObject({ passed: false, evidence: '1 record differs in canary, 0–0.01 %' });
  expect(await divergenceGate(EVERY_BUCKET)).toMatchObject({
    passed: false,
    evidence: expect.stringContaining('10000 records or more differ'),
    remedy: expect.stringContaining('changeover repair events'),
  });
});

test('what a verification found and could not list is in the way until another one lists all', async () => {
  const truncated = { report: { truncated: true } };
  expect(await divergenceGate(5, [truncated])).toMatchObject({
    passed: false,
    evidence: expect.stringContaining('more divergent records than it lists'),
    remedy: expect.stringContaining('changeover verify events'),
  });
  expect(await divergenceGate(5, [truncated, { verdict: 'consistent' }])).toMatchObject({ passed: true });
  expect(await divergenceGate(5, [truncated, { report: { sample: 0.1 } }])).toMatchObject({ passed: false });
  expect(await divergenceGate(5, [{ ...truncated, positions: [[50_000, ALL]] }])).toMatchObject({ passed: true });
});

test('a refusal is answered as one, also where it cannot be written down', async () => {
  const storage = memoryStorage();
  await storage.transaction((tx) => tx.insert('migrations', migrationRow(MIGRATION)));
  let transactions = 0;
  const failing: ControlStorage = {
    ...storage,
    read: (body) => storage.read(body),
    transaction: (body) => {
      transactions += 1;
      return transactions > 1 ? Promise.reject(new ControlUnavailable('away')) : storage.transaction(body);
    },
  };
  const plane = new ControlPlane(failing, systemClock);
  const move = { dial: 'cutover', to: ALL } as const;
  const request = { migration: MIGRATION, move, evidence, force: false, dryRun: false, ifRevision: null };
  await expect(plane.move({ ...request, actor: 'a', reason: 'r' })).rejects.toBeInstanceOf(GatesRefused);
  expect(transactions).toBe(2);
});

test.each([
  [0, 'no read was compared since the last change: the services made none, or the store that follows answered none'],
  [1, '0 divergent in 1 comparison since the last change'],
  [3, '0 divergent in 3 comparisons since the last change'],
  [4, '0 divergent in 4 comparisons since the last change (which bounds the rate by 75 % at 95 %)'],
  [1_000_000, '0 divergent in 1000000 comparisons since the last change (which bounds the rate by 0.0003 % at 95 %)'],
])('the gate of %i shadow reads says what they bound, and no more', async (shadowCompared, said) => {
  const move = { dial: 'cutover', to: 10 } as const;
  const facts = await memoryStorage().transaction(async (tx) => {
    const initial = initialRuleset(MIGRATION);
    const document = { ...initial, dials: { ...initial.dials, dualWrite: ALL, shadowRead: EVERY_BUCKET } };
    await tx.insert('migrations', migrationRow(MIGRATION, { document, shadowCompared }));
    return factsOf(tx, MIGRATION, 0, move);
  });
  const gate = gatesOf(facts, move, evidence).find(({ gate }) => gate === 'shadow-reads');
  expect(gate).toMatchObject({ passed: shadowCompared > 0, evidence: said });
});

import { expect, test } from 'vitest';
import { ControlPlane } from '../../src/control/control-plane.ts';
import { factsOf } from '../../src/control/facts.ts';
import { gatesOf, preloadGates } from '../../src/control/gates.ts';
import { memoryStorage } from '../../src/control/memory-storage.ts';
import type { ControlStorage, VerificationRow } from '../../src/control/storage.ts';
import { systemClock } from '../../src/core/clock.ts';
import { ALL, EVERY_BUCKET, NOBODY } from '../../src/core/dial.ts';
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
  expect(await divergenceGate(10)).toMatchObject({ passed: false, evidence: '1 record differ in canary, 0–0.01 %' });
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

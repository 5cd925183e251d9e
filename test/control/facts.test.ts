import { expect, test } from 'vitest';
import { ControlPlane } from '../../src/control/control-plane.ts';
import { factsOf } from '../../src/control/facts.ts';
import { gatesOf, preloadGates } from '../../src/control/gates.ts';
import { memoryStorage } from '../../src/control/memory-storage.ts';
import type { ControlStorage } from '../../src/control/storage.ts';
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

test('where more records differ than are looked at, no share of them is taken for agreeing', async () => {
  const storage = memoryStorage();
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
    return factsOf(tx, MIGRATION, 0);
  });
  const gate = gatesOf(facts, { dial: 'cutover', to: 10 }, evidence).find((one) => one.gate === 'divergences');
  expect(gate).toMatchObject({ passed: false });
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

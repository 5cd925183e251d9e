import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { expect, test } from 'vitest';
import { KEPT_REPORTS, type VerificationLine } from '../../src/control/verification-reports.ts';
import type { ReportDocument } from '../../verify/reports/report-document.ts';
import { REPORT_FORMATS, writeReport } from '../../verify/reports/write-report.ts';
import { item, startService, until } from '../support/memory-service.ts';

const why = { actor: 'ada', reason: 'test' };
const verify = { ...why, recheckMs: [] };

const ajv = new Ajv2020({ strict: true, strictTypes: false });
(formats as unknown as { default: (ajv: Ajv2020) => void }).default(ajv);
const valid = ajv.compile(
  JSON.parse(readFileSync(join(import.meta.dirname, '../../docs/verify-report-schema.json'), 'utf8')) as object,
);

test('the report of a verification is kept, masked, with the moves before it, and can be shown in every form', async () => {
  await using service = await startService({ showValues: true });
  const { plane } = service.operations;
  await service.to('dualwrite');
  await service.items.put({ ...item('ada', '1'), note: 'a secret' });
  await until(() => service.stored('new', 'ada', '1') !== undefined, 'the mirror');
  const entry = service.stored('new', 'ada', '1');
  service.databases.new.load([{ ...entry!, value: { user: 'ada', id: '1', n: 2 } }]);
  const report = await service.controller.verify(verify);
  expect(report.verdict).toBe('divergent');

  const [line] = await plane.verifications('items', { limit: 10 });
  expect(line).toMatchObject({ verdict: 'divergent', reportKept: true, mapping: report.mappingHash });
  const document = (await plane.verificationReport('items', line?.id as number)) as ReportDocument;
  expect(valid(document) ? [] : valid.errors).toEqual([]);
  expect(document).toMatchObject({
    verdict: 'divergent',
    valuesShown: false,
    counts: report.counts,
    expiresAt: report.expiresAt,
    positions: report.positions,
    divergences: [{ keyText: 'user="ada", id="1"' }],
  });
  expect(document.moves?.map(({ summary }) => summary).join('\n')).toMatch(/dual-write/);
  for (const format of REPORT_FORMATS) {
    const text = writeReport(document, format);
    expect(text).toContain('ada');
    expect(text).not.toContain('secret');
  }
});

test('a verification that finds dirt is inconclusive by its report, too', async () => {
  await using service = await startService();
  await service.to('dualwrite');
  await service.items.put(item('ada', '1'));
  service.faults.new = ({ op }) => (op === 'putIfNewer' ? { kind: 'reject', reason: 'constraint' } : undefined);
  await service.items.put(item('bob', '1'));
  await until(async () => (await service.dirt()).length > 0, 'the dirt');
  service.faults.new = () => undefined;
  await service.operations.plane.clearDivergences('items', []);
  await service.controller.verify(verify);
  const [line] = await service.operations.plane.verifications('items', { limit: 1 });
  const document = (await service.operations.plane.verificationReport('items', line?.id as number)) as ReportDocument;
  expect(valid(document) ? [] : valid.errors).toEqual([]);
  expect(document.reasons.join()).toContain('rejected');
  expect(document.summary.causes).toContainEqual({ cause: 'rejected', count: 1 });
});

test('the newest reports are kept, verdicts for good', async () => {
  await using service = await startService();
  const { plane } = service.operations;
  await service.to('dualwrite');
  const report = await service.controller.verify(verify);
  const [first] = await plane.verifications('items', { limit: 1 });
  const { reportKept: _, ...row } = first!;
  for (let i = 0; i < KEPT_REPORTS; i += 1) await plane.recordVerification(row, why, { ...report, number: i });
  // One of an older command line, without a report, takes nobody's place but its own.
  const bare = await plane.recordVerification(row, why);

  const lines = await plane.verifications('items', { limit: 100 });
  expect(lines).toHaveLength(KEPT_REPORTS + 2);
  expect(lines.filter(({ reportKept }) => reportKept)).toHaveLength(KEPT_REPORTS - 1);
  expect(lines[0]).toMatchObject({ id: bare, reportKept: false });
  expect(await plane.verificationReport('items', lines[1]?.id as number)).toMatchObject({ number: KEPT_REPORTS - 1 });
  for (const id of [first?.id as number, bare, 4_711]) {
    await expect(plane.verificationReport('items', id)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  }
  const older = await plane.verifications('items', { before: lines[5]?.id as number, limit: 3 });
  expect(older.map(({ id }) => id)).toEqual(lines.slice(6, 9).map(({ id }) => id));
});

test('a verdict of a machine whose clock is days off holds as long as any other', async () => {
  await using service = await startService();
  const { plane } = service.operations;
  await service.to('dualwrite');
  await service.controller.verify(verify);
  const [{ reportKept: _, ...row }] = (await plane.verifications('items', { limit: 1 })) as [VerificationLine];
  const ttlMs = row.expiresAt - row.finishedAt;
  for (const off of [-3, 3].map((days) => days * 86_400_000)) {
    const { startedAt, finishedAt, expiresAt } = row;
    const skewed = { startedAt: startedAt + off, finishedAt: finishedAt + off, expiresAt: expiresAt + off };
    await plane.recordVerification({ ...row, ...skewed }, why);
    const [line] = (await plane.verifications('items', { limit: 1 })) as [VerificationLine];
    expect(line.expiresAt - line.finishedAt).toBe(ttlMs);
    expect(line.finishedAt - line.startedAt).toBe(finishedAt - startedAt);
    expect(Math.abs(line.finishedAt - finishedAt)).toBeLessThan(3_600_000);
  }
});

test.each([
  ['counts', {}, 'consistent'],
  ['has expired', { expiresAt: 1 }, 'expired'],
  ['is about another mapping', { mapping: 'another' }, 'another mapping'],
  ['is about another schema', (mapping: string) => ({ mapping: `${mapping.split('.')[0]}.another` }), 'another schema'],
  ['is about other positions', { positions: [[0, 10]] as [number, number][] }, 'other positions'],
  ['says divergent', { verdict: 'divergent' as const }, 'divergent'],
  ['says inconclusive', { verdict: 'inconclusive' as const }, 'inconclusive'],
])('a verdict that %s is seen as such by the gate', async (what, change, evidence) => {
  const ready = async () => {
    const service = await startService();
    await service.to('shadow');
    return service;
  };
  await using verified = await ready();
  await verified.controller.verify(verify);
  const [newest] = await verified.operations.plane.verifications('items', { limit: 1 });
  const { reportKept: _, ...row } = newest!;
  const changed = typeof change === 'function' ? change(row.mapping) : change;
  await using service = await ready();
  await service.operations.plane.recordVerification({ ...row, ...changed }, why);
  const { gates } = await service.controller.set({ dial: 'cutover', to: 100_000 }, { ...why, dryRun: true });
  expect(gates.find(({ gate }) => gate === 'verification')).toMatchObject({
    passed: what === 'counts',
    evidence: expect.stringContaining(evidence),
  });
});

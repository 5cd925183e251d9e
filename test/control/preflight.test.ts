import { describe, expect, test } from 'vitest';
import { MemoryDatabase, memory } from '../../adapters/memory/index.ts';
import { localControlPlane } from '../../src/control/control-plane.ts';
import type { CallerEvidence } from '../../src/control/gates.ts';
import { memoryStorage } from '../../src/control/memory-storage.ts';
import type { CensusRow } from '../../src/control/storage.ts';
import { parseDialValue } from '../../src/core/dial.ts';
import { GatesRefused, type GateVerdict, InvalidArgument } from '../../src/core/errors.ts';
import type { DialMove, Side } from '../../src/core/stage.ts';
import type { Codec, Finding } from '../../src/core/store.ts';
import { control, defineConfig, migration } from '../../src/index.ts';
import { item, type MemoryService, startService } from '../support/memory-service.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const WHY = { actor: 'ada', reason: 'OPS-1' };

const finding = (name: string, level: Finding['level'] = 'risk'): Finding => ({
  name,
  kind: 'unique',
  level,
  message: `about ${name}`,
  remedy: level === 'info' ? '' : `DROP ${name};`,
});

const withFindings = (...findings: readonly Finding[]) => ({ database: new MemoryDatabase({ findings }) });

/** The gates that refused a move and cannot be overridden. */
async function refusal(move: Promise<unknown>): Promise<readonly GateVerdict[]> {
  const error = await move.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(GatesRefused);
  return (error as GatesRefused).gates.filter(({ passed, advice }) => !passed && !advice);
}

const dualWrite = (to: number): DialMove => ({ dial: 'dual-write', to: parseDialValue(to) });
const cutover = (to: number): DialMove => ({ dial: 'cutover', to: parseDialValue(to) });

describe('dual-write', () => {
  test('is refused until every risk of the follower is accepted by its name, and again when one is withdrawn', async () => {
    await using service = await startService({
      memory: {
        new: withFindings(finding('unique:email'), finding('trigger:audit log'), finding('index:slow', 'info')),
      },
    });
    const { controller } = service;
    const raise = () => controller.set(dualWrite(10), WHY);

    const [gate, ...others] = await refusal(raise());
    expect(others).toEqual([]);
    expect(gate).toMatchObject({ gate: 'constraints', advice: false });
    expect(gate?.evidence).toContain('unique:email, trigger:audit log');
    expect(gate?.evidence).not.toContain('index:slow');
    expect(gate?.remedy).toBe(
      'changeover accept items unique:email --side new --reason "…" && ' +
        'changeover accept items \'trigger:audit log\' --side new --reason "…"',
    );
    // Nothing overrides it.
    expect(await refusal(controller.set(dualWrite(10), { ...WHY, force: true }))).toMatchObject([
      { gate: 'constraints' },
    ]);

    await controller.accept('unique:email', WHY);
    expect((await refusal(raise()))[0]?.evidence).not.toContain('unique:email');
    await controller.accept('trigger:audit log', { ...WHY, side: 'new' });
    await raise();
    expect((await service.operations.plane.status('items')).dials.dualWrite).toBe(10);

    expect(await controller.accept('unique:email', { ...WHY, withdraw: true })).toMatchObject({
      side: 'new',
      changed: true,
    });
    expect((await refusal(controller.set(dualWrite(20), WHY)))[0]?.evidence).toContain('unique:email');
    // What is mirrored already goes back whatever was found.
    await controller.set(dualWrite(0), WHY);
  });

  test('is refused for a problem, which nobody can accept', async () => {
    await using service = await startService();
    const broken = finding('version:too-old', 'problem');
    const evidence = evidenceOf({ new: [broken] });
    const answer = await service.operations.plane.move({
      ...{ migration: 'items', move: dualWrite(1), evidence, force: true, dryRun: true, ifRevision: null },
      ...WHY,
    });
    expect(answer.allowed).toBe(false);
    const gate = answer.gates.find(({ gate: name }) => name === 'constraints');
    expect(gate).toMatchObject({ passed: false, remedy: broken.remedy });
  });

  test('is refused where the follower does not answer the question', async () => {
    await using service = await startService();
    service.faults.new = ({ op }) => (op === 'inspect' ? { kind: 'fail' } : undefined);
    expect(await refusal(service.controller.set(dualWrite(1), WHY))).toMatchObject([
      { gate: 'constraints', evidence: 'the new store could not be inspected', remedy: 'changeover doctor items' },
    ]);
  });

  test('does not ask about the store that leads', async () => {
    await using service = await startService({ memory: { old: withFindings(finding('unique:email')) } });
    await service.controller.set(dualWrite(100), WHY);
  });
});

const evidenceOf = (findings: Partial<CallerEvidence['findings']>): CallerEvidence => ({
  prepared: { old: true, new: true },
  findings: { old: [], new: [], ...findings },
  mapping: 'm',
});

describe('cut-over', () => {
  test('asks about the old store, which begins to follow; the way back asks nothing', async () => {
    await using service = await startService({ memory: { old: withFindings(finding('unique:email')) } });
    await service.cover();
    const { controller } = service;
    expect(await refusal(controller.set(cutover(10), { ...WHY, force: true }))).toMatchObject([
      { gate: 'constraints' },
    ]);
    await controller.accept('unique:email', WHY);
    await controller.set(cutover(10), { ...WHY, force: true });
    await controller.accept('unique:email', { ...WHY, withdraw: true });
    service.faults.old = ({ op }) => (op === 'inspect' ? { kind: 'fail' } : undefined);
    await controller.rollback(WHY);
    expect((await service.operations.plane.status('items')).dials.cutover).toBe(0);
  });

  test('is refused until what a round trip loses is accepted', async () => {
    await using service = await startService({ codecs: { new: without('note') } });
    await service.items.create({ ...item('ada', '1'), note: 'kept?' });
    await service.cover();
    const { controller } = service;
    const raise = () => controller.set(cutover(10), { ...WHY, force: true });
    const [gate] = await refusal(raise());
    expect(gate).toMatchObject({ gate: 'census', advice: false });
    expect(gate?.evidence).toContain('new store: note lost');
    expect(gate?.remedy).toContain('changeover accept items census --reason "…"');
    expect(await controller.accept('census', WHY)).toMatchObject({ covers: ['new store: note lost'] });
    await raise();
    await controller.rollback(WHY);
    await controller.accept('census', { ...WHY, withdraw: true });
    expect(await refusal(raise())).toMatchObject([{ gate: 'census' }]);
  });

  test('is refused again when a later census finds more than was accepted', async () => {
    await using service = await startService({ codecs: { new: without('note') } });
    const { controller, items } = service;
    await items.create({ ...item('ada', '1'), note: { a: 1 } });
    expect((await controller.census(WHY)).open).toEqual(['new store: note lost']);
    await controller.accept('census', WHY);
    expect((await controller.census(WHY)).open).toEqual([]);
    await items.create({ ...item('ada', '2'), extra: 1 } as never);
    forgotten.push('extra');
    expect((await controller.census(WHY)).open).toEqual(['new store: extra lost']);
  });
});

/** A codec that forgets fields; more can be named while it is in use. */
const forgotten: string[] = [];
function without(...fields: readonly string[]): Codec {
  forgotten.splice(0, forgotten.length, ...fields);
  return {
    encode: (record) => Object.fromEntries(Object.entries(record).filter(([field]) => !forgotten.includes(field))),
    decode: (stored) => stored,
  };
}

describe('a census', () => {
  const row = (changes: Partial<CensusRow>): CensusRow => ({
    id: 0,
    migration: 'items',
    mapping: 'm',
    sampled: 100,
    exhaustive: false,
    losses: [],
    report: null,
    startedAt: 0,
    finishedAt: 1,
    ...changes,
  });

  async function planeWith(...rows: readonly Partial<CensusRow>[]) {
    const plane = localControlPlane(memoryStorage(), new VirtualClock());
    await plane.ensureMigration('items');
    for (const changes of rows) await plane.recordCensus(row(changes), WHY);
    const gate = async (mapping = 'm'): Promise<GateVerdict | undefined> => {
      const evidence = { ...evidenceOf({}), mapping };
      const request = { migration: 'items', move: cutover(1), evidence, force: false, dryRun: true, ifRevision: null };
      return (await plane.move({ ...request, ...WHY })).gates.find((verdict) => verdict.gate === 'census');
    };
    return { plane, gate };
  }

  test('must have been taken, and of this mapping', async () => {
    expect(await (await planeWith()).gate()).toMatchObject({ passed: false, evidence: 'no census was taken' });
    const { gate } = await planeWith({});
    expect(await gate()).toMatchObject({ passed: true });
    expect(await gate('another')).toMatchObject({
      passed: false,
      evidence: expect.stringContaining('another mapping'),
    });
  });

  test('of a smaller sample does not hide what a larger one found; one as large, or of everything, does', async () => {
    const found = { sampled: 1_000, losses: ['new store: at lost'] };
    expect(await (await planeWith(found, { sampled: 999 })).gate()).toMatchObject({ passed: false });
    expect(await (await planeWith(found, { sampled: 1_000 })).gate()).toMatchObject({ passed: true });
    expect(await (await planeWith(found, { sampled: 10, exhaustive: true })).gate()).toMatchObject({ passed: true });
    // One of another mapping outdoes none.
    expect(await (await planeWith(found, { sampled: 5_000, mapping: 'other' })).gate()).toMatchObject({
      passed: false,
    });
  });

  test('that loses less than was accepted stays accepted; one of another mapping is not', async () => {
    const losses = ['new store: a lost', 'new store: b Date → string'];
    const { plane, gate } = await planeWith({ losses });
    await plane.accept({ ...WHY, migration: 'items', withdraw: false, mapping: 'm' });
    expect(await gate()).toMatchObject({ passed: true, evidence: expect.stringContaining('accepted') });
    await plane.recordCensus(row({ losses: losses.slice(1) }), WHY);
    expect(await gate()).toMatchObject({ passed: true });
    await plane.recordCensus(row({ losses: [...losses, 'old store: c lost'] }), WHY);
    expect((await gate())?.evidence).toBe('of 100 records: old store: c lost');
    await plane.recordCensus(row({ losses, mapping: 'other' }), WHY);
    expect(await gate('other')).toMatchObject({ passed: false });
  });

  test('is bound to the codec, so a mended one needs another', async () => {
    const database = new MemoryDatabase();
    const stores = { old: memory({ database }), new: memory() };
    const describe = (codec: Codec) =>
      defineConfig({
        control: 'memory',
        migrations: { items: migration<{ id: string }>({ key: 'id', unit: 'id', ...stores, codecs: { new: codec } }) },
      });
    const identity: Codec = { encode: (record) => record, decode: (stored) => stored };
    const lossy: Codec = { encode: ({ note: _, ...rest }) => rest, decode: (stored) => stored };
    const [a, b] = [describe(identity), describe(lossy)];
    expect(a.migrations.items.mapping).not.toBe(b.migrations.items.mapping);
  });

  test('is in the history with its actor and reason, and so is what is accepted and withdrawn', async () => {
    const { plane } = await planeWith({ losses: ['new store: a lost'] });
    await plane.accept({ ...WHY, migration: 'items', withdraw: false, mapping: 'm' });
    await plane.accept({
      actor: 'bob',
      reason: 'fine',
      migration: 'items',
      withdraw: false,
      finding: 'unique:x',
      side: 'old',
    });
    await plane.accept({
      actor: 'eve',
      reason: 'no',
      migration: 'items',
      withdraw: true,
      finding: 'unique:x',
      side: 'old',
    });
    const history = await plane.history('items', { limit: 10 });
    expect(history.map(({ kind, actor, reason, summary }) => [kind, actor, reason, summary]).slice(0, 4)).toEqual([
      ['acceptance', 'eve', 'no', 'no longer accepted: unique:x of the old store'],
      ['acceptance', 'bob', 'fine', 'accepted: unique:x of the old store'],
      ['acceptance', 'ada', 'OPS-1', 'accepted: the losses of the census (new store: a lost)'],
      ['census', 'ada', 'OPS-1', 'census of 100 records: 1 kind of loss'],
    ]);
    await expect(
      plane.accept({ actor: 'eve', reason: ' ', migration: 'items', withdraw: true, finding: 'x', side: 'old' }),
    ).rejects.toBeInstanceOf(InvalidArgument);
  });

  test('is taken by a backfill too: of everything when it covers everything, and by prepare', async () => {
    await using service = await startService();
    for (let n = 0; n < 40; n += 1) await service.items.create(item(`u${n}`, 'x', n));
    const latest = async () => (await service.operations.plane.censuses('items'))[0];
    expect(await latest()).toMatchObject({ sampled: 0, exhaustive: true });
    await service.controller.set(dualWrite(50), WHY);
    await service.controller.backfill(WHY);
    const half = await latest();
    expect(half).toMatchObject({ exhaustive: false, losses: [] });
    expect(half?.sampled).toBeGreaterThan(5);
    expect(half?.sampled).toBeLessThan(40);
    await service.controller.set({ dial: 'dual-write', to: parseDialValue('all') }, WHY);
    await service.controller.backfill(WHY);
    expect(await latest()).toMatchObject({ sampled: 40, exhaustive: true });
    expect(await service.operations.plane.censuses('items')).toHaveLength(1);
  });
});

describe('what can be accepted', () => {
  const accept = (service: MemoryService, name: string, options: { side?: Side; withdraw?: boolean } = {}) =>
    service.controller.accept(name, { ...WHY, ...options });

  test('is what a store has, at the side that has it', async () => {
    const both = () => withFindings(finding('unique:both'));
    await using service = await startService({
      memory: {
        old: both(),
        new: { database: new MemoryDatabase({ findings: [finding('unique:both'), finding('unique:new')] }) },
      },
    });
    await expect(accept(service, 'unique:nwe')).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      expected: 'unique:both (old), unique:both (new), unique:new (new)',
    });
    await expect(accept(service, 'unique:new', { side: 'old' })).rejects.toBeInstanceOf(InvalidArgument);
    await expect(accept(service, 'unique:both')).rejects.toMatchObject({ message: 'both stores have unique:both' });
    expect(await accept(service, 'unique:both', { side: 'old' })).toMatchObject({ side: 'old', changed: true });
    expect(await accept(service, 'unique:new')).toMatchObject({ side: 'new', changed: true });
    await expect(accept(service, 'unique:x', { withdraw: true })).rejects.toBeInstanceOf(InvalidArgument);
    expect(await service.operations.plane.acceptances('items')).toHaveLength(2);
  });

  test('is no problem, and no census without losses', async () => {
    await using service = await startService();
    await expect(accept(service, 'census')).rejects.toMatchObject({
      message: expect.stringContaining('nothing that would be lost'),
    });
  });

  test('is recorded by nobody in a dry run', async () => {
    await using service = await startService({ memory: { new: withFindings(finding('unique:email')) } });
    expect(await service.controller.accept('unique:email', { ...WHY, dryRun: true })).toMatchObject({ changed: false });
    expect(await service.operations.plane.acceptances('items')).toEqual([]);
  });
});

describe('prepare', () => {
  test('makes nothing where a store cannot work, and says why', async () => {
    const old = memory();
    const fresh = memory(withFindings(finding('version:too-old', 'problem')));
    const config = defineConfig({
      control: 'memory',
      migrations: { items: migration<{ id: string }>({ key: 'id', unit: 'id', old, new: fresh }) },
    });
    const operations = await control(config);
    expect(await refusal(operations.prepare('items'))).toMatchObject([
      { evidence: 'the new store: version:too-old: about version:too-old' },
    ]);
    expect([old.database.prepared, fresh.database.prepared]).toEqual([false, false]);
    // Asked what it would do, it still answers.
    const { inspections, census } = await operations.prepare('items', { dryRun: true });
    expect(inspections.new.findings).toHaveLength(1);
    expect(census).toBeNull();
    expect(await operations.plane.migrations()).toEqual([]);
    await operations.close();
  });

  test('makes what is missing although that was found', async () => {
    const missing: Finding = { ...finding('missing:stamps', 'problem'), kind: 'missing' };
    const fresh = memory(withFindings(missing));
    const config = defineConfig({
      control: 'memory',
      migrations: { items: migration<{ id: string }>({ key: 'id', unit: 'id', old: memory(), new: fresh }) },
    });
    const operations = await control(config);
    await operations.prepare('items');
    expect(fresh.database.prepared).toBe(true);
    await operations.close();
  });
});

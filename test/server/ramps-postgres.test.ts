import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { memory } from '../../adapters/memory/index.ts';
import { parseDialValue } from '../../src/core/dial.ts';
import { DEFAULT_BUDGETS } from '../../src/core/ramp.ts';
import { control, defineConfig, migration } from '../../src/index.ts';
import { startServer } from '../../src/server/index.ts';
import { ControlDatabase } from '../support/control-database.ts';
import { freshDatabase, testServer } from '../support/servers.ts';

const { missing } = testServer('postgres');
const WHY = { actor: 'ada', reason: 'OPS-3' };
const STEPS = [2, 11, 37, 58, 90, 100] as const;

describe.skipIf(missing !== undefined)('two servers on one PostgreSQL', () => {
  let database: ControlDatabase;
  beforeAll(async () => {
    database = await ControlDatabase.create(await freshDatabase('postgres'));
  });
  afterAll(() => database?.drop());

  test('take each step of a ramp once, also when the one that drives it stops in the middle', async () => {
    const config = defineConfig({
      control: database.newUrl(),
      migrations: {
        items: migration<{ id: string }>({ key: ['id'], unit: 'id', old: memory(), new: memory() }),
      },
    });
    const serve = async () => {
      const operations = await control(config);
      await operations.prepare('items');
      const server = await startServer({ operations, version: '0.0.0', port: 0 });
      let closing: Promise<void> | undefined;
      const close = (): Promise<void> => {
        closing ??= server.close().then(() => operations.close());
        return closing;
      };
      onTestFinished(close);
      return { plane: operations.plane, close };
    };
    const [first, second] = [await serve(), await serve()];
    const { plane } = second;
    await plane.changeSettings('items', { noOutsideWriters: true }, WHY);
    const plan = {
      dial: 'dual-write' as const,
      steps: STEPS.map(parseDialValue),
      holdMs: 700,
      budgets: DEFAULT_BUDGETS,
      force: false,
    };
    const { id } = await plane.startRamp({ migration: 'items', plan, ...WHY });
    await expect
      .poll(async () => (await plane.ruleset('items')).dials.dualWrite, { timeout: 60_000 })
      .toBeGreaterThanOrEqual(parseDialValue(11));
    await first.close();
    await expect.poll(async () => (await plane.ramps('items', 1))[0]?.state, { timeout: 60_000 }).toBe('done');
    const lines = [...(await plane.history('items', { limit: 200 }))].reverse();
    expect(lines.filter(({ kind }) => kind === 'move').map(({ summary }) => summary)).toEqual([
      'dual-write 0 % → 2 %',
      'dual-write 2 % → 11 %',
      'dual-write 11 % → 37 %',
      'dual-write 37 % → 58 %',
      'dual-write 58 % → 90 %',
      'dual-write 90 % → 100 %',
    ]);
    expect(lines.filter(({ summary }) => summary.startsWith(`ramp ${id} is done`))).toHaveLength(1);
  });
});

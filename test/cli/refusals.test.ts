import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openSqliteControl, type RemoteControlPlane } from '../../src/control/sqlite-control.ts';
import { expectFailure } from './expect-failure.ts';
import { CONFIG, Project } from './project.ts';

describe('a mistake in the call changes nothing and says what was expected', () => {
  let project: Project;
  let plane: RemoteControlPlane;
  let before: unknown;
  // That a move was refused is in the history; it changed nothing.
  const deeds = async (name: string) =>
    (await plane.history(name, { limit: 100 })).filter(({ kind }) => kind !== 'refusal');
  const everything = async (): Promise<unknown> =>
    Promise.all(['events', 'orders'].flatMap((name) => [plane.status(name), deeds(name)]));
  beforeAll(async () => {
    project = Project.create();
    await project.run('prepare');
    await project.run('set', 'events', 'no-outside-writers', 'yes', '--reason', 'x');
    await project.run('set', 'events', 'dual-write', '10', '--reason', 'x');
    await project.status();
    plane = await openSqliteControl({ path: join(project.folder, '.changeover/control.db') });
    before = await everything();
  });
  afterAll(async () => {
    await plane.close();
    await project[Symbol.asyncDispose]();
  });

  const unit = '{"tenant": 7, "region": "eu"}';
  test.each<[what: string, args: string[], code: number, name: string, says: RegExp]>([
    [
      'an unknown migration',
      ['set', 'evnts', 'cutover', '1', '--reason', 'x'],
      3,
      'UNKNOWN_MIGRATION',
      /expected: events or orders\n.*did you mean "events"/,
    ],
    ['an unknown migration for status', ['status', 'nothing'], 3, 'UNKNOWN_MIGRATION', /expected: events or orders/],
    [
      'an unknown dial',
      ['set', 'events', 'dualwrite', '1', '--reason', 'x'],
      3,
      'INVALID_ARGUMENT',
      /did you mean "dual-write"/,
    ],
    [
      'an unknown setting',
      ['set', 'events', 'replay-rat', '1', '--reason', 'x'],
      3,
      'INVALID_ARGUMENT',
      /did you mean "replay-rate"/,
    ],
    [
      'a setting out of range',
      ['set', 'events', 'shadow-sample', '2', '--reason', 'x'],
      3,
      'INVALID_ARGUMENT',
      /expected: a number from 0 to 1/,
    ],
    [
      'an unknown stage',
      ['stage', 'events', 'shadwo', '--reason', 'x'],
      3,
      'INVALID_ARGUMENT',
      /did you mean "shadow"/,
    ],
    [
      'an unknown cohort',
      ['cohort', 'events', 'ada', 'canari', '--reason', 'x'],
      3,
      'INVALID_ARGUMENT',
      /did you mean "canary"/,
    ],
    ['an unknown command', ['stauts'], 3, 'INVALID_ARGUMENT', /did you mean status/],
    ['an unknown option', ['status', '--jsno'], 3, 'INVALID_ARGUMENT', /did you mean --json/],
    ['a missing argument', ['set', 'events', 'cutover'], 3, 'INVALID_ARGUMENT', /missing required argument 'value'/],
    [
      'a percentage above 100',
      ['set', 'events', 'cutover', '101', '--reason', 'x'],
      3,
      'INVALID_ARGUMENT',
      /expected: canary, all, or a percentage from 0 to 100/,
    ],
    [
      'a percentage below 0',
      ['set', 'events', 'cutover', '--reason', 'x', '--', '-1'],
      3,
      'INVALID_ARGUMENT',
      /from 0 to 100/,
    ],
    [
      'a percentage that is too fine',
      ['set', 'events', 'cutover', '0.0001', '--reason', 'x'],
      3,
      'INVALID_ARGUMENT',
      /steps of 0.001/,
    ],
    [
      'a percentage that is none',
      ['set', 'events', 'cutover', 'half', '--reason', 'x'],
      3,
      'INVALID_ARGUMENT',
      /percentage/,
    ],
    [
      'retire-old by a percentage',
      ['set', 'events', 'retire-old', '10', '--reason', 'x'],
      3,
      'INVALID_ARGUMENT',
      /expected: yes or no/,
    ],
    ['a dial out of order', ['set', 'events', 'cutover', '50', '--reason', 'x'], 1, 'GATES_REFUSED', /order/],
    [
      'retiring before the cutover',
      ['set', 'events', 'retire-old', 'yes', '--force', '--reason', 'x'],
      1,
      'GATES_REFUSED',
      /order/,
    ],
    ['a change without its reason', ['set', 'events', 'dual-write', '20'], 3, 'INVALID_ARGUMENT', /--reason/],
    ['a change with an empty reason', ['rollback', 'events', '--reason', ' '], 3, 'INVALID_ARGUMENT', /--reason/],
    [
      'another revision',
      ['set', 'events', 'dual-write', '20', '--if-revision', '1', '--reason', 'x'],
      1,
      'REVISION_CONFLICT',
      /look again/,
    ],
    [
      'a unit without one of its fields',
      ['route', 'orders', '{"tenant": 7}'],
      3,
      'INVALID_RECORD',
      /"region" is missing/,
    ],
    [
      'a unit with a field that is not part of it',
      ['route', 'orders', '{"tenant": 7, "region": "eu", "no": 1}'],
      3,
      'INVALID_ARGUMENT',
      /"no" is no field of the unit/,
    ],
    [
      'a unit with a number that is not exact',
      ['cohort', 'orders', '{"tenant": 9007199254740993, "region": "eu"}', 'canary', '--reason', 'x'],
      3,
      'INVALID_ARGUMENT',
      /"type": "bigint"/,
    ],
    ['a unit of several fields as text', ['route', 'orders', 'eu'], 3, 'INVALID_ARGUMENT', /JSON/],
    [
      'a unit with a bigint that is none',
      ['route', 'orders', '{"tenant": {"type": "bigint", "text": "x"}, "region": "eu"}'],
      3,
      'INVALID_ARGUMENT',
      /bigint/,
    ],
    [
      'a backfill of what is not mirrored',
      ['backfill', 'orders', '--reason', 'x'],
      1,
      'GATES_REFUSED',
      /nothing to do/,
    ],
    ['a verification of what is not mirrored', ['verify', 'orders'], 3, 'INVALID_ARGUMENT', /dual-write above 0/],
    [
      'a report of an unknown form',
      ['verify', 'events', '--report', 'junti=x'],
      3,
      'INVALID_ARGUMENT',
      /did you mean "junit"/,
    ],
    [
      'finishing while both stores are in use',
      ['finish', 'events', '--yes', '--reason', 'x'],
      1,
      'GATES_REFUSED',
      /both stores are in use/,
    ],
    [
      'an emergency where the old store leads',
      ['rollback', 'events', '--emergency'],
      1,
      'BUSY',
      /old store leads everything already/,
    ],
    ['an empty unit', ['verify', 'events', '--unit', ''], 3, 'INVALID_ARGUMENT', /\{"userKey": ""\} names it/],
    [
      'a unit beside positions that it does not stand in',
      ['verify', 'events', '--positions', '9-10', '--unit', 'ada'],
      3,
      'INVALID_ARGUMENT',
      /does not stand in these positions/,
    ],
    ['a sample of nothing', ['verify', 'events', '--sample', '0'], 3, 'INVALID_ARGUMENT', /above 0, at most 100/],
    ['a port that is none', ['serve', '--port', '65536'], 3, 'INVALID_ARGUMENT', /a whole number from 0 to 65535/],
    [
      'a proxy that is no address',
      ['serve', '--port', '0', '--trust-proxy', 'nonsense'],
      3,
      'INVALID_CONFIGURATION',
      /expected: addresses or networks/,
    ],
    ['a ramp of no dial', ['ramp', 'events', '--to', '50', '--reason', 'x'], 3, 'INVALID_ARGUMENT', /which dial/],
    [
      'a ramp to be held and ended',
      ['ramp', 'events', '--pause', '--stop', '--reason', 'x'],
      3,
      'INVALID_ARGUMENT',
      /--pause and --stop do not go together/,
    ],
    [
      'a ramp to be held, with a plan',
      ['ramp', 'events', '--pause', '--max-p99', '4', '--reason', 'x'],
      3,
      'INVALID_ARGUMENT',
      /--pause and --max-p99 do not go together/,
    ],
    [
      'a ramp that nothing could prove',
      ['ramp', 'events', 'dual-write', '--proven-below', '0', '--reason', 'x'],
      3,
      'INVALID_ARGUMENT',
      /above 0/,
    ],
    ['a configuration over another', ['init'], 3, 'INVALID_ARGUMENT', /already/],
    [
      'a cohort in a dry run with a bad unit',
      ['cohort', 'orders', unit.replace('region', 'regoin'), 'canary', '--dry-run'],
      3,
      'INVALID_ARGUMENT',
      /did you mean "region"/,
    ],
  ])('%s', async (_, args, code, name, says) => {
    const call = await project.run(...args);
    expectFailure(call, code, name);
    expect(call.stderr).toMatch(says);
    expect(await everything()).toEqual(before);
  });

  test('with --json the error is the one document', async () => {
    const { code, data } = await project.json('set', 'events', 'cutover', '101', '--reason', 'x');
    expect(code).toBe(3);
    expect(data).toEqual({
      error: { code: 'INVALID_ARGUMENT', message: expect.any(String), expected: expect.any(String), gates: [] },
    });
    expect(await project.json('')).toMatchObject({ code: 3, data: { error: { code: 'INVALID_ARGUMENT' } } });
    expect((await project.json()).data).toMatchObject({ error: { message: 'no command was given' } });
    const usage = await project.json('set', 'events', '--nonsense');
    expect(usage).toMatchObject({ code: 3, data: { error: { code: 'INVALID_ARGUMENT', gates: [] } } });
  });

  test('no dry run changes anything, nor needs a reason', async () => {
    for (const args of [
      ['prepare'],
      ['set', 'events', 'dual-write', '20'],
      ['set', 'events', 'replay-rate', '20'],
      ['stage', 'events', 'dualwrite'],
      ['cohort', 'events', 'ada', 'canary'],
      ['backfill', 'events'],
      ['backfill', 'events', '--cancel'],
      ['repair', 'events'],
      ['rollback', 'events'],
      ['rollback', 'events', '--emergency'],
      ['finish', 'orders'],
    ]) {
      const call = await project.run(...args, '--dry-run');
      expect(call, args.join(' ')).toMatchObject({ code: 0, stderr: '' });
    }
    expect(await everything()).toEqual(before);
  });

  test('a preload that would be refused is refused in a dry run too', async () => {
    const dry = await project.run('backfill', 'events', '--preload', '--dry-run');
    expect(dry).toMatchObject({ code: 1, stderr: '' });
    expect(dry.stdout).toMatch(/✗ mirror-off[\s\S]*would be refused/);
  });

  test('a ramp that is under way is left alone by a dry run', async () => {
    const steps = ['ramp', 'events', 'dual-write', '--steps', '20', '--to', '20', '--hold', '1h', '--detach'];
    expect((await project.run(...steps, '--reason', 'x')).code).toBe(0);
    for (const how of ['--pause', '--stop']) {
      const dry = await project.run('ramp', 'events', how, '--dry-run');
      expect(dry).toMatchObject({ code: 0, stdout: expect.stringMatching(/^dry run: would (?:pause|stop) ramp \d/) });
    }
    expect((await plane.ramps('events', 1))[0]).toMatchObject({ state: 'running', finishedAt: null });
    expect((await project.run('ramp', 'events', '--stop', '--reason', 'x')).code).toBe(0);
    const none = await project.run('ramp', 'events', '--stop', '--dry-run');
    expect(none).toMatchObject({ code: 0, stdout: 'dry run: events has no ramp under way\n' });
  });
});

test('a command whose reader is gone goes on to its end, and says how it ended', { timeout: 60_000 }, async () => {
  await using project = Project.create();
  project.seed(20);
  const refused = project.start('set', 'events', 'dual-write', '10', '--reason', 'x');
  // `2>&1 | head -0`: nobody reads either stream.
  refused.stdout?.destroy();
  refused.stderr?.destroy();
  expect(await once(refused, 'exit')).toEqual([1, null]);
  const set = project.start('set', 'events', 'no-outside-writers', 'yes', '--reason', 'x');
  set.stdout?.destroy();
  expect(await once(set, 'exit')).toEqual([0, null]);
});

describe('what cannot be reached', () => {
  const remote = `
import { defineConfig, migration } from 'changeover';
import { sql } from 'changeover/sql';
import { dynamodb } from 'changeover/dynamodb';
const old = sql({ client: 'better-sqlite3', connection: 'old.db', table: 'events', document: 'body' });
const fresh = dynamodb({ table: 'events', partitionKey: 'userKey', sortKey: 'id', endpoint: 'http://127.0.0.1:1', region: 'local', maxAttempts: 1, credentials: { accessKeyId: 'SECRETKEY', secretAccessKey: 'hidden' } });
export default defineConfig({ control: 'sqlite:c.db', migrations: { events: migration<object>({ key: ['userKey', 'id'] as never, unit: 'userKey' as never, old, new: fresh }) } });
`;

  test('is told with exit code 4, and looking at the control plane still works', async () => {
    await using project = Project.create(remote);
    const call = await project.run('set', 'events', 'dual-write', '1', '--reason', 'x');
    expectFailure(call, 4, 'STORE_FAULT');
    expect(call.stderr).not.toMatch(/SECRETKEY|hidden/);
    expect((await project.run('status')).code).toBe(0);
    expect((await project.run('route', 'events', 'ada')).code).toBe(0);
    expect((await project.run('set', 'events', 'mirror-to-new', 'wait', '--reason', 'x')).code).toBe(0);
  });

  test('does not keep an emergency from being told what it is about: no store is asked', async () => {
    await using project = Project.create(remote);
    expectFailure(await project.run('rollback', 'events', '--emergency'), 1, 'BUSY');
  });

  test('is a control plane in a place that is none', async () => {
    await using project = Project.create(CONFIG.replace('sqlite:.changeover/control.db', 'sqlite:old.db/control.db'));
    expectFailure(await project.run('status'), 4, 'CONTROL_UNAVAILABLE');
  });

  test('a table that is missing is a matter of configuration', async () => {
    await using project = Project.create(CONFIG.replaceAll("table: 'events'", "table: 'evnts'"));
    const call = await project.run('set', 'events', 'dual-write', '1', '--reason', 'x');
    expectFailure(call, 3, 'NOT_PREPARED');
    expect(call.stderr).toMatch(/there is no table/);
  });
});

describe('help', () => {
  const COMMANDS = [
    'init',
    'prepare',
    'status',
    'route',
    'set',
    'stage',
    'cohort',
    'rollback',
    'backfill',
    'repair',
    'verify',
    'history',
    'fleet',
    'finish',
    'demo',
  ];

  test.each(COMMANDS)('of %s has an example and the options of all', async (name) => {
    await using project = Project.create(null);
    const call = await project.run(name, '--help');
    expect(call).toMatchObject({ code: 0, stderr: '' });
    expect(call.stdout).toMatch(/Examples?:\n {2}\$ changeover /);
    expect(call.stdout).toContain('--json');
  });

  test('names all commands, all settings and the exit codes', async () => {
    await using project = Project.create(null);
    const { stdout } = await project.run('--help');
    for (const name of COMMANDS) expect(stdout).toMatch(new RegExp(`^  ${name} `, 'm'));
    expect(stdout).toContain('Exit codes');
    expect((await project.run('set', '--help')).stdout).toMatch(
      /replay-rate +none or a number above 0 \(default: none\)/,
    );
    expect((await project.run()).code).toBe(3);
  });
});

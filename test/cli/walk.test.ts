import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openSqliteControl } from '../../src/control/sqlite-control.ts';
import { makeStamp } from '../../src/core/stamp.ts';
import { type Call, Project } from './project.ts';

const WHY = ['--reason', 'OPS-1'] as const;

interface Status {
  readonly migration: string;
  readonly revision: number;
  readonly stage: string;
  readonly dials: {
    readonly dualWrite: unknown;
    readonly shadowRead: unknown;
    readonly cutover: unknown;
    readonly retireOld: boolean;
  };
  readonly coverage: { readonly old: number; readonly new: number };
  readonly dirty: { readonly ranges: number; readonly rejected: number };
  readonly fleet: { readonly nodes: number; readonly acknowledged: number };
  readonly shadow: { readonly compared: number; readonly divergent: number };
  readonly finished: boolean;
}

interface Refusal {
  readonly error: {
    readonly code: string;
    readonly message: string;
    readonly gates: readonly {
      readonly gate: string;
      readonly passed: boolean;
      readonly evidence: string;
      readonly remedy: string | null;
    }[];
  };
}

const failedGates = ({ error }: Refusal): string[] =>
  error.gates.filter(({ passed }) => !passed).map(({ gate }) => gate);

/** A call that must succeed. */
async function done(project: Project, ...args: readonly string[]): Promise<Call> {
  const call = await project.move(...args);
  expect(call, args.join(' ')).toMatchObject({ code: 0 });
  return call;
}

const status = async (project: Project): Promise<Status> => (await project.json<Status>('status', 'events')).data;

/** Asks again until something is so; the test's own time-out ends it. */
async function until(what: () => Promise<boolean>): Promise<void> {
  while (!(await what())) await new Promise((resolve) => setTimeout(resolve, 20));
}

test('a migration goes from off to finished by the command line, while another process writes', {
  timeout: 900_000,
}, async () => {
  await using project = Project.create();
  project.seed(500);
  const service = await project.service('api');

  const unprepared = await project.json<Refusal>('set', 'events', 'dual-write', '10', ...WHY);
  expect(unprepared.code).toBe(1);
  expect(unprepared.data.error.code).toBe('GATES_REFUSED');
  expect(failedGates(unprepared.data)).toEqual(['prepared', 'outside-writers']);

  const plan = await project.json<{ old: string[]; new: string[] }>('prepare', 'events', '--dry-run');
  expect(plan.data.old.join()).toContain('events_changeover');
  expect((await project.json('prepare', 'events', '--dry-run')).data).toEqual(plan.data);
  await done(project, 'prepare', 'events');
  expect((await project.json('prepare', 'events')).data).toMatchObject({ old: [], new: [] });

  await done(project, 'set', 'events', 'no-outside-writers', 'yes', ...WHY);
  expect((await project.run('history', 'events', '--limit', '1')).stdout).toContain('no-outside-writers = yes');
  const preview = await project.json('set', 'events', 'dual-write', '10', '--dry-run');
  expect(preview).toMatchObject({ code: 0, data: { allowed: true, dryRun: true, from: 0, to: 10 } });
  expect((await status(project)).dials.dualWrite).toBe(0);
  const raised = await project.json('set', 'events', 'dual-write', '10.5', ...WHY);
  expect(raised).toMatchObject({ code: 0, data: { dial: 'dual-write', from: 0, to: 10.5, changed: true } });
  expect((await status(project)).fleet).toEqual({ nodes: 1, acknowledged: 1 });
  const again = await project.run('set', 'events', 'dual-write', '10.5', ...WHY);
  expect(again).toMatchObject({ code: 0, stdout: 'events dual-write stands at 10.5 % already; nothing changed\n' });

  const early = await project.run('set', 'events', 'cutover', '5', ...WHY);
  expect(early.code).toBe(1);
  expect(early.stdout).toContain('✗ coverage');
  expect(early.stdout).toContain('changeover backfill events');
  expect(early.stderr).toContain('nothing changed [GATES_REFUSED]');
  const told = await project.run('history', 'events', '--limit', '1');
  expect(told.stdout).toContain('cutover 5 % was refused by its gates');
  expect(told.stdout).toMatch(/not met: .*coverage/);
  expect(told.stdout).not.toContain('overridden');
  const dry = await project.json('set', 'events', 'cutover', '5', '--dry-run');
  expect(dry).toMatchObject({ code: 1, data: { allowed: false, dryRun: true } });

  await done(project, 'set', 'events', 'dual-write', 'all', ...WHY);
  expect(await project.json('backfill', 'events', ...WHY)).toMatchObject({
    code: 0,
    data: { rejected: 0, resumed: false },
  });
  expect((await status(project)).coverage).toEqual({ old: 100, new: 100 });
  const verified = await project.json(
    'verify',
    'events',
    '--report',
    'junit=out/verify.xml,json=verify.json,markdown=verify.md',
  );
  expect(verified).toMatchObject({ code: 0, data: { verdict: 'consistent', counts: { missing: 0, different: 0 } } });
  expect(readFileSync(join(project.folder, 'out/verify.xml'), 'utf8')).toContain('failures="0"');
  expect(existsSync(join(project.folder, 'verify.md'))).toBe(true);

  await done(project, 'stage', 'events', 'shadow', ...WHY);
  await until(async () => (await status(project)).shadow.compared > 0);
  const live = await project.moved<{ moves: { pauseMs: number | null }[] }>('stage', 'events', 'live', ...WHY);
  expect(live).toMatchObject({ code: 0, data: { plan: ['cutover 100 %'], moves: [{ from: 0, to: 100 }] } });
  expect(live.data.moves[0]?.pauseMs).toBeTypeOf('number');
  expect(await project.json('route', 'events', 'u3')).toMatchObject({
    code: 0,
    data: { authority: 'new', mirror: true, stage: 'live' },
  });

  // The way back is filled again, though it needs not be.
  const reverse = await project.json<{ scanned: number; skipped: number }>('backfill', 'events', '--to', 'old', ...WHY);
  expect(reverse).toMatchObject({ code: 0, data: { target: 'old', rejected: 0, left: [] } });
  expect(reverse.data.skipped).toBeGreaterThan(0);

  const canary = await project.moved('cohort', 'events', 'u3', 'kept-back', ...WHY);
  expect(canary).toMatchObject({ code: 0, data: { to: 100_000, changed: true } });
  expect(await project.json('route', 'events', 'u3')).toMatchObject({ data: { authority: 'old', position: 100_000 } });
  await done(project, 'cohort', 'events', 'u3', 'none', ...WHY);

  const back = await project.move('rollback', 'events');
  expect(back.code).toBe(0);
  expect(back.stdout).toMatch(/rolled back in .+: the old store leads everything, nothing is lost/);
  expect((await status(project)).dials.cutover).toBe(0);
  expect(await project.run('rollback', 'events')).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('already'),
  });

  const before = await service.stop();
  expect(before.failures).toEqual([]);
  const successor = await project.service('api');
  await done(project, 'set', 'events', 'cutover', 'all', '--force', ...WHY);
  const emergency = await project.json('rollback', 'events', '--emergency');
  expect(emergency).toMatchObject({ code: 0, data: { changed: true } });
  expect((await status(project)).dials.cutover).toBe(0);
  expect((await project.run('rollback', 'events', '--emergency')).code).toBe(1);
  await done(project, 'repair', 'events', ...WHY);

  const fleet = await project.json<{ name: string; pid: number; state: string; migrations: unknown }[]>(
    'fleet',
    'events',
  );
  const { revision } = await status(project);
  expect(fleet.data).toMatchObject([
    {
      name: 'api',
      pid: successor.child.pid,
      state: 'alive',
      migrations: { events: { acknowledged: revision, revision } },
    },
  ]);
  const history = await project.json<{ actor: string; reason: string }[]>('history', 'events', '--limit', '5');
  expect(history.data).toHaveLength(5);
  expect(history.data.every(({ actor }) => actor === 'ada')).toBe(true);

  await done(project, 'set', 'events', 'cutover', 'all', '--force', ...WHY);
  expect((await project.run('finish', 'events', '--yes', ...WHY)).code).toBe(1);
  await done(project, 'set', 'events', 'retire-old', 'yes', '--force', ...WHY);
  expect((await project.run('finish', 'events', ...WHY)).code).toBe(3);
  await done(project, 'finish', 'events', '--dry-run');
  expect(await status(project)).toMatchObject({ finished: false });
  await done(project, 'finish', 'events', '--yes', ...WHY);
  expect(await status(project)).toMatchObject({ finished: true, stage: 'complete' });

  const after = await successor.stop();
  // An emergency may cost the one write that was under way: it has no answer, or is not seen before the repair.
  expect(after.failures.filter((failure) => !/^(?:OutcomeUnknown: |read )/.test(failure))).toEqual([]);
  expect(after.failures.length).toBeLessThanOrEqual(1);
  const written = { ...before.written, ...after.written };
  const database = project.database('new');
  const rows = database.prepare('SELECT userKey, id, body FROM events').all() as {
    userKey: string;
    id: string;
    body: string;
  }[];
  const held = new Map(
    rows.map(({ userKey, id, body }) => [`${userKey} ${id}`, (JSON.parse(body) as { n: number }).n]),
  );
  database.close();
  expect(Object.entries(written).filter(([key, n]) => held.get(key) !== n)).toEqual([]);

  expect(await project.json('doctor', 'events')).toMatchObject({
    code: 0,
    data: { finished: true, verdict: 'ready', open: [] },
  });
  const examined = await project.run('doctor', 'events');
  expect(examined).toMatchObject({ code: 0, stdout: expect.stringContaining('the migration is finished') });
  expect(examined.stdout).not.toMatch(/→|not prepared/);

  const finished = await project.status();
  for (const args of [
    ['set', 'events', 'cutover', '5'],
    ['set', 'events', 'replay-rate', '5'],
    ['stage', 'events', 'off'],
    ['rollback', 'events'],
    ['rollback', 'events', '--emergency'],
    ['backfill', 'events'],
    ['repair', 'events'],
    ['verify', 'events'],
    ['cohort', 'events', 'u3', 'canary'],
    ['prepare', 'events'],
  ]) {
    const refused = args[0] === 'prepare' ? await project.run(...args) : await project.run(...args, ...WHY);
    // To a build, 1 of a verification says that records differ.
    expect(refused, args.join(' ')).toMatchObject({ code: args[0] === 'verify' ? 2 : 1 });
    expect(refused.stderr).toMatch(
      /^error: events is finished; .*\[MIGRATION_FINISHED\]\n {2}expected: .+\n {2}to do: .+\n$/,
    );
  }
  expect(await project.status()).toBe(finished);
});

test('what was written past the repository is found field by field, and repaired', { timeout: 900_000 }, async () => {
  await using project = Project.create();
  project.seed(300);
  await done(project, 'prepare', 'events');
  await done(project, 'set', 'events', 'no-outside-writers', 'yes', ...WHY);
  await done(project, 'set', 'events', 'dual-write', '100', ...WHY);
  await done(project, 'backfill', 'events', ...WHY);
  const database = project.database('new');
  database.exec(
    `UPDATE events SET body = '{"n":5,"text":"wrong"}' WHERE id = 'seed-4'; DELETE FROM events WHERE id = 'seed-9';
     INSERT INTO events VALUES ('u5', 'only-here', '{"n":1}')`,
  );
  database.close();

  const masked = await project.run('verify', 'events', '--report', 'github,json=out/r.json');
  expect(masked.code).toBe(1);
  expect(masked.stdout).toContain('different userKey="u4", id="seed-4"');
  expect(masked.stdout).toContain('missing   userKey="u9", id="seed-9"');
  expect(masked.stdout).not.toContain('"wrong"');
  expect(masked.stdout).toMatch(/^::error title=events%3A divergent::/m);
  expect(JSON.parse(project.read('out/r.json'))).toMatchObject({
    $schema: 'urn:changeover:verify-report:1',
    valuesShown: false,
    counts: { missing: 1, extra: 1, different: 1 },
  });
  const shown = await project.run('verify', 'events', '--show-values', '--limit', '1', '--report', 'html=out/r.html');
  expect(shown.stdout).toContain('"wrong"');
  expect(shown.stdout).toContain('the first 1 are listed');
  expect(shown.stderr).toContain('html report: ');
  expect(project.read('out/r.html')).toContain('seed-9');
  expect((await project.run('status', 'events')).stdout).toContain('mend the cause of the divergences');

  const planned = await project.run('repair', 'events', '--dry-run');
  expect(planned).toMatchObject({ code: 0, stderr: '' });
  expect(planned.stdout).toContain('write 3 divergent records again');
  expect(planned.stdout).toContain('3 from the old store, which leads them');
  expect(planned.stdout).toContain('take away 1 record that only the other store has');
  expect(planned.stdout).toContain('userKey="u9", id="seed-9": missing');
  expect(await project.json('repair', 'events', ...WHY)).toMatchObject({
    code: 0,
    data: { restamped: 3, divergent: 0, unmended: [], moreDiverge: false },
  });
  expect(await project.json('verify', 'events')).toMatchObject({ code: 0, data: { verdict: 'consistent' } });
});

test('a unit of several fields, with bigint and text, is routed and moved by its JSON', async () => {
  await using project = Project.create();
  const unit = '{"tenant": {"type": "bigint", "text": "9007199254740993"}, "region": "eu"}';
  const route = await project.json<{ unit: string; position: number }>('route', 'orders', unit);
  expect(route).toMatchObject({ code: 0, data: { stage: 'off', authority: 'old' } });
  expect(route.data.unit).toContain('9007199254740993');
  const other = await project.json<{ position: number }>('route', 'orders', unit.replace('993', '992'));
  expect(other.data.position).not.toBe(route.data.position);
  expect(await project.json('cohort', 'orders', unit, 'canary', ...WHY)).toMatchObject({ code: 0, data: { to: -1 } });
  expect(await project.json('route', 'orders', unit)).toMatchObject({ data: { position: -1 } });
});

test('records whose key is of numbers and bigints are backfilled exactly', async () => {
  await using project = Project.create();
  const old = project.database('old');
  old.exec(
    `INSERT INTO orders VALUES (9007199254740993, 'eu', 1, 1.5), (-7, 'us', 2, NULL), (9007199254740992, 'eu', 1, 3)`,
  );
  old.close();
  await done(project, 'prepare', 'orders');
  await done(project, 'set', 'orders', 'no-outside-writers', 'yes', ...WHY);
  await done(project, 'set', 'orders', 'dual-write', '100', ...WHY);
  expect(await project.json('backfill', 'orders', ...WHY)).toMatchObject({
    code: 0,
    data: { scanned: 3, applied: 3, rejected: 0 },
  });
  expect(await project.json('verify', 'orders')).toMatchObject({
    code: 0,
    data: { verdict: 'consistent', counts: { equal: 3 } },
  });
});

test('a second process that hangs is named, and its late acknowledgement is no success', {
  timeout: 900_000,
}, async () => {
  await using project = Project.create();
  const service = await project.service('hangs');
  service.child.kill('SIGSTOP');
  const late = await project.json<Refusal>('set', 'events', 'replay-rate', '5', ...WHY);
  service.child.kill('SIGCONT');
  expect(late.code).toBe(2);
  expect(late.data.error.code).toBe('FLEET_TIMEOUT');
  expect(late.data.error.message).toContain(`hangs ${service.child.pid}@`);
  await service.stop();
});

test('a pipe that is closed early is no error', async () => {
  await using project = Project.create();
  const child = project.start('status');
  child.stdout?.destroy();
  const [code] = (await once(child, 'exit')) as [number];
  expect(code).toBe(0);
});

test.each([
  ['a roll-back', []],
  ['an emergency', ['--emergency']],
])('%s needs no store: the old one leads although the new one cannot even be opened', async (_, how) => {
  await using project = Project.create();
  await done(project, 'prepare', 'events');
  await done(project, 'set', 'events', 'no-outside-writers', 'yes', ...WHY);
  await done(project, 'set', 'events', 'dual-write', 'all', ...WHY);
  await done(project, 'backfill', 'events', ...WHY);
  await done(project, 'set', 'events', 'cutover', 'all', '--force', ...WHY);
  for (const ending of ['', '-wal', '-shm']) rmSync(join(project.folder, `new.db${ending}`), { force: true });
  mkdirSync(join(project.folder, 'new.db'));

  const needed = await project.json<Refusal>('verify', 'events');
  expect(needed).toMatchObject({ code: 3, data: { error: { code: 'NOT_PREPARED' } } });
  expect(await project.run('rollback', 'events', ...how)).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/cutover all → 0 %/),
  });
  expect((await status(project)).dials.cutover).toBe(0);
});

test('a service that was killed is buried by whoever changes a setting on its machine', async () => {
  await using project = Project.create();
  project.seed(10);
  await done(project, 'prepare', 'events');
  await done(project, 'set', 'events', 'no-outside-writers', 'yes', ...WHY);
  const { child } = await project.service('api');
  await done(project, 'set', 'events', 'dual-write', 'all', ...WHY);
  child.kill('SIGKILL');
  let rate = 1_000;
  await until(async () => {
    rate += 1;
    const call = await project.run('set', 'events', 'replay-rate', String(rate), ...WHY);
    expect(call, call.stderr).toMatchObject({ code: call.stderr.includes('FLEET_TIMEOUT') ? 2 : 0 });
    return call.code === 0;
  });
  expect((await status(project)).fleet.nodes).toBe(0);
  await done(project, 'repair', 'events', ...WHY);
});

test('a silent process of another machine holds up moves and emergencies until an operator says that it has ended', async () => {
  await using project = Project.create();
  project.seed(10);
  await done(project, 'prepare', 'events');
  await done(project, 'set', 'events', 'no-outside-writers', 'yes', ...WHY);
  await done(project, 'set', 'events', 'dual-write', 'all', ...WHY);
  await done(project, 'backfill', 'events', ...WHY);
  await done(project, 'set', 'events', 'cutover', 'all', '--force', ...WHY);
  const control = await openSqliteControl({ path: join(project.folder, '.changeover/control.db') });
  const node = { host: 'elsewhere', pid: 1, processId: 'p', version: '1', name: 'pod' };
  const limits = { deadlineLimit: Date.now() + 86_400_000, stampLimit: makeStamp(Date.now() + 86_400_000, 0, 0) };
  const joined = await control.join({ session: 's', attempt: 1, node, migrations: ['events'], ...limits });
  const number = String(joined.incarnation);
  const word = ['fleet', 'events', '--ended', number] as const;
  const early = await project.run(...word, ...WHY);
  expect(early).toMatchObject({ code: 3, stderr: expect.stringContaining('it has not ended') });
  expect(await project.run(...word)).toMatchObject({ code: 3 });
  expect(await project.run('fleet', 'events', '--ended', '4711', ...WHY)).toMatchObject({ code: 3 });
  await until(async () => Date.now() - ((await control.fleet('alive'))[0]?.node.seenAt ?? 0) > 5_500);
  const refused = await project.run('rollback', 'events', '--emergency');
  expect(refused).toMatchObject({ code: 1, stdout: expect.stringContaining(`--ended ${number}`) });
  expect((await status(project)).dials.cutover).toBe('all');
  const buried = await project.json('fleet', 'events', '--ended', number, ...WHY);
  expect(buried).toMatchObject({ code: 0, data: { incarnation: joined.incarnation, buried: true } });
  await done(project, 'rollback', 'events');
  expect((await status(project)).dials.cutover).toBe(0);
  expect(await project.json('history', 'events', '--limit', '20')).toMatchObject({
    data: expect.arrayContaining([expect.objectContaining({ summary: expect.stringContaining('has ended, says') })]),
  });
  await control.close();
});

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openSqliteControl } from '../../src/control/sqlite-control.ts';
import type { DoctorReport } from '../../src/service/doctor.ts';
import { CONFIG, Project } from './project.ts';

const WHY = ['--reason', 'OPS-1'] as const;

/** Everything that a command may not change when it says that it changes nothing. */
async function everything(project: Project): Promise<unknown> {
  const stores = (['old', 'new'] as const).map((side) => {
    const database = project.database(side);
    const schema = database.prepare('SELECT * FROM sqlite_master ORDER BY name').all();
    const rows = database.prepare('SELECT * FROM events ORDER BY userKey, id').all();
    database.close();
    return { schema, rows };
  });
  const path = join(project.folder, '.changeover/control.db');
  if (!existsSync(path)) return { stores, control: null };
  const plane = await openSqliteControl({ path });
  const names = await plane.migrations();
  const control = await Promise.all(
    names.map(async (name) => [
      await plane.status(name),
      await plane.history(name, { limit: 100 }),
      await plane.censuses(name),
      await plane.acceptances(name),
    ]),
  );
  await plane.close();
  return { stores, control };
}

const doctor = (project: Project, ...flags: readonly string[]) =>
  project.json<DoctorReport>('doctor', 'events', ...flags);

function onNew(project: Project, ddl: string): void {
  const database = project.database('new');
  database.exec(ddl);
  database.close();
}

describe('doctor', { timeout: 180_000 }, () => {
  test('finds nothing in the way of a clean data set once it is prepared', async () => {
    await using project = Project.create();
    project.seed(300);
    const early = await doctor(project);
    expect(early).toMatchObject({ code: 1, data: { verdict: 'open' } });
    expect(early.data.open.map(({ remedy }) => remedy)).toEqual([
      'changeover prepare events',
      'changeover prepare events',
    ]);
    const prepared = await project.json('prepare', 'events');
    expect(prepared).toMatchObject({
      code: 0,
      data: { findings: { old: [], new: [] }, census: { sampled: 300, exhaustive: true, losses: [], open: [] } },
    });
    const { code, data } = await doctor(project);
    expect(code).toBe(0);
    expect(data).toMatchObject({
      migration: 'events',
      verdict: 'ready',
      open: [],
      control: { kind: 'sqlite', trouble: null, findings: [] },
      stores: {
        old: { label: 'sqlite events', trouble: null, prepared: true, findings: [] },
        new: { label: 'sqlite events', trouble: null, prepared: true, findings: [] },
      },
      fleet: { nodes: 0, acknowledged: 0, behind: [] },
      mapping: { key: ['userKey', 'id'], unit: ['userKey'], codecs: { old: false, new: false } },
      census: { sampled: 300, exhaustive: true, unreadable: null },
      censusTrouble: null,
    });
    expect(data.stores.new.server).toMatch(/^SQLite 3/);
    expect(Math.abs(data.stores.old.aheadMs ?? Number.NaN)).toBeLessThan(1_000);
    const text = await project.run('doctor', 'events');
    expect(text.stdout).toContain('nothing is in the way');
    expect(text.stdout).toContain('all 300 records: all come back from both stores as they were');
  });

  test('looks at every migration when none is named, and says how many records it looked at', async () => {
    await using project = Project.create();
    project.seed(300);
    await project.run('prepare');
    const { code, data } = await project.json<DoctorReport[]>('doctor', '--sample', '50');
    expect(code).toBe(0);
    expect(data.map(({ migration, census }) => [migration, census?.sampled, census?.exhaustive])).toEqual([
      ['events', 50, false],
      ['orders', 0, true],
    ]);
    expect((await doctor(project, '--all')).data.census?.sampled).toBe(300);
  });

  test('names a constraint of the new store; what the refused move prints is what lets it pass', async () => {
    await using project = Project.create();
    onNew(project, `CREATE UNIQUE INDEX "one e-mail" ON events (json_extract(body, '$.email'))`);
    await project.run('prepare', 'events');
    await project.run('set', 'events', 'no-outside-writers', 'yes', ...WHY);
    const found = await doctor(project);
    expect(found).toMatchObject({ code: 1, data: { verdict: 'open' } });
    expect(found.data.stores.new.findings).toMatchObject([
      { name: 'unique:one e-mail', level: 'risk', accepted: null, remedy: 'DROP INDEX "one e-mail";' },
    ]);

    const refused = await project.json<{ error: { gates: { gate: string; passed: boolean; remedy: string }[] } }>(
      ...['set', 'events', 'dual-write', '10', '--force', ...WHY],
    );
    expect(refused.code).toBe(1);
    const gates = refused.data.error.gates.filter(({ passed }) => !passed);
    expect(gates.map(({ gate }) => gate)).toEqual(['constraints']);
    const words = [...(gates[0]?.remedy ?? '').matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(
      (m) => m[1] ?? m[2] ?? m[3] ?? '',
    );
    expect(words[0]).toBe('changeover');
    expect(await project.run(...words.slice(1))).toMatchObject({
      code: 0,
      stdout: 'events: unique:one e-mail of the new store is accepted\n',
    });
    expect(await doctor(project)).toMatchObject({
      code: 0,
      data: { stores: { new: { findings: [{ accepted: { actor: 'ada', reason: '…' } }] } } },
    });
    expect((await project.run('doctor', 'events')).stdout).toContain('✓ unique:one e-mail');
    expect((await project.run('set', 'events', 'dual-write', '10', ...WHY)).code).toBe(0);

    expect((await project.run('accept', 'events', 'unique:one e-mail', '--withdraw', ...WHY)).code).toBe(0);
    expect((await doctor(project)).code).toBe(1);
    expect((await project.run('set', 'events', 'dual-write', '20', ...WHY)).code).toBe(1);
    const history = await project.json<{ kind: string; actor: string; reason: string; summary: string }[]>(
      'history',
      'events',
    );
    expect(history.data.filter(({ kind }) => kind === 'acceptance')).toMatchObject([
      { actor: 'ada', reason: 'OPS-1', summary: 'no longer accepted: unique:one e-mail of the new store' },
      { actor: 'ada', reason: '…', summary: 'accepted: unique:one e-mail of the new store' },
    ]);
  });

  test('shows what would be lost field by field, without values unless they are asked for', async () => {
    await using project = Project.create();
    project.seed(200);
    onNew(
      project,
      'DROP TABLE events; CREATE TABLE events (userKey TEXT NOT NULL, id TEXT NOT NULL, text INTEGER, body TEXT, PRIMARY KEY (userKey, id))',
    );
    const codec = `
const codec = {
  encode: (event: any) => { const { n, ...rest } = event; return { ...rest, text: event.text.length }; },
  decode: (stored: any) => stored,
};`;
    project.write(
      'changeover.config.ts',
      CONFIG.replace(
        "old: events('old.db'), new: events('new.db') }",
        "old: events('old.db'), new: events('new.db'), codecs: { new: codec } }",
      ).replace('export default', `${codec}\nexport default`),
    );
    await project.run('prepare', 'events');
    const found = await doctor(project);
    expect(found.code).toBe(1);
    expect(found.data.census?.losses).toEqual(['new store: n lost', 'new store: text string → number']);
    expect(found.data.census?.toNew.paths.slice(0, 2)).toMatchObject([
      { path: 'n', lost: 200, kept: 0, example: { given: 'number', back: null } },
      {
        path: 'text',
        changed: [{ from: 'string', to: 'number', count: 200 }],
        example: { given: 'string(40)', back: 'number' },
      },
    ]);
    const text = await project.run('doctor', 'events');
    expect(text.stdout).toMatch(/path +kept +lost +refused +changed\n +n +200\n +text +string → number \(200\)/);
    expect(text.stdout).toContain('changeover accept events census --reason "…"');
    expect(text.stdout).not.toContain('xxxx');
    expect((await project.run('doctor', 'events', '--show-values')).stdout).toContain('xxxx');

    expect((await project.run('accept', 'events', 'census', ...WHY)).stdout).toContain('new store: n lost');
    expect((await doctor(project)).code).toBe(0);
    // Another codec is another mapping: what was accepted of the first says nothing about it.
    project.write(
      'changeover.config.ts',
      CONFIG.replace(
        "new: events('new.db') }",
        "new: events('new.db'), codecs: { new: { encode: (event: any) => { const { n, ...rest } = event; return rest; }, decode: (stored: any) => stored } } }",
      ),
    );
    expect(await doctor(project)).toMatchObject({ code: 1 });
  });

  test('goes on with the rest where a store does not answer', async () => {
    await using project = Project.create(
      CONFIG.replace(
        "import { sql } from 'changeover/sql';",
        "import { sql } from 'changeover/sql';\nimport { dynamodb } from 'changeover/dynamodb';",
      ).replace(
        "new: events('new.db') }",
        `new: dynamodb({ table: 'events', partitionKey: 'userKey', sortKey: 'id', endpoint: 'http://127.0.0.1:9', region: 'local', credentials: { accessKeyId: 'a', secretAccessKey: 'secretissimo' } }) }`,
      ),
    );
    project.seed(20);
    const old = project.database('old');
    old.exec('CREATE TRIGGER audit AFTER INSERT ON events BEGIN SELECT 1; END;');
    old.close();
    const { code, data } = await doctor(project);
    expect(code).toBe(4);
    expect(data).toMatchObject({
      verdict: 'unreachable',
      stores: {
        old: { trouble: null, prepared: false, findings: [{ name: 'trigger:audit' }] },
        new: { trouble: { code: 'STORE_FAULT' }, server: null, prepared: null, findings: [] },
      },
      census: null,
      censusTrouble: { message: 'a census needs both stores' },
      fleet: { nodes: 0 },
    });
    const text = await project.run('doctor', 'events');
    expect(text.code).toBe(4);
    expect(text.stdout).toMatch(
      /old store +sqlite events on SQLite[\s\S]*trigger:audit[\s\S]*new store +dynamodb events: /,
    );
    expect(`${text.stdout}${text.stderr}`).not.toContain('secretissimo');
  });

  test('says that a table is missing, which is a mistake of the configuration', async () => {
    await using project = Project.create();
    onNew(project, 'DROP TABLE events');
    expect(await doctor(project)).toMatchObject({
      code: 3,
      data: {
        verdict: 'configuration',
        stores: { new: { trouble: { code: 'NOT_PREPARED' } }, old: { trouble: null } },
      },
    });
  });

  test('looks at the stores although the control plane cannot be opened', async () => {
    await using project = Project.create(CONFIG.replace('sqlite:.changeover/control.db', 'sqlite:blocked/control.db'));
    project.seed(30);
    project.write('blocked', 'a file where a folder should be');
    const { code, data } = await doctor(project);
    expect(code).toBe(4);
    expect(data).toMatchObject({
      control: { trouble: { code: 'CONTROL_UNAVAILABLE' } },
      stores: { old: { trouble: null }, new: { trouble: null } },
      census: { sampled: 30, losses: [] },
      fleet: null,
    });
  });
});

describe('what changes nothing', { timeout: 180_000 }, () => {
  test('prepare --dry-run says what it would make and what is in the way, the same each time', async () => {
    await using project = Project.create();
    project.seed(10);
    onNew(project, 'CREATE TRIGGER audit AFTER INSERT ON events BEGIN SELECT 1; END;');
    await project.status();
    const before = await everything(project);
    const first = await project.json<{ new: string[]; findings: { new: { name: string }[] }; census: unknown }>(
      'prepare',
      'events',
      '--dry-run',
    );
    expect(first.code).toBe(0);
    expect(first.data.new.join()).toContain('events_changeover');
    expect(first.data.findings.new.map(({ name }) => name)).toEqual(['trigger:audit']);
    expect(first.data.census).toBeNull();
    expect((await project.json('prepare', 'events', '--dry-run')).data).toEqual(first.data);
    expect(await everything(project)).toEqual(before);
  });

  test('doctor --dry-run records no census, accept --dry-run no acceptance', async () => {
    await using project = Project.create();
    project.seed(10);
    onNew(project, 'CREATE TRIGGER audit AFTER INSERT ON events BEGIN SELECT 1; END;');
    await project.run('prepare', 'events');
    // The other migration was never heard of, and is not made by a look either.
    const before = await everything(project);
    const dryDoctor = await project.json<DoctorReport[]>('doctor', '--dry-run');
    expect(dryDoctor).toMatchObject({
      code: 1,
      data: [{ census: { sampled: 10, open: [] } }, { migration: 'orders' }],
    });
    const dry = await project.run('accept', 'events', 'trigger:audit', '--dry-run');
    expect(dry).toMatchObject({ code: 0, stdout: 'dry run: trigger:audit of the new store would be accepted\n' });
    expect(await everything(project)).toEqual(before);
  });

  test('a mistake in the call', async () => {
    await using project = Project.create();
    onNew(project, 'CREATE TRIGGER audit AFTER INSERT ON events BEGIN SELECT 1; END;');
    await project.run('prepare', 'events');
    await project.status();
    const before = await everything(project);
    const mistakes: readonly (readonly [args: string[], says: RegExp])[] = [
      [['doctor', 'evnts'], /did you mean "events"/],
      [['doctor', 'events', '--sample', '5', '--all'], /exclude each other/],
      [['accept', 'events', 'trigger:audit'], /a change needs its reason/],
      [['accept', 'events', 'trigger:adit', ...WHY], /expected: trigger:audit \(new\)/],
      [['accept', 'events', 'trigger:audit', '--side', 'old', ...WHY], /is a risk at the old store/],
      [['accept', 'events', 'census', ...WHY], /nothing that would be lost/],
      [['accept', 'events', 'trigger:audit', '--withdraw', ...WHY], /was accepted/],
    ];
    for (const [args, says] of mistakes) {
      const call = await project.run(...args);
      expect(call, args.join(' ')).toMatchObject({ code: 3 });
      expect(call.stderr).toMatch(says);
    }
    expect(await everything(project)).toEqual(before);
  });
});

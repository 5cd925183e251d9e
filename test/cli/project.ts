import { type ChildProcess, execFile, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';

const ROOT = join(import.meta.dirname, '../..');
export const BIN = join(ROOT, 'bin/changeover.js');

export const CONFIG = `
import { defineConfig, migration } from 'changeover';
import { sql } from 'changeover/sql';

const events = (file: string) =>
  sql({ client: 'better-sqlite3', connection: file, table: 'events', document: 'body' });
const orders = (file: string) =>
  sql({ client: 'better-sqlite3', connection: file, table: 'orders', columns: { tenant: { type: 'bigint' }, region: 'region', no: 'no', total: 'total' } });

interface Event { userKey: string; id: string; n: number }
interface Order { tenant: bigint; region: string; no: number; total: number }

export default defineConfig({
  control: 'sqlite:.changeover/control.db',
  migrations: {
    events: migration<Event>({ key: ['userKey', 'id'], unit: 'userKey', old: events('old.db'), new: events('new.db') }),
    orders: migration<Order>({ key: ['tenant', 'region', 'no'], unit: ['tenant', 'region'], old: orders('old.db'), new: orders('new.db') }),
  },
});
`;

const DDL = `
CREATE TABLE events (userKey TEXT NOT NULL, id TEXT NOT NULL, body TEXT, PRIMARY KEY (userKey, id));
CREATE TABLE orders (tenant BIGINT NOT NULL, region TEXT NOT NULL, no INTEGER NOT NULL, total REAL, PRIMARY KEY (tenant, region, no));
`;

/** What a call of the command line came to. */
export interface Call {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** What only a busy machine puts in the way of a move: a handover that took too long is undone, a mirror came too late. */
const PASSING_CODES = /HANDOVER_IN_PROGRESS|FLEET_TIMEOUT/;
const PASSING_GATES: ReadonlySet<string> = new Set([
  ...['dirty', 'fleet', 'handover', 'divergences', 'shadow-reads'],
  // A store that was too busy to be looked at.
  'constraints',
]);
/** A handover has a second, which such a machine may need for itself many times over. */
const TRIES = 60;

function isPassing({ stdout, stderr }: Call): boolean {
  if (PASSING_CODES.test(`${stdout}${stderr}`)) return true;
  const failed = stdout.matchAll(/✗ ([\w-]+)|"gate": "([\w-]+)",\s+"passed": false/g);
  return failed.some(([, said = '', told = said]) => PASSING_GATES.has(told));
}

function documentOf<T>({ code, stdout, stderr }: Call): Answer<T> {
  try {
    return { code, data: JSON.parse(stdout) as T };
  } catch {
    throw new Error(`not one JSON document: ${stdout}\n${stderr}`);
  }
}

const ENVIRONMENT = { ...process.env, CHANGEOVER_ACTOR: 'ada', NO_COLOR: '1' };

/** The one document that a call with --json prints. */
export interface Answer<T> {
  readonly code: number;
  readonly data: T;
}

/** A folder with a configuration and two SQLite files, as somebody has it who uses changeover. */
export class Project {
  readonly folder: string;
  readonly #children = new Set<ChildProcess>();

  private constructor(folder: string) {
    this.folder = folder;
  }

  static create(config: string | null = CONFIG, options: { readonly installed?: boolean } = {}): Project {
    const project = new Project(mkdtempSync(join(tmpdir(), 'changeover-cli-')));
    if (config !== null) project.write('changeover.config.ts', config);
    for (const side of ['old', 'new'] as const) {
      const database = project.database(side);
      database.pragma('journal_mode = WAL');
      database.exec(DDL);
      database.close();
    }
    if (options.installed !== false) {
      project.write('package.json', '{ "type": "module" }');
      mkdirSync(join(project.folder, 'node_modules'));
      symlinkSync(ROOT, join(project.folder, 'node_modules/changeover'));
    }
    return project;
  }

  write(name: string, text: string): string {
    const path = join(this.folder, name);
    writeFileSync(path, text);
    return path;
  }

  read(name: string): string {
    return readFileSync(join(this.folder, name), 'utf8');
  }

  database(side: 'old' | 'new'): Database.Database {
    return new Database(join(this.folder, `${side}.db`));
  }

  /** Plain rows, as they were before anybody thought of moving them. */
  seed(count: number): void {
    const database = this.database('old');
    const insert = database.prepare('INSERT INTO events VALUES (?, ?, ?)');
    database.transaction(() => {
      for (let i = 0; i < count; i += 1)
        insert.run(`u${i % 97}`, `seed-${i}`, JSON.stringify({ n: i, text: 'x'.repeat(40) }));
    })();
    database.close();
  }

  /** Calls the command line as a process. */
  run(...args: readonly string[]): Promise<Call> {
    return this.runIn(this.folder, ...args);
  }

  runIn(cwd: string, ...args: readonly string[]): Promise<Call> {
    return new Promise((resolve) => {
      execFile(
        process.execPath,
        [BIN, ...args],
        { cwd, env: ENVIRONMENT, maxBuffer: 1 << 26 },
        (error, stdout, stderr) => {
          const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 255;
          resolve({ code, stdout, stderr });
        },
      );
    });
  }

  /** A move that must succeed, as an operator makes it: what stands in its way for a moment is repaired, then once more. */
  async move(...args: readonly string[]): Promise<Call> {
    for (let tries = 1; ; tries += 1) {
      const call = await this.run(...args);
      if (call.code === 0 || tries === TRIES || !isPassing(call)) return call;
      await this.run('repair', args[1] ?? '', '--reason', 'what came too late');
    }
  }

  /** The same with --json; fails unless stdout is exactly one document. */
  async json<T = Record<string, unknown>>(...args: readonly string[]): Promise<Answer<T>> {
    return documentOf(await this.run(...args, '--json'));
  }

  /** A move that must succeed, with --json. */
  async moved<T = Record<string, unknown>>(...args: readonly string[]): Promise<Answer<T>> {
    return documentOf(await this.move(...args, '--json'));
  }

  /** What must not change where nothing may. */
  async status(): Promise<string> {
    return (await this.run('status', '--json')).stdout;
  }

  /** A call that goes on while the test does something else. */
  start(...args: readonly string[]): ChildProcess {
    return this.#keep(spawn(process.execPath, [BIN, ...args], { cwd: this.folder, env: ENVIRONMENT }));
  }

  /** A service of its own process that writes and reads all the time. */
  async service(name = 'writer'): Promise<Service> {
    const child = this.#keep(
      fork(new URL('./service.ts', import.meta.url), [join(this.folder, 'changeover.config.ts'), name], {
        cwd: this.folder,
        execArgv: ['--disable-warning=ExperimentalWarning'],
      }),
    );
    await once(child, 'message');
    return new Service(child);
  }

  #keep<C extends ChildProcess>(child: C): C {
    this.#children.add(child);
    child.once('exit', () => this.#children.delete(child));
    return child;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) {
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** What a service did: the last value that was acknowledged of each key, and how many calls failed. */
export interface ServiceReport {
  readonly written: Readonly<Record<string, number>>;
  readonly failures: readonly string[];
}

export class Service {
  readonly child: ChildProcess;

  constructor(child: ChildProcess) {
    this.child = child;
  }

  /** Leaves in good order and says what it did. */
  async stop(): Promise<ServiceReport> {
    const report = once(this.child, 'message');
    const ended = once(this.child, 'exit');
    this.child.send('stop');
    const [message] = (await report) as [ServiceReport];
    await ended;
    return message;
  }
}

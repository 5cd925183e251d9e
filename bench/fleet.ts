import { type ChildProcess, fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { MemoryDatabase, memory } from '../adapters/memory/index.ts';
import { type Control, control, defineConfig, migration } from '../src/index.ts';

export const WHY = { reason: 'bench', actor: 'bench' };

interface Event {
  readonly userKey: string;
  readonly id: string;
  readonly n: number;
}

const store = () => memory({ database: new MemoryDatabase({ prepared: true }) });

/** Every process has two stores of its own in memory: what is measured is the control plane. */
export const fleetConfig = (place: string) =>
  defineConfig({
    control: place,
    migrations: {
      events: migration<Event>({ key: ['userKey', 'id'], unit: 'userKey', old: store(), new: store() }),
    },
  });

/** A place for a control plane, and how it goes away. */
export interface ControlPlace {
  readonly name: 'SQLite' | 'PostgreSQL';
  readonly url: string;
  drop(): Promise<void>;
}

export const NO_POSTGRES = 'CHANGEOVER_TEST_POSTGRES_URL names no server';
export const NO_MONGODB = 'CHANGEOVER_TEST_MONGODB_URL names no server';

/** One on SQLite, or one on PostgreSQL where the environment names a server; null where it names none. */
export async function controlPlace(name: ControlPlace['name']): Promise<ControlPlace | null> {
  if (name === 'SQLite') {
    const folder = mkdtempSync(join(tmpdir(), 'changeover-bench-'));
    const drop = async (): Promise<void> => rmSync(folder, { recursive: true, force: true });
    return { name, url: `sqlite:${join(folder, 'control.db')}`, drop };
  }
  const server = process.env['CHANGEOVER_TEST_POSTGRES_URL'];
  if (server === undefined) return null;
  const schema = `bench_${randomBytes(6).toString('hex')}`;
  const url = new URL(server);
  url.searchParams.set('schema', schema);
  const drop = async (): Promise<void> => {
    const client = new pg.Client({ connectionString: server });
    await client.connect();
    await client.query(`DROP SCHEMA IF EXISTS ${schema}, ${schema}_jobs CASCADE`);
    await client.end();
  };
  return { name, url: url.href, drop };
}

/** One process of a fleet; see fleet-process.ts. */
export class Member {
  readonly #process: ChildProcess;
  #answer: (message: unknown) => void = () => {};

  private constructor(process: ChildProcess) {
    this.#process = process;
    process.on('message', (message) => this.#answer(message));
  }

  static async start(place: string, writesPerSecond: number): Promise<Member> {
    const child = fork(new URL('./fleet-process.ts', import.meta.url), [place, String(writesPerSecond)], {
      execArgv: ['--disable-warning=ExperimentalWarning'],
    });
    const member = new Member(child);
    const ready = new Promise((resolve) => {
      member.#answer = resolve;
    });
    const ended = once(child, 'exit').then(() => Promise.reject(new Error('a process of the fleet has ended')));
    await Promise.race([ready, ended]);
    ended.catch(() => {});
    return member;
  }

  /** The longest latency of a write since this was asked last, ms. */
  longest(): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#answer = (message) => resolve(message as number);
      this.#process.send('longest', (error) => {
        if (error !== null) reject(error);
      });
    });
  }

  async end(): Promise<void> {
    if (!this.#process.connected) return;
    const ended = once(this.#process, 'exit');
    this.#process.send('end');
    await ended;
  }
}

/** A control plane with a fleet of processes, everything mirrored and covered. */
export class Fleet implements AsyncDisposable {
  readonly operator: Control;
  readonly #place: ControlPlace;
  readonly #members: readonly Member[];

  private constructor(place: ControlPlace, operator: Control, members: readonly Member[]) {
    this.#place = place;
    this.operator = operator;
    this.#members = members;
  }

  static async start(place: ControlPlace, processes: number, writesPerSecond = 0): Promise<Fleet> {
    const operator = await control(fleetConfig(place.url));
    await operator.prepare('events');
    await operator.plane.changeSettings('events', { noOutsideWriters: true }, WHY);
    const members = await Promise.all(
      Array.from({ length: processes }, () => Member.start(place.url, writesPerSecond / processes)),
    );
    const fleet = new Fleet(place, operator, members);
    await fleet.#mirrored();
    return fleet;
  }

  async #mirrored(): Promise<void> {
    const controller = await this.operator.migration('events');
    await controller.set({ dial: 'dual-write', to: 100_000 }, WHY);
    await controller.backfill(WHY);
  }

  /** How long a move takes from the command to the acknowledgement of the last process, ms. */
  async move(dial: 'shadow-read' | 'cutover', to: number): Promise<number> {
    const controller = await this.operator.migration('events');
    const begun = performance.now();
    await controller.set({ dial, to }, { ...WHY, force: true });
    return performance.now() - begun;
  }

  /** The longest that any process waited for a write since this was asked last, ms. */
  async longest(): Promise<number> {
    return Math.max(...(await Promise.all(this.#members.map((member) => member.longest()))));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#members.map((member) => member.end()));
    await this.operator.close();
    await this.#place.drop();
  }
}

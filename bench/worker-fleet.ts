import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { mongodb } from '../adapters/mongodb/index.ts';
import { sql } from '../adapters/sql/index.ts';
import { defineConfig, migration } from '../src/index.ts';
import type { BenchRecord } from './replay-places.ts';

/** Where the processes of the line find everything; goes from the bench to its workers by their environment. */
export interface WorkerPlaces {
  readonly control: string;
  /** Servers as they are reached from afar. */
  readonly mongodb: string;
  readonly postgres: string;
  /** Databases of MongoDB and schemas of PostgreSQL, one of each for a migration. */
  readonly databases: readonly string[];
  readonly schemas: readonly string[];
}

export const PLACES = 'CHANGEOVER_BENCH_WORKERS';

/** The migration that one worker does alone, and the one that all of them share. */
export const MIGRATIONS = ['alone', 'shared'] as const;

/** The same in the bench and in its workers: only who has the same mapping may work on a replay. */
export function workersConfig(places: WorkerPlaces) {
  const between = (i: number) =>
    migration<BenchRecord>({
      key: ['user_key', 'id'],
      unit: 'user_key',
      old: mongodb({ url: places.mongodb, database: places.databases[i] as string, collection: 'events', id: 'id' }),
      new: sql({ client: 'pg', connection: places.postgres, table: `${places.schemas[i]}.events` }),
    });
  return defineConfig({ control: places.control, migrations: { alone: between(0), shared: between(1) } });
}

/** A server as it is reached over a long network. */
export class Distance {
  readonly #process: ChildProcess;
  readonly #port: number;

  private constructor(process: ChildProcess, port: number) {
    this.#process = process;
    this.#port = port;
  }

  /** `server` is a URL with a port; each byte takes `ms` each way. */
  static async from(server: string, ms: number): Promise<Distance> {
    const { hostname, port } = new URL(server);
    const child = fork(new URL('./distance.ts', import.meta.url), [hostname, port, String(ms)]);
    const [own] = (await once(child, 'message')) as [number];
    return new Distance(child, own);
  }

  /** The server's URL through it. */
  url(server: string): string {
    const url = new URL(server);
    url.host = `127.0.0.1:${this.#port}`;
    return url.href;
  }

  async end(): Promise<void> {
    const ended = once(this.#process, 'exit');
    this.#process.disconnect();
    await ended;
  }
}

/** A `changeover worker`, as it is started on a machine of its own. */
export class WorkerProcess {
  readonly #process: ChildProcess;
  #said = '';

  private constructor(process: ChildProcess) {
    this.#process = process;
  }

  static async start(places: WorkerPlaces, migrations: readonly string[]): Promise<WorkerProcess> {
    const config = join(import.meta.dirname, 'worker-config.ts');
    const main = join(import.meta.dirname, '../src/cli/main.ts');
    const child = spawn(process.execPath, [main, 'worker', '--migrations', migrations.join(), '--config', config], {
      env: { ...process.env, [PLACES]: JSON.stringify(places) },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const worker = new WorkerProcess(child);
    await new Promise<void>((resolve, reject) => {
      child.stderr?.on('data', (bytes: Buffer) => {
        worker.#said += bytes.toString();
        if (worker.#said.includes('ready for')) resolve();
      });
      child.once('exit', () => reject(new Error(`a worker has ended: ${worker.#said}`)));
    });
    return worker;
  }

  async end(): Promise<void> {
    if (this.#process.exitCode !== null) return;
    const ended = once(this.#process, 'exit');
    this.#process.kill();
    await ended;
  }
}

/** How busy the machine is, all that runs on it: a share of all its cores. */
export class MachineLoad {
  #before = MachineLoad.#times();

  static #times(): { readonly idle: number; readonly all: number } {
    const times = cpus().map((core) => core.times);
    const idle = times.reduce((sum, time) => sum + time.idle, 0);
    return { idle, all: times.reduce((sum, { user, nice, sys, irq }) => sum + user + nice + sys + irq, idle) };
  }

  /** Since this was asked last. */
  share(): number {
    const [before, now] = [this.#before, MachineLoad.#times()];
    this.#before = now;
    return 1 - (now.idle - before.idle) / Math.max(1, now.all - before.all);
  }
}

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { Cache } from './servers/cache.ts';
import { command } from './servers/command.ts';
import { freePort } from './servers/free-port.ts';
import { LOCAL_POSTGRES } from './servers/local-postgres.ts';
import { makeRunFolder, makeServerFolder, unprivileged } from './servers/run-folder.ts';

/** A PostgreSQL server of one test, which may stop and start it. */
export class OwnPostgres implements AsyncDisposable {
  readonly url: string;
  readonly #program: string;
  readonly #folder: string;
  readonly #data: string;
  readonly #port: number;
  readonly #settings: readonly string[];
  readonly #replicas: OwnPostgres[] = [];
  #process: ChildProcess | null = null;

  private constructor(program: string, folder: string, data: string, port: number, settings: readonly string[] = []) {
    this.#program = program;
    this.#folder = folder;
    this.#data = data;
    this.#port = port;
    this.#settings = settings;
    this.url = `postgres://postgres@127.0.0.1:${port}/postgres`;
  }

  /** Makes one, and starts it. */
  static async create(): Promise<OwnPostgres> {
    const { folder: program } = await LOCAL_POSTGRES.fetch(new Cache(process.env));
    const folder = makeRunFolder();
    const data = join(makeServerFolder(folder, 'postgres'), 'data');
    const made = ['-D', data, '--username=postgres', '--auth=trust', '--encoding=UTF8', '--locale=C', '--no-sync'];
    await command(join(program, 'bin/initdb'), made, { cwd: folder, ...unprivileged() });
    const own = new OwnPostgres(program, folder, data, await freePort());
    await own.start();
    return own;
  }

  /** A hot standby of it, which ends with it: a copy of its files, made while it is stopped. */
  async replica(): Promise<OwnPostgres> {
    await this.stop('SIGINT');
    const data = join(makeServerFolder(this.#folder, `replica-${this.#replicas.length}`), 'data');
    await command('cp', ['-Rp', this.#data, data], { cwd: this.#folder, ...unprivileged() });
    writeFileSync(join(data, 'standby.signal'), '');
    await this.start();
    const follows = `primary_conninfo=host=127.0.0.1 port=${this.#port} user=postgres`;
    const own = new OwnPostgres(this.#program, this.#folder, data, await freePort(), [follows]);
    this.#replicas.push(own);
    await own.start();
    return own;
  }

  /** Resolves when it serves. */
  async start(): Promise<void> {
    const common = ['listen_addresses=127.0.0.1', 'unix_socket_directories=', 'shared_buffers=16MB'];
    const settings = [...common, ...this.#settings];
    this.#process = spawn(
      join(this.#program, 'bin/postgres'),
      ['-D', this.#data, '-p', String(this.#port), ...settings.flatMap((setting) => ['-c', setting])],
      { cwd: this.#folder, stdio: 'ignore', ...unprivileged() },
    );
    for (;;) {
      const client = new pg.Client(this.url);
      client.on('error', () => {});
      try {
        await client.connect();
        await client.end();
        return;
      } catch {
        if (this.#process.exitCode !== null) throw new Error('the server of this test does not start');
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }

  /** SIGINT lets it end what it does; after SIGQUIT it has to recover when it starts. */
  async stop(signal: 'SIGINT' | 'SIGQUIT'): Promise<void> {
    const running = this.#process;
    this.#process = null;
    if (running === null || running.exitCode !== null) return;
    running.kill(signal);
    await once(running, 'exit');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of [...this.#replicas, this]) await server.stop('SIGQUIT');
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

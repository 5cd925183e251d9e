import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
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
  #process: ChildProcess | null = null;

  private constructor(program: string, folder: string, data: string, port: number) {
    this.#program = program;
    this.#folder = folder;
    this.#data = data;
    this.#port = port;
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

  /** Resolves when it serves. */
  async start(): Promise<void> {
    const settings = ['listen_addresses=127.0.0.1', 'unix_socket_directories=', 'shared_buffers=16MB'];
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
    await this.stop('SIGQUIT');
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

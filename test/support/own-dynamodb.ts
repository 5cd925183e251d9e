import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Cache } from './servers/cache.ts';
import { freePort } from './servers/free-port.ts';
import { KeeperLink, type KeptServer } from './servers/keeper-link.ts';
import { dynamodbProcess, LOCAL_DYNAMODB } from './servers/local-dynamodb.ts';
import { ready } from './servers/ready.ts';

const START_MS = 60_000;
const LOOK_MS = 20;
/**
 * Its files survive the end of the server, not that of the machine, so they need no disk: on a slow one each put waits
 * for several of its writes.
 */
const MEMORY = '/dev/shm';

/** A DynamoDB Local of one test, which may make it stand still, kill it and start it again: what it acknowledged stays. */
export class OwnDynamoDb implements AsyncDisposable {
  readonly url: string;
  readonly #jars: string;
  readonly #keeper: KeeperLink;
  readonly #data: string;
  readonly #port: number;
  #starts = 0;
  #running: { readonly server: KeptServer; readonly pid: number } | null = null;

  private constructor(jars: string, keeper: KeeperLink, port: number) {
    this.#jars = jars;
    this.#keeper = keeper;
    this.#port = port;
    this.#data = mkdtempSync(join(existsSync(MEMORY) ? MEMORY : keeper.folder, 'changeover-dynamodb-'));
    this.url = `http://127.0.0.1:${port}`;
  }

  /** Makes one, and starts it. */
  static async create(): Promise<OwnDynamoDb> {
    const { folder } = await LOCAL_DYNAMODB.fetch(new Cache(process.env));
    const own = new OwnDynamoDb(folder, await KeeperLink.begin(), await freePort());
    await own.start();
    return own;
  }

  /** Resolves when it serves. */
  async start(): Promise<void> {
    this.#starts += 1;
    const name = `dynamodb-${this.#starts}`;
    const server = this.#keeper.start({
      ...dynamodbProcess(this.#jars, this.#keeper.folder, this.#port, ['-dbPath', this.#data]),
      name,
      stopSignal: 'SIGKILL',
      afterwards: ['rm', '-rf', this.#data],
    });
    await ready('dynamodb', this.url, START_MS, server.gone);
    this.#running = { server, pid: Number(readFileSync(join(this.#keeper.folder, `${name}.pid`), 'utf8')) };
  }

  /** Makes it stand still with all its connections open. */
  hang(): void {
    this.#signal('SIGSTOP');
  }

  goOn(): void {
    this.#signal('SIGCONT');
  }

  /** Ends it without a chance to write anything more; resolves when it has ended. */
  async kill(): Promise<void> {
    const { server } = this.#signal('SIGKILL');
    while (server.gone() === null) await pause(LOOK_MS);
    this.#running = null;
  }

  #signal(signal: NodeJS.Signals): { readonly server: KeptServer } {
    if (this.#running === null) throw new Error('the server of this test does not run');
    process.kill(this.#running.pid, signal);
    return this.#running;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#keeper.stop();
    rmSync(this.#data, { recursive: true, force: true });
  }
}

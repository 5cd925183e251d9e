import { Cache } from './cache.ts';
import { startContainer } from './container.ts';
import { type Engine, findEngine } from './engine.ts';
import { KeeperLink } from './keeper-link.ts';
import { LOCAL_DYNAMODB } from './local-dynamodb.ts';
import { LOCAL_MONGODB } from './local-mongodb.ts';
import { LOCAL_MYSQL } from './local-mysql.ts';
import { LOCAL_POSTGRES } from './local-postgres.ts';
import type { LocalServer } from './local-server.ts';
import { because, type Environment, noServer, type ServerName, type TestServer, urlVariable } from './names.ts';
import { ready } from './ready.ts';

const LOCAL: Readonly<Record<ServerName, LocalServer>> = {
  mongodb: LOCAL_MONGODB,
  dynamodb: LOCAL_DYNAMODB,
  postgres: LOCAL_POSTGRES,
  mysql: LOCAL_MYSQL,
};

export interface FinderOptions {
  /** How long a server that the environment names may take to answer: it may be starting just now. @default 30_000 */
  readonly namedMs?: number;
}

const STARTED_MS = 60_000;
/** A port that was free may be taken a moment later. */
const STARTS = 2;

export type Origin = 'named' | 'docker' | 'local';

/** What was found, for the run's output. */
export interface Finding {
  readonly name: ServerName;
  readonly server: TestServer;
  readonly origin: Origin | null;
  /** One line for people. */
  readonly line: string;
  /** A server that the environment names, and that does not answer: an error, never a reason to take another one. */
  readonly problem: string | null;
}

/** Finds servers: the one that the environment names, one in Docker, one of this machine's package registries. */
export class ServerFinder {
  readonly #environment: Environment;
  readonly #namedMs: number;
  readonly #cache: Cache;
  #engine: Promise<Engine | { readonly missing: string }> | undefined;
  #keeper: Promise<KeeperLink> | undefined;

  constructor(environment: Environment, { namedMs = 30_000 }: FinderOptions = {}) {
    this.#environment = environment;
    this.#namedMs = namedMs;
    this.#cache = new Cache(environment);
  }

  async find(name: ServerName): Promise<Finding> {
    const begun = performance.now();
    const seconds = (): string => `${((performance.now() - begun) / 1_000).toFixed(1)} s`;
    const named = this.#environment[urlVariable(name)];
    if (named !== undefined && named !== '') return this.#named(name, named);
    const reasons: string[] = [];
    for (const origin of ['docker', 'local'] as const) {
      try {
        const { url, version, where } = await (origin === 'docker' ? this.#docker(name) : this.#local(name));
        const passedOver = reasons.filter((reason) => reason.startsWith(IN_DOCKER));
        const line = [`${titled(name, version)} from ${where}, up after ${seconds()}`, ...passedOver].join('; ');
        return { name, server: { url }, origin, line, problem: null };
      } catch (error) {
        reasons.push(because(error));
      }
    }
    const missing = noServer(name, `${reasons.join('; ')}. Set ${urlVariable(name)}, or start Docker`);
    return { name, server: { missing }, origin: null, line: missing, problem: null };
  }

  /** Ends everything that was started here. */
  async stop(): Promise<void> {
    await (await this.#keeper)?.stop();
  }

  async #named(name: ServerName, url: string): Promise<Finding> {
    const variable = urlVariable(name);
    try {
      const version = await ready(name, url, this.#namedMs);
      return {
        name,
        server: { url },
        origin: 'named',
        line: `${titled(name, version)} named by ${variable}`,
        problem: null,
      };
    } catch (error) {
      const problem = noServer(name, `${variable} is set, but ${because(error)}. Start that server, or unset it`);
      return { name, server: { missing: problem }, origin: null, line: problem, problem };
    }
  }

  async #docker(name: ServerName): Promise<Started> {
    this.#engine ??= findEngine(this.#environment);
    const engine = await this.#engine;
    if ('missing' in engine) throw new Error(engine.missing);
    try {
      const { url, gone } = await startContainer(name, engine, await this.#keptBy(), this.#environment);
      return { url, version: await ready(name, url, STARTED_MS, gone), where: 'Docker' };
    } catch (error) {
      throw new Error(`${IN_DOCKER}${because(error)}`, { cause: error });
    }
  }

  async #local(name: ServerName): Promise<Started> {
    if (process.platform !== 'linux' || process.arch !== 'x64') {
      throw new Error('on this system there is nothing to fall back to');
    }
    const files = await LOCAL[name].fetch(this.#cache);
    const { fetchedMs } = files;
    const where = `the cache${fetchedMs === null ? '' : ` (fetched in ${(fetchedMs / 1_000).toFixed(1)} s)`}`;
    const keeper = await this.#keptBy();
    for (let starts = 1; ; starts += 1) {
      try {
        const { url, gone } = await LOCAL[name].start(files, keeper);
        return { url, version: await ready(name, url, STARTED_MS, gone), where };
      } catch (error) {
        if (starts === STARTS) throw error;
      }
    }
  }

  #keptBy(): Promise<KeeperLink> {
    this.#keeper ??= KeeperLink.begin();
    return this.#keeper;
  }
}

/** How the reasons begin why an engine that answers was of no use. */
const IN_DOCKER = 'Docker: ';

const titled = (name: ServerName, version: string): string => (version === '' ? name : `${name} ${version}`);

interface Started {
  readonly url: string;
  readonly version: string;
  readonly where: string;
}

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { memory } from '../../adapters/memory/index.ts';
import { ROLES, type Role } from '../../src/control/storage.ts';
import { type Config, type Control, control, defineConfig, migration } from '../../src/index.ts';
import { type ListenOptions, type RunningServer, startServer } from '../../src/server/index.ts';
import { newSecret, tokenText } from '../../src/server/token-text.ts';

/** The records of these tests. */
export interface Item {
  readonly user: string;
  readonly id: string;
  readonly n: number;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests say themselves what they expect
  readonly json: any;
}

export interface Call {
  readonly method?: string;
  readonly body?: unknown;
  readonly token?: string | null;
  readonly headers?: Readonly<Record<string, string>>;
}

const MIGRATIONS = ['items', 'notes'] as const;

/** The real server on a real SQLite control plane, with two migrations between memory stores. */
export class ApiServer implements AsyncDisposable {
  readonly folder: string;
  readonly config: Config;
  operations!: Control;
  server!: RunningServer;
  /** One of each role, for all migrations. */
  tokens!: Readonly<Record<Role, string>>;

  private constructor(folder: string) {
    this.folder = folder;
    const item = () => migration<Item>({ key: ['user', 'id'], unit: 'user', old: memory(), new: memory() });
    this.config = defineConfig({
      control: `sqlite:${join(folder, 'control.db')}`,
      migrations: { items: item(), notes: item() },
    });
  }

  static async start(options: Partial<ListenOptions> = {}): Promise<ApiServer> {
    const api = new ApiServer(mkdtempSync(join(tmpdir(), 'changeover-server-')));
    api.operations = await control(api.config);
    for (const name of MIGRATIONS) await api.operations.prepare(name);
    await api.listen(options);
    const tokens = await Promise.all(ROLES.map(async (role) => [role, await api.token(role)] as const));
    api.tokens = Object.fromEntries(tokens) as Record<Role, string>;
    return api;
  }

  async listen(options: Partial<ListenOptions> = {}): Promise<void> {
    this.server = await startServer({ operations: this.operations, version: '0.0.0', port: 0, ...options });
  }

  /** A new token. */
  async token(
    role: Role,
    more: { readonly name?: string; readonly migrations?: readonly string[]; readonly expiresAt?: number } = {},
  ): Promise<string> {
    const { secret, hash } = newSecret();
    const { id } = await this.operations.plane.createToken({
      name: more.name ?? `${role} ${hash.slice(0, 8)}`,
      hash,
      role,
      migrations: more.migrations ?? null,
      expiresAt: more.expiresAt ?? null,
      createdBy: 'test',
    });
    return tokenText(id, secret);
  }

  /** A request, by an admin unless another token is given; null sends none. */
  async call(path: string, { method, body, token = this.tokens?.admin, headers }: Call = {}): Promise<Answer> {
    const response = await fetch(new URL(path, this.server.url), {
      method: method ?? (body === undefined ? 'GET' : 'POST'),
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      headers: {
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(token === null || token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...headers,
      },
    });
    const text = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      text,
      json: /json;|json$/.test(response.headers.get('content-type') ?? '') && text !== '' ? JSON.parse(text) : null,
    };
  }

  /** A configuration of a process that works through this server. */
  remote(token: string): Config {
    return defineConfig({ control: this.server.url, token, migrations: this.config.migrations });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.close();
    await this.operations.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

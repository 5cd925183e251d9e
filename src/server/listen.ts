import { isIP } from 'node:net';
import fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify';
import type { ControlPlaneApi } from '../control/control-plane.ts';
import { isUsable } from '../control/tokens.ts';
import { type Clock, systemClock, type TimerHandle } from '../core/clock.ts';
import { InvalidConfiguration } from '../core/errors.ts';
import { changeoverServer, type PluginOptions } from './plugin.ts';
import { clientErrorHandler, errorHandler } from './problem.ts';
import { newSecret, tokenText } from './token-text.ts';

/** How the instance that the plugin is registered with must be made. */
export const FASTIFY_OPTIONS = Object.freeze({
  // What is not allowed is refused, neither dropped nor bent: a misspelt dryRun must not move anything.
  ajv: {
    customOptions: { removeAdditional: false, coerceTypes: false, useDefaults: true, allErrors: false, strict: false },
  },
  bodyLimit: 256 * 1024,
  requestTimeout: 60_000,
  keepAliveTimeout: 72_000,
  forceCloseConnections: 'idle',
  routerOptions: { maxParamLength: 200 },
  // An address that is none comes before every route, and so before their handler.
  frameworkErrors: errorHandler,
  clientErrorHandler,
}) satisfies FastifyServerOptions;

export interface ListenOptions extends PluginOptions {
  /** @default 127.0.0.1 */
  readonly host?: string;
  /** 0: any that is free. @default 7420 */
  readonly port?: number;
  /** Proxies whose X-Forwarded-For and X-Forwarded-Proto are believed: addresses, networks, or `loopback`. */
  readonly trustProxy?: string;
}

export interface RunningServer {
  /** Where it listens. */
  readonly url: string;
  readonly app: FastifyInstance;
  /** The first token, made because there was none: shown now or never. */
  readonly firstToken: string | null;
  /** Ends streams and jobs, answers what is under way. */
  close(): Promise<void>;
}

export const DEFAULT_PORT = 7420;

const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));

/**
 * Starts the server. Where no token exists yet it makes one for the role admin, on the loopback only.
 * @throws InvalidConfiguration where it would listen to others while nobody has a token
 */
export async function startServer(options: ListenOptions): Promise<RunningServer> {
  const { host = '127.0.0.1', port = DEFAULT_PORT, trustProxy, ...plugin } = options;
  const { plane } = options.operations;
  const clock = options.clock ?? systemClock;
  const fresh = !(await anyToken(plane, clock));
  if (fresh && !isLoopback(host)) {
    throw new InvalidConfiguration(`the server does not listen on ${host} while nobody has a token`, {
      expected: 'a token, or an address of this host only',
      remedy: 'changeover token create <name> --role admin',
    });
  }
  const app = instance(trustProxy);
  try {
    await app.register(changeoverServer, plugin);
    await app.listen({ host, port });
  } catch (error) {
    await app.close();
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    if (!/^E[A-Z]+$/.test(code)) throw error;
    throw new InvalidConfiguration(`the server cannot listen on ${host}:${port}: ${code}`, {
      expected: 'an address of this host and a port that is free',
      cause: error,
    });
  }
  const [address] = app.addresses();
  const bound = typeof address === 'string' || address === undefined ? { address: host, port } : address;
  return {
    url: `http://${isIP(bound.address) === 6 ? `[${bound.address}]` : bound.address}:${bound.port}`,
    app,
    // Only now: a server that could not start shows nothing.
    firstToken: fresh ? await makeFirst(plane, clock) : null,
    close: () => closeApp(app, clock),
  };
}

/** Between two looks for connections that have nothing more to say. */
const IDLE_LOOK_MS = 25;

/** How long answers that are under way may take when streams and jobs have ended. */
const GRACE_MS = 500;

/** A connection that is kept for a next request, or never sent one, would be waited for until its time-out. */
async function closeApp(app: FastifyInstance, clock: Clock): Promise<void> {
  const { server } = app;
  let timer: TimerHandle;
  let since: number | null = null;
  const look = (): void => {
    server.closeIdleConnections();
    if (!server.listening) since ??= clock.monotonic();
    if (since !== null && clock.monotonic() - since > GRACE_MS) server.closeAllConnections();
    timer = clock.after(IDLE_LOOK_MS, look, true);
  };
  look();
  await app.close().finally(() => timer.cancel());
}

/** @throws InvalidConfiguration where the proxies are named by what is no address */
function instance(trustProxy: string | undefined): FastifyInstance {
  if (trustProxy === undefined) return fastify(FASTIFY_OPTIONS);
  try {
    return fastify({ ...FASTIFY_OPTIONS, trustProxy });
  } catch (error) {
    throw new InvalidConfiguration(`"${trustProxy}" names no proxies`, {
      expected: 'addresses or networks (10.0.0.0/8), loopback, linklocal, uniquelocal; several with commas',
      cause: error,
    });
  }
}

async function anyToken(plane: ControlPlaneApi, clock: Clock): Promise<boolean> {
  return (await plane.tokens()).some((token) => token.kind === 'token' && isUsable(token, clock.now()));
}

async function makeFirst(plane: ControlPlaneApi, clock: Clock): Promise<string> {
  const { secret, hash } = newSecret();
  const name = `first ${new Date(clock.now()).toISOString()}`;
  const token = { name, hash, role: 'admin' as const, migrations: null, expiresAt: null };
  const { id } = await plane.createToken({ ...token, createdBy: 'changeover serve' });
  return tokenText(id, secret);
}

import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { engineRequest } from './engine-request.ts';
import type { EngineAddress } from './keeper-orders.ts';
import { because, type Environment } from './names.ts';

/** A Docker engine that answers. */
export interface Engine {
  /** As DOCKER_HOST says it. */
  readonly host: string;
  readonly address: EngineAddress;
}

const PING_MS = 800;

/** Finds an engine within a second, or says why there is none. */
export async function findEngine(environment: Environment): Promise<Engine | { readonly missing: string }> {
  const named = environment['DOCKER_HOST'];
  const hosts = named === undefined || named === '' ? usualSockets(environment) : [named];
  if (hosts.length === 0) return { missing: 'no Docker engine: DOCKER_HOST is not set and no socket is there' };
  let why = '';
  for (const host of hosts) {
    const address = addressOf(host);
    if (address === null) return { missing: 'no Docker engine: of DOCKER_HOST only unix:// and plain tcp:// are used' };
    try {
      const { status } = await engineRequest(address, 'GET', '/_ping', PING_MS / hosts.length);
      if (status === 200) return { host, address };
      why = `it answers ${status}`;
    } catch (error) {
      why = because(error);
    }
  }
  return { missing: `no Docker engine answers (${why})` };
}

function usualSockets(environment: Environment): readonly string[] {
  const runtime = environment['XDG_RUNTIME_DIR'];
  return [
    '/var/run/docker.sock',
    join(homedir(), '.docker/run/docker.sock'),
    ...(runtime === undefined ? [] : [join(runtime, 'docker.sock')]),
  ]
    .filter((path) => existsSync(path))
    .map((path) => `unix://${path}`);
}

function addressOf(host: string): EngineAddress | null {
  if (!URL.canParse(host)) return null;
  const { protocol, hostname, port, pathname } = new URL(host);
  if (protocol === 'unix:') return { socketPath: pathname };
  if (protocol === 'tcp:' || protocol === 'http:') return { host: hostname, port: Number(port || 2375) };
  return null;
}

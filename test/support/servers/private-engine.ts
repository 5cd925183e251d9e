import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { libraryPath, release, unpackPackages } from './apt.ts';
import type { Cache } from './cache.ts';
import { type Engine, findEngine } from './engine.ts';
import type { KeeperLink } from './keeper-link.ts';
import { busybox } from './test-images.ts';

const PACKAGES = ['docker.io', 'containerd', 'runc'] as const;
const START_MS = 20_000;
/** What the bridge of a Docker engine is called; only one can have it. */
const BRIDGE = 'docker0';

/** Why this machine cannot have a Docker engine for the length of a test; null if it may. */
export function whyNoPrivateEngine(): string | null {
  if (process.platform !== 'linux' || process.arch !== 'x64') return 'one can be started on Linux on x64 only';
  if (process.getuid?.() !== 0) return 'to start one takes root';
  if (existsSync(`/sys/class/net/${BRIDGE}`)) return `another engine has left its bridge ${BRIDGE}`;
  return null;
}

/**
 * A Docker engine that exists only for a test: unpacked and not installed, with its own socket and data, and without
 * firewall rules, as containers need no way out. It ends with its keeper.
 * @throws where the machine does not permit it
 */
export async function startPrivateEngine(cache: Cache, keeper: KeeperLink): Promise<Engine> {
  const name = `docker-${release()}`;
  const { folder } = await cache.get(name, (place) => unpackPackages(PACKAGES, place));
  const own = join(keeper.folder, 'docker');
  mkdirSync(own);
  const host = `unix://${join(own, 'socket')}`;
  const kept = keeper.start({
    name: 'docker',
    program: join(folder, 'usr/sbin/dockerd'),
    args: [
      ...['--data-root', join(own, 'data'), '--exec-root', join(own, 'exec'), '--pidfile', join(own, 'pid')],
      ...['--host', host, '--ip', '127.0.0.1', '--bip', '172.31.250.1/24', '--iptables=false', '--ip6tables=false'],
      ...['--userland-proxy-path', join(folder, 'usr/sbin/docker-proxy'), '--shutdown-timeout', '2'],
    ],
    env: {
      PATH: [join(folder, 'usr/sbin'), join(folder, 'usr/bin'), process.env['PATH']].join(':'),
      LD_LIBRARY_PATH: libraryPath(folder),
    },
    cwd: own,
    log: join(keeper.folder, 'docker.log'),
    stopSignal: 'SIGTERM',
    patienceMs: 15_000,
    afterwards: [await busybox(cache), 'ip', 'link', 'delete', BRIDGE],
  });
  const begun = performance.now();
  for (;;) {
    const engine = await findEngine({ DOCKER_HOST: host });
    if ('host' in engine) return engine;
    const ended = kept.gone();
    if (ended !== null || performance.now() - begun > START_MS) throw new Error(`dockerd: ${ended ?? engine.missing}`);
    await pause(50);
  }
}

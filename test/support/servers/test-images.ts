import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { libraryPath, release, unpackPackages } from './apt.ts';
import type { Cache } from './cache.ts';
import { command } from './command.ts';
import { LOCAL_DYNAMODB } from './local-dynamodb.ts';
import { LOCAL_MONGODB } from './local-mongodb.ts';
import { LOCAL_MYSQL } from './local-mysql.ts';
import { LOCAL_POSTGRES } from './local-postgres.ts';
import type { ServerName } from './names.ts';

const DOCKERFILES = join(import.meta.dirname, '../../../docker/test-images');
const SYSTEM_LIBRARIES = 'lib/x86_64-linux-gnu';

/** Puts what a server needs, but for libraries and the shell, below `root`. @returns the programs that need libraries */
type Fill = (root: string, cache: Cache) => Promise<Programs>;

interface Programs {
  readonly programs: readonly string[];
  /** Where libraries lie that the system has not got. */
  readonly libraries?: string;
  /** The folder that was copied with the libraries in it, which its programs find by themselves. */
  readonly copied?: string;
}

const FILL: Readonly<Record<ServerName, Fill>> = {
  async mongodb(root, cache) {
    const { folder } = await LOCAL_MONGODB.fetch(cache);
    copyFileSync(join(folder, 'bin/mongod'), join(root, 'bin/mongod'));
    mkdirSync(join(root, 'data'));
    return { programs: [join(folder, 'bin/mongod')], libraries: join(folder, 'lib') };
  },

  async dynamodb(root, cache) {
    const { folder } = await LOCAL_DYNAMODB.fetch(cache);
    const java = dirname(dirname(realpathSync((await command('sh', ['-c', 'command -v java'])).trim())));
    cpSync(join(folder, 'lib'), join(root, 'dynamodb'), { recursive: true });
    mkdirSync(join(root, 'java/bin'), { recursive: true });
    copyFileSync(join(java, 'bin/java'), join(root, 'java/bin/java'));
    for (const part of ['lib', 'conf']) {
      cpSync(join(java, part), join(root, 'java', part), {
        recursive: true,
        dereference: true,
        filter: (path) => basename(path) !== 'src.zip' && existsSync(path),
      });
    }
    const libraries = ['lib', 'lib/server'].flatMap((part) =>
      readdirSync(join(java, part)).flatMap((name) => (SERVERLESS.test(name) ? [join(java, part, name)] : [])),
    );
    return { programs: [join(java, 'bin/java'), ...libraries], copied: java };
  },

  async postgres(root, cache) {
    const { folder } = await LOCAL_POSTGRES.fetch(cache);
    cpSync(folder, join(root, 'postgres'), { recursive: true, verbatimSymlinks: true });
    return { programs: ['initdb', 'postgres'].map((name) => join(folder, 'bin', name)), copied: folder };
  },

  async mysql(root, cache) {
    const { folder } = await LOCAL_MYSQL.fetch(cache);
    for (const part of ['sbin/mariadbd', 'share/mysql', 'share/mariadb']) {
      const from = join(folder, 'usr', part);
      if (existsSync(from)) cpSync(from, join(root, 'mariadb', part), { recursive: true, dereference: true });
    }
    return { programs: [join(folder, 'usr/sbin/mariadbd')], libraries: libraryPath(folder) };
  },
};

/** The parts of a Java runtime that draw nothing and play nothing. */
const SERVERLESS = /^lib(?:java|jvm|jli|net|nio|zip|jimage|management|verify|extnet|instrument|prefs)\.so$/;

/** The folder of unpacked Debian packages that holds a shell needing no library. */
export async function busybox(cache: Cache): Promise<string> {
  const { folder } = await cache.get(`busybox-${release()}`, (place) => unpackPackages(['busybox-static'], place));
  return join(folder, 'bin/busybox');
}

/**
 * Builds an image of a server from what the cache holds: nothing is pulled.
 * @returns its tag
 */
export async function buildTestImage(name: ServerName, cache: Cache, workplace: string): Promise<string> {
  const context = mkdtempSync(join(workplace, `image-${name}-`));
  try {
    await fillContext(name, context, cache);
    const { GenericContainer } = await import('testcontainers');
    const tag = `changeover-test/${name}:local`;
    await GenericContainer.fromDockerfile(context).build(tag, { deleteOnExit: false });
    return tag;
  } finally {
    rmSync(context, { recursive: true, force: true });
  }
}

async function fillContext(name: ServerName, context: string, cache: Cache): Promise<void> {
  const root = join(context, 'root');
  for (const part of ['bin', 'tmp', 'etc', 'lib64', SYSTEM_LIBRARIES]) mkdirSync(join(root, part), { recursive: true });
  mkdirSync(join(context, 'data'));
  copyFileSync(join(DOCKERFILES, name, 'Dockerfile'), join(context, 'Dockerfile'));
  const entrypoint = join(DOCKERFILES, name, 'entrypoint.sh');
  if (existsSync(entrypoint)) copyFileSync(entrypoint, join(root, 'entrypoint.sh'));
  writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/tmp:/bin/sh\n');
  const shell = await busybox(cache);
  for (const each of ['sh', 'cat', 'mkdir']) copyFileSync(shell, join(root, 'bin', each));
  await command('chmod', ['1777', join(root, 'tmp')]);
  await copyLibraries(await FILL[name](root, cache), root);
}

const FOUND = /^\s*(?:(\S+) => )?(\/\S+) \(0x/gm;

/** Copies what the loader would load, and the loader. */
async function copyLibraries({ programs, libraries = '', copied }: Programs, root: string): Promise<void> {
  const found = new Map<string, string>();
  for (const program of programs) {
    const listed = await command('ldd', [program], { env: { LD_LIBRARY_PATH: libraries } });
    for (const [, name, path = ''] of listed.matchAll(FOUND)) {
      if (copied === undefined || !path.startsWith(copied)) found.set(name ?? path, path);
    }
  }
  for (const [name, path] of found) {
    const target = name.startsWith('/') ? name : join(SYSTEM_LIBRARIES, name);
    copyFileSync(realpathSync(path), join(root, target));
  }
}

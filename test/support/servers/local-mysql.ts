import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { libraryPath, release, unpackPackages } from './apt.ts';
import { command } from './command.ts';
import { freePort } from './free-port.ts';
import type { LocalServer } from './local-server.ts';
import { makeServerFolder, unprivileged } from './run-folder.ts';
import { secret } from './secret.ts';

/** MariaDB out of the system's own packages, unpacked and not installed. */
export const LOCAL_MYSQL: LocalServer = {
  async fetch(cache) {
    return cache.get(`mariadb-${release()}`, async (folder) => {
      await unpackPackages(['mariadb-server-core'], folder);
    });
  },

  async start({ folder }, keeper) {
    const own = makeServerFolder(keeper.folder, 'mysql');
    const user = unprivileged();
    const base = join(folder, 'usr');
    const env = { LD_LIBRARY_PATH: libraryPath(folder) };
    const common = [
      ...['--no-defaults', `--basedir=${base}`, `--lc-messages-dir=${join(base, 'share/mysql')}`],
      ...[`--datadir=${join(own, 'data')}`, `--tmpdir=${own}`, '--innodb-buffer-pool-size=64M'],
      ...['--innodb-log-file-size=16M', '--innodb-flush-method=nosync', '--performance-schema=OFF'],
    ];
    const program = join(base, 'sbin/mariadbd');
    await command('mkdir', [join(own, 'data')], { ...user });
    await command(program, [...common, '--bootstrap'], { cwd: own, env, input: systemTables(base), ...user });
    const password = secret();
    const users = join(own, 'users.sql');
    writeFileSync(users, usersSql(password), { mode: user === undefined ? 0o600 : 0o644 });
    const port = await freePort();
    const kept = keeper.start({
      name: 'mysql',
      program,
      args: [
        ...[...common, `--init-file=${users}`, '--bind-address=127.0.0.1', `--port=${port}`],
        ...[`--socket=${join(own, 'socket')}`, `--pid-file=${join(own, 'pid')}`, '--skip-name-resolve'],
        ...['--max-connections=300', '--character-set-server=utf8mb4'],
      ],
      env,
      cwd: own,
      log: join(keeper.folder, 'mysql.log'),
      stopSignal: 'SIGKILL',
      ...user,
    });
    return { url: `mysql://tester:${password}@127.0.0.1:${port}/test`, gone: kept.gone };
  },
};

/** What mariadb-install-db would run, without what only people read. */
function systemTables(base: string): string {
  const scripts = ['mysql_system_tables', 'mysql_performance_tables', 'mysql_system_tables_data'];
  return [
    'CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket=NULL;\n',
    ...scripts.map((name) => readFileSync(join(base, 'share/mysql', `${name}.sql`), 'utf8')),
  ].join('\n');
}

/** One user with a password, and none without. */
const usersSql = (password: string): string =>
  [
    "DELETE FROM mysql.global_priv WHERE User <> 'mariadb.sys';",
    'FLUSH PRIVILEGES;',
    `CREATE USER 'tester'@'%' IDENTIFIED BY '${password}';`,
    "GRANT ALL PRIVILEGES ON *.* TO 'tester'@'%' WITH GRANT OPTION;",
    'CREATE DATABASE IF NOT EXISTS test;',
    '',
  ].join('\n');

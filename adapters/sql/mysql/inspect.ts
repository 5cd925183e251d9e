import { StoreFault } from '../../../src/core/errors.ts';
import type { Finding, Inspection } from '../../../src/core/store.ts';
import { info, problem, withUniqueNames } from '../findings.ts';
import type { Layout } from '../layout.ts';
import type { Select } from './describe.ts';
import { errnoOf } from './faults.ts';
import { tableFindings } from './inspect-table.ts';
import { literal, quote } from './literal.ts';

const OLDEST = { mysql: [8, 0], mariadb: [10, 6] } as const;
const SMALL_PACKET = 4 * 2 ** 20;
/** Clocks that differ by less are taken for the same. */
const SAME_CLOCK_MS = 1_000;
const DENIED = new Set([1044, 1142, 1143, 1227, 1370]);

/** What a look at a server and one of its tables finds. Changes nothing. `aheadMs`: of this machine's clock. */
export async function inspectMysql(select: Select, layout: Layout | null, aheadMs: number): Promise<Inspection> {
  const [[version, readOnly, logs, format, packet] = []] = await select(
    'SELECT VERSION(), @@read_only, @@log_bin, @@binlog_format, @@max_allowed_packet',
  );
  const mariadb = /mariadb/i.test(String(version));
  const findings: Finding[] = [
    ...versionFindings(String(version), mariadb),
    ...(Number(readOnly) === 0
      ? []
      : [
          problem(
            'topology',
            'read-only',
            'the server is read-only, as replicas are',
            'name the primary in `connection`',
          ),
        ]),
    ...(Number(logs) === 1 && format === 'STATEMENT'
      ? [
          problem(
            'topology',
            'binlog-format',
            'the binary log is written in statements, with which READ COMMITTED cannot be used',
            "SET GLOBAL binlog_format = 'ROW';",
          ),
        ]
      : []),
    ...(Number(packet) < SMALL_PACKET
      ? [
          info(
            'capacity',
            'max-allowed-packet',
            `the server takes packets of up to ${packet} bytes (max_allowed_packet); larger records are refused`,
          ),
        ]
      : []),
    ...(Math.abs(aheadMs) < SAME_CLOCK_MS
      ? []
      : [
          info(
            'clock',
            'difference',
            `the server's clock is ${Math.abs(Math.round(aheadMs))} ms ${aheadMs > 0 ? 'ahead of' : 'behind'} this machine's; deadlines go by the server's`,
          ),
        ]),
  ];
  if (layout !== null) {
    findings.push(...(await permissionFindings(select, layout)), ...(await tableFindings(select, layout, mariadb)));
  }
  return {
    server: `${mariadb ? 'MariaDB' : 'MySQL'} ${numberOf(String(version))}`,
    findings: withUniqueNames(findings),
  };
}

/** Some servers of MariaDB say 5.5.5 first, for old clients. */
const numberOf = (version: string): string => /^(?:5\.5\.5-)?([\d.]+)/.exec(version)?.[1] ?? version;

function versionFindings(version: string, mariadb: boolean): readonly Finding[] {
  const [major = '0', minor = '0'] = numberOf(version).split('.');
  const [oldest, least] = OLDEST[mariadb ? 'mariadb' : 'mysql'];
  if (Number(major) > oldest || (Number(major) === oldest && Number(minor) >= least)) return [];
  const wanted = `${mariadb ? 'MariaDB' : 'MySQL'} ${oldest}.${least}`;
  return [
    problem('version', 'too-old', `the server is older than ${wanted}`, `upgrade the server to ${wanted} or later`),
  ];
}

/** What the account may do: EXPLAIN asks for the same rights as the statement, whatever roles they come from. */
async function permissionFindings(select: Select, { table, stampTable, names }: Layout): Promise<readonly Finding[]> {
  const columns = names.map(quote).join(', ');
  const [first = ''] = names;
  const name = quote(table);
  const statements: Readonly<Record<string, string>> = {
    SELECT: `EXPLAIN SELECT ${columns} FROM ${name} WHERE FALSE`,
    INSERT: `EXPLAIN INSERT INTO ${name} (${columns}) SELECT ${columns} FROM ${name} WHERE FALSE`,
    UPDATE: `EXPLAIN UPDATE ${name} SET ${quote(first)} = ${quote(first)} WHERE FALSE`,
    DELETE: `EXPLAIN DELETE FROM ${name} WHERE FALSE`,
  };
  const [[there, user, database] = []] = await select(
    `SELECT EXISTS (SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ${literal(stampTable)}), CURRENT_USER(), DATABASE()`,
  );
  const grant = (right: string, target: string): string =>
    `GRANT ${right} ON ${quote(String(database))}.${target} TO '${String(user).replace('@', "'@'")}';`;
  const findings: Finding[] = [];
  for (const [right, sql] of Object.entries(statements)) {
    if (await denied(select, sql)) {
      const message = `the account may not ${right} in "${table}"`;
      findings.push(problem('permission', right.toLowerCase(), message, grant(right, name)));
    }
  }
  if (Number(there) !== 1 && !(await mayCreate(select, String(database)))) {
    const message = `the account may not create the stamp table "${stampTable}"`;
    findings.push(
      problem(
        'permission',
        'create',
        message,
        grant('CREATE, SELECT, INSERT, UPDATE, DELETE, DROP', quote(stampTable)),
      ),
    );
  }
  return findings;
}

async function denied(select: Select, sql: string): Promise<boolean> {
  try {
    await select(sql);
    return false;
  } catch (error) {
    const errno = error instanceof StoreFault ? errnoOf(error.cause) : null;
    if (errno === null) throw error;
    // Whatever else is said against the statement, the account was asked for first.
    return DENIED.has(errno);
  }
}

const GRANT = /^GRANT (.+?) ON (\S+)\.(\S+) TO /;

/** Whether tables may be created, as far as grants say it; roles are given the benefit of the doubt. */
async function mayCreate(select: Select, database: string): Promise<boolean> {
  const grants = (await select('SHOW GRANTS')).map(([grant]) => String(grant));
  return grants.some((grant) => {
    const [, rights = '', schema = ''] = GRANT.exec(grant) ?? [];
    if (rights === '') return true;
    const covers = schema === '*' || likeToRegExp(schema.replaceAll('`', '')).test(database);
    return covers && /(?:^|, )(?:ALL PRIVILEGES|CREATE)(?:,|$)/.test(rights);
  });
}

/** Names of databases in grants are patterns. */
function likeToRegExp(pattern: string): RegExp {
  const source = pattern.replace(/\\(.)|%|_|[\^$.*+?()[\]{}|]/g, (mark, escaped: string | undefined) => {
    if (escaped !== undefined) return `[${escaped}]`;
    return mark === '%' ? '.*' : mark === '_' ? '.' : `\\${mark}`;
  });
  return new RegExp(`^${source}$`, 'i');
}

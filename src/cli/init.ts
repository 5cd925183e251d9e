import { existsSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { InvalidArgument } from '../core/errors.ts';
import { EXIT } from './exit-code.ts';
import { CONFIG_NAMES } from './load-config.ts';
import { didYouMean } from './nearest.ts';
import { DRY_RUN, examples, type Registration } from './registration.ts';

const STORES = ['sqlite', 'postgres', 'mysql', 'mongodb', 'dynamodb', 'memory'] as const;
type StoreName = (typeof STORES)[number];

interface InitOptions {
  readonly old: string;
  readonly new: string;
  readonly dryRun?: true;
}

/** One store in a configuration: the entry point that it comes from, and its definition. */
interface StoreText {
  readonly entry: 'sql' | 'mongodb' | 'dynamodb' | 'memory';
  readonly define: (side: string) => string;
}

const server = (client: string, url: string): StoreText => ({
  entry: 'sql',
  define: (side) => `sql({
        client: '${client}',
        connection: process.env.${side.toUpperCase()}_URL ?? '${url}/${side}',
        table: 'events', // your own table; no column is ever added to it
        // document: 'body', // the JSON column of all fields that have no column of their own, if there is one
      })`,
});

const STORE_TEXTS: Readonly<Record<StoreName, StoreText>> = {
  sqlite: {
    entry: 'sql',
    define: (side) => `sql({
        client: 'better-sqlite3',
        connection: 'sqlite:${side}.db',
        table: 'events', // your own table; no column is ever added to it
        document: 'body', // the JSON column of all fields that have no column of their own, if there is one
      })`,
  },
  postgres: server('pg', 'postgres://user@localhost:5432'),
  mysql: server('mysql2', 'mysql://user@localhost:3306'),
  mongodb: {
    entry: 'mongodb',
    define: (side) => `mongodb({
        url: process.env.${side.toUpperCase()}_URL ?? 'mongodb://localhost:27017/${side}',
        collection: 'events',
        id: 'id', // the field of the key that is the _id; other fields of the key stand beside it
      })`,
  },
  dynamodb: {
    entry: 'dynamodb',
    define: (side) => `dynamodb({
        table: '${side === 'old' ? 'events' : 'events_new'}',
        partitionKey: 'userKey',
        sortKey: 'id',
        // endpoint: 'http://localhost:8000', // region and credentials are found as the AWS SDK finds them
      })`,
  },
  memory: { entry: 'memory', define: () => 'memory()' },
};

function template(old: StoreName, fresh: StoreName): string {
  const entries = [...new Set([STORE_TEXTS[old].entry, STORE_TEXTS[fresh].entry])].sort();
  const imports = entries.map((name) => `import { ${name} } from 'changeover/${name}';`);
  return `import { defineConfig, migration } from 'changeover';
${imports.join('\n')}

/** One record, as your services see it. */
interface Event {
  userKey: string;
  id: string;
}

export default defineConfig({
  // Where dials, history and the fleet are kept. A path counts from the folder that the process runs in; the command
  // line runs in the folder of this file. All services and the command line must name the same one.
  control: 'sqlite:.changeover/control.db',
  migrations: {
    events: migration<Event>({
      // The fields that name a record.
      key: ['userKey', 'id'],
      // The field or fields of the key that percentages are shares of: all records of a unit move together.
      unit: 'userKey',
      old: ${STORE_TEXTS[old].define('old')},
      new: ${STORE_TEXTS[fresh].define('new')},
      // schema: any Standard Schema; codecs: how a store holds a record; compare: what counts as equal;
      // showValues: true shows the values of divergent fields, which are masked otherwise.
    }),
  },
});
`;
}

/** @throws InvalidArgument */
function parseStore(option: string, text: string): StoreName {
  // The entry point's name, of the one database behind it that needs no server.
  const name = text === 'sql' ? 'sqlite' : STORES.find((known) => known === text);
  if (name !== undefined) return name;
  throw new InvalidArgument(`${option} cannot be "${text}"`, {
    expected: STORES.join(', '),
    ...didYouMean(text, STORES),
  });
}

/** Whether Node takes a `.ts` file here for CommonJS, which a configuration is not: `npm init` says so these days. */
function isCommonJs(folder: string): boolean {
  const manifest = join(folder, 'package.json');
  if (existsSync(manifest)) return /"type"\s*:\s*"commonjs"/.test(readFileSync(manifest, 'utf8'));
  return dirname(folder) !== folder && isCommonJs(dirname(folder));
}

/** `changeover init`: a configuration to begin with. */
export const initCommand: Registration = (program, run) => {
  program
    .command('init')
    .description('write a commented changeover.config.ts (.mts where the package is CommonJS)')
    .option('--old <store>', STORES.join(', '), 'sqlite')
    .option('--new <store>', STORES.join(', '), 'dynamodb')
    .option(...DRY_RUN)
    .addHelpText('after', examples('changeover init --old mongodb --new dynamodb'))
    .action(
      run(async ({ terminal, folder }, options: InitOptions) => {
        const text = template(parseStore('--old', options.old), parseStore('--new', options.new));
        const found = CONFIG_NAMES.find((name) => existsSync(join(folder, name)));
        if (found !== undefined) {
          throw new InvalidArgument(`there is a ${found} here already; nothing changed`, {
            expected: 'a folder without a configuration',
          });
        }
        const path = join(folder, isCommonJs(folder) ? CONFIG_NAMES[1] : CONFIG_NAMES[0]);
        const dryRun = options.dryRun === true;
        if (!dryRun) await writeFile(path, text, { flag: 'wx' });
        terminal.say(dryRun ? text.trimEnd() : `wrote ${path}`);
        if (!dryRun) terminal.say('next: describe your records and stores in it, then changeover prepare --dry-run');
        return { code: EXIT.done, data: { path, dryRun } };
      }),
    );
};

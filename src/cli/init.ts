import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { InvalidArgument } from '../core/errors.ts';
import { EXIT } from './exit-code.ts';
import { CONFIG_NAMES } from './load-config.ts';
import { didYouMean } from './nearest.ts';
import { DRY_RUN, examples, type Registration } from './registration.ts';

const STORES = ['sql', 'dynamodb', 'memory'] as const;
type StoreName = (typeof STORES)[number];

interface InitOptions {
  readonly old: string;
  readonly new: string;
  readonly dryRun?: true;
}

/** What each store looks like in a configuration. */
const DEFINITIONS: Readonly<Record<StoreName, (side: string) => string>> = {
  sql: (side) => `sql({
        client: 'better-sqlite3',
        connection: 'sqlite:${side}.db',
        table: 'events', // your own table; no column is ever added to it
        document: 'body', // the JSON column of all fields that have no column of their own, if there is one
      })`,
  dynamodb: () => `dynamodb({
        table: 'events',
        partitionKey: 'userKey',
        sortKey: 'id',
        // endpoint: 'http://localhost:8000', // region and credentials are found as the AWS SDK finds them
      })`,
  memory: () => 'memory()',
};

function template(old: StoreName, fresh: StoreName): string {
  const imports = [...new Set([old, fresh])].sort().map((name) => `import { ${name} } from 'changeover/${name}';`);
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
      old: ${DEFINITIONS[old]('old')},
      new: ${DEFINITIONS[fresh]('new')},
      // schema: any Standard Schema; codecs: how a store holds a record; compare: what counts as equal;
      // showValues: true shows the values of divergent fields, which are masked otherwise.
    }),
  },
});
`;
}

/** @throws InvalidArgument */
function parseStore(option: string, text: string): StoreName {
  const name = STORES.find((known) => known === text);
  if (name !== undefined) return name;
  throw new InvalidArgument(`${option} cannot be "${text}"`, {
    expected: STORES.join(', '),
    ...didYouMean(text, STORES),
  });
}

/** `changeover init`: a configuration to begin with. */
export const initCommand: Registration = (program, run) => {
  program
    .command('init')
    .description('write a commented changeover.config.ts')
    .option('--old <store>', STORES.join(', '), 'sql')
    .option('--new <store>', STORES.join(', '), 'dynamodb')
    .option(...DRY_RUN)
    .addHelpText('after', examples('changeover init --old sql --new dynamodb'))
    .action(
      run(async ({ terminal, folder }, options: InitOptions) => {
        const text = template(parseStore('--old', options.old), parseStore('--new', options.new));
        const found = CONFIG_NAMES.find((name) => existsSync(join(folder, name)));
        if (found !== undefined) {
          throw new InvalidArgument(`there is a ${found} here already; nothing changed`, {
            expected: 'a folder without a configuration',
          });
        }
        const path = join(folder, CONFIG_NAMES[0]);
        const dryRun = options.dryRun === true;
        if (!dryRun) await writeFile(path, text, { flag: 'wx' });
        terminal.say(dryRun ? text.trimEnd() : `wrote ${path}`);
        if (!dryRun) terminal.say('next: describe your records and stores in it, then changeover prepare --dry-run');
        return { code: EXIT.done, data: { path, dryRun } };
      }),
    );
};

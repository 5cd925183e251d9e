import type { ResolvedOptions } from './options.ts';

const PLAIN = /^[\w./:=,@-]+$/;

/** A word of a shell command. */
const quoted = (word: string): string => (PLAIN.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`);

/** A command line of the AWS CLI for the table, to be pasted; its words are quoted, the place of the table is in it. */
export function awsCommand(options: ResolvedOptions, action: string, words: readonly string[] = []): string {
  const { region, endpoint } = options;
  const place = [
    ...(region === null ? [] : ['--region', region]),
    ...(endpoint === null ? [] : ['--endpoint-url', endpoint]),
  ];
  const all = ['--table-name', options.table, ...words, ...place];
  return `aws dynamodb ${action} ${all.map(quoted).join(' ')}`;
}

/** The command that creates the table as `prepare` would. */
export function createTable(options: ResolvedOptions): string {
  const named = (field: string): string => options.attributes[field] ?? field;
  const types = options.createTable ?? { partitionKeyType: 'S', sortKeyType: 'S' };
  const keys = [
    { name: named(options.partitionKey), type: types.partitionKeyType, role: 'HASH' },
    ...(options.sortKey === null ? [] : [{ name: named(options.sortKey), type: types.sortKeyType, role: 'RANGE' }]),
  ];
  return awsCommand(options, 'create-table', [
    '--attribute-definitions',
    ...keys.map(({ name, type }) => `AttributeName=${name},AttributeType=${type}`),
    '--key-schema',
    ...keys.map(({ name, role }) => `AttributeName=${name},KeyType=${role}`),
    '--billing-mode',
    'PAY_PER_REQUEST',
  ]);
}

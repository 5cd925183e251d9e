/** The database servers that tests use, and how each is named in the environment. */
export type ServerName = 'mongodb' | 'dynamodb' | 'postgres' | 'mysql';

const VARIABLE: Readonly<Record<ServerName, string>> = {
  mongodb: 'CHANGEOVER_TEST_MONGODB_URL',
  dynamodb: 'CHANGEOVER_TEST_DYNAMODB_URL',
  postgres: 'CHANGEOVER_TEST_POSTGRES_URL',
  mysql: 'CHANGEOVER_TEST_MYSQL_URL',
};

/** Where a server is, or why there is none. */
export type TestServer =
  | { readonly url: string; readonly missing?: never }
  | { readonly url?: never; readonly missing: string };

export function testServer(name: ServerName): TestServer {
  const url = process.env[VARIABLE[name]];
  return url === undefined ? { missing: `no ${name} server: set ${VARIABLE[name]}` } : { url };
}

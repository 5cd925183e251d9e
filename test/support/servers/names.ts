/** The database servers that tests use. */
export type ServerName = 'mongodb' | 'dynamodb' | 'postgres' | 'mysql';

export const SERVER_NAMES: readonly ServerName[] = ['mongodb', 'dynamodb', 'postgres', 'mysql'];

/** Where a server is, or why there is none. */
export type TestServer =
  | { readonly url: string; readonly missing?: never }
  | { readonly url?: never; readonly missing: string };

/** What the run found, and why it cannot begin if so; handed from the global set-up to tests and reporters. */
export interface FoundServers {
  /** Servers that no selected test file asks for are not here. */
  readonly servers: Readonly<Partial<Record<ServerName, TestServer>>>;
  /** Which test file asks for which servers. */
  readonly needs: Readonly<Record<string, readonly ServerName[]>>;
  /** One line a server that was demanded or named, and is not to be had. */
  readonly problems: readonly string[];
}

declare module 'vitest' {
  export interface ProvidedContext {
    foundServers: FoundServers;
  }
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** The variable that names a server that runs already. */
export const urlVariable = (name: ServerName): string => `CHANGEOVER_TEST_${name.toUpperCase()}_URL`;

/** The variable that names another image than the pinned one. */
export const imageVariable = (name: ServerName): string => `CHANGEOVER_TEST_${name.toUpperCase()}_IMAGE`;

/** Servers without which the run fails, separated by commas. */
export const REQUIRE_VARIABLE = 'CHANGEOVER_TEST_REQUIRE';

/** How every reason begins: titles of skipped tests carry it, and the closing line finds it there. */
export const noServer = (name: ServerName, why: string): string => `no ${name} server: ${why}`;

/** What the console's tests drive: no server, but wanted, demanded and missed as one. */
export const BROWSER = 'chromium';
export const NO_BROWSER = `no ${BROWSER}`;

/** What reads the OpenAPI document from outside: not demanded, as not every machine has Python. */
export const NO_SCHEMATHESIS = 'no schemathesis';

const required = (environment: Environment): readonly string[] =>
  (environment[REQUIRE_VARIABLE] ?? '')
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');

export const demandsBrowser = (environment: Environment): boolean => required(environment).includes(BROWSER);

/** @throws if it names something else */
export function requiredServers(environment: Environment): readonly ServerName[] {
  return required(environment)
    .filter((name) => name !== BROWSER)
    .map((name) => {
      const known = SERVER_NAMES.find((each) => each === name);
      if (known !== undefined) return known;
      throw new Error(`${REQUIRE_VARIABLE} names "${name}"; there are ${[...SERVER_NAMES, BROWSER].join(', ')}`);
    });
}

/** What an error says, on one line, with no password that a URL may carry. */
export function because(error: unknown): string {
  const inner = error instanceof AggregateError ? error.errors[0] : error;
  const text = inner instanceof Error ? inner.message : String(inner);
  return text
    .replace(/\/\/[^/@\s]*@/g, '//')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .slice(0, 3)
    .join(' / ')
    .slice(0, 400);
}

import { InvalidConfiguration } from './errors.ts';

/** What people may be; processes have tokens. Each may do what those before it may. */
export const PERSON_ROLES = ['viewer', 'operator', 'admin'] as const;
export type PersonRole = (typeof PERSON_ROLES)[number];

/** What somebody who signed in may do; `migrations` null is all. */
export interface Grant {
  readonly role: PersonRole;
  readonly migrations: readonly string[] | null;
}

/** How people sign in at the server by OpenID Connect. */
export interface OidcOptions {
  /** The identity provider: `https://login.example.com/realms/ops`. Plain http only on this host. */
  readonly issuer: string;
  readonly clientId: string;
  /** Best from the environment. @default none: a public client, which PKCE protects alone */
  readonly clientSecret?: string | undefined;
  /**
   * The address of the server as browsers see it. The provider must know `<url>/api/v1/session/oidc/callback` as an
   * address to go back to. Never taken from a request: whoever sends one would choose it.
   */
  readonly url: string;
  /** What the console calls the provider. @default the issuer's host */
  readonly name?: string;
  /** What is asked for besides `openid`. @default ['email', 'profile'] */
  readonly scopes?: readonly string[];
  /** The claim that decides, a text or a list; a path with dots where the claims nest. @default 'groups' */
  readonly claim?: string;
  /**
   * Who may do what, by the values of the claim; `*` is everybody. Of several the highest role counts, for all migrations
   * that it is given for. Who has none does not get in.
   */
  readonly roles: Readonly<
    Record<string, PersonRole | { readonly role: PersonRole; readonly migrations: readonly string[] }>
  >;
}

/** Checked, and with what was left out. */
export interface Oidc {
  readonly issuer: string;
  readonly clientId: string;
  readonly clientSecret: string | null;
  readonly url: string;
  readonly name: string;
  readonly scopes: readonly string[];
  readonly claim: string;
  readonly roles: Readonly<Record<string, Grant>>;
}

/** What a provider says of who signed in. */
export type Claims = Readonly<Record<string, unknown>>;

const LONGEST_NAME = 200;
const EVERYBODY = '*';

const isText = (value: unknown): value is string => typeof value === 'string' && value.trim() !== '';

const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '[::1]' || /^127(?:\.\d+){3}$/.test(host);

function addressOf(value: unknown, what: string): URL {
  const address = isText(value) ? URL.parse(value) : null;
  const safe = address?.protocol === 'https:' || (address?.protocol === 'http:' && isLoopback(address.hostname));
  if (address !== null && safe && address.username === '' && address.search === '' && address.hash === '')
    return address;
  throw new InvalidConfiguration(`oidc: the ${what} is no address that secrets may go to`, {
    expected: `${what}: 'https://…' without a question mark; plain http only on this host`,
  });
}

/** @throws InvalidConfiguration says what is wrong and what was expected */
export function checkedOidc(options: OidcOptions): Oidc {
  const refuse = (what: string, expected: string): never => {
    throw new InvalidConfiguration(`oidc: ${what}`, { expected });
  };
  const { issuer, clientId, clientSecret, url, name, scopes = ['email', 'profile'], claim = 'groups', roles } = options;
  const at = addressOf(issuer, 'issuer');
  const own = addressOf(url, 'url');
  if (!isText(clientId)) refuse('there is no client id', 'clientId, as the provider knows this server');
  if (clientSecret !== undefined && !isText(clientSecret)) {
    refuse('the client secret is none', 'clientSecret: process.env.CHANGEOVER_OIDC_SECRET, and that one set');
  }
  if (!isText(claim)) refuse('the claim has no name', "claim: 'groups'");
  if (!Array.isArray(scopes) || !scopes.every((scope) => isText(scope) && !/\s/.test(scope))) {
    refuse('the scopes are none', "scopes: ['email', 'groups']");
  }
  const grants = Object.entries(roles ?? {}).map(([value, grant]): [string, Grant] => {
    const { role, migrations } = typeof grant === 'string' ? { role: grant, migrations: null } : (grant ?? {});
    const named =
      migrations === null || (Array.isArray(migrations) && migrations.length > 0 && migrations.every(isText));
    if (!PERSON_ROLES.includes(role) || !named) {
      refuse(`the role of "${value}" is none`, `${PERSON_ROLES.join(', ')}, or { role, migrations: ['…'] }`);
    }
    return [value, { role, migrations }];
  });
  if (grants.length === 0) refuse('nobody gets a role', "roles: { dba: 'admin', '*': 'viewer' }");
  return Object.freeze({
    issuer: at.href,
    clientId,
    clientSecret: clientSecret ?? null,
    url: own.href.replace(/\/+$/, ''),
    name: isText(name) ? name : at.host,
    scopes: [...new Set(['openid', ...scopes])],
    claim,
    roles: Object.freeze(Object.fromEntries(grants)),
  });
}

const own = (claims: unknown, name: string): unknown =>
  typeof claims === 'object' && claims !== null && Object.hasOwn(claims, name)
    ? (claims as Record<string, unknown>)[name]
    : undefined;

/** The claim of that very name (some are addresses, with dots), else the one at the path. */
export const claimAt = (claims: Claims, name: string): unknown =>
  own(claims, name) ?? name.split('.').reduce<unknown>((at, part) => own(at, part), claims);

/** What the claims allow; null is nothing at all. */
export function grantOf(claims: Claims, { claim, roles }: Pick<Oidc, 'claim' | 'roles'>): Grant | null {
  const found = claimAt(claims, claim);
  const values = [EVERYBODY, ...(Array.isArray(found) ? found : [found])];
  let best: Grant | null = null;
  for (const value of values) {
    // `*` is everybody, and nobody's group.
    if (typeof value !== 'string' || !Object.hasOwn(roles, value) || (value === EVERYBODY && value !== values[0]))
      continue;
    best = higher(best, roles[value] as Grant);
  }
  return best;
}

function higher(one: Grant | null, other: Grant): Grant {
  if (one === null) return other;
  const by = PERSON_ROLES.indexOf(other.role) - PERSON_ROLES.indexOf(one.role);
  if (by !== 0) return by > 0 ? other : one;
  const { role } = one;
  if (one.migrations === null || other.migrations === null) return { role, migrations: null };
  return { role, migrations: [...new Set([...one.migrations, ...other.migrations])] };
}

/**
 * What the history calls somebody: the e-mail address, if the provider has verified it, else the subject and whose it
 * is. Null where that is no text.
 */
export function personOf(claims: Claims, { name }: Pick<Oidc, 'name'>): string | null {
  const { email, email_verified: verified, sub } = claims;
  const said = isText(email) && verified === true ? email : isText(sub) ? `${sub} of ${name}` : null;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they must not get into the history
  return said?.replace(/[\u0000-\u001f\u007f-\u009f]/g, ' ').slice(0, LONGEST_NAME) ?? null;
}

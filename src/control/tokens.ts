import { InvalidArgument } from '../core/errors.ts';
import { migrationRow } from './facts.ts';
import type { Role, TokenRow, Transaction } from './storage.ts';

/** A token as people may see it: without its hash. */
export type TokenInfo = Omit<TokenRow, 'hash'>;

export interface NewToken {
  readonly name: string;
  /** SHA-256 of the secret, hex; whoever creates the token has made the secret and shows it once. */
  readonly hash: string;
  readonly role: Role;
  readonly migrations: readonly string[] | null;
  readonly expiresAt: number | null;
  readonly createdBy: string;
}

const withoutHash = ({ hash: _, ...info }: TokenRow): TokenInfo => info;

export async function createToken(tx: Transaction, token: NewToken, now: number): Promise<TokenInfo> {
  const { migrations } = token;
  for (const name of migrations ?? []) await migrationRow(tx, name);
  const twins = await tx.select('tokens', { kind: 'token', name: token.name });
  if (twins.some((twin) => isUsable(twin, now))) {
    throw new InvalidArgument(`there is a token named "${token.name}" already`, {
      expected: 'a name of its own: it stands in the history for whoever used it',
      remedy: 'choose another name, or revoke the present one first',
    });
  }
  return insert(tx, { ...token, kind: 'token', parent: null, createdAt: now });
}

/** A session of the console: a short-lived token of the same rights, which ends with the one that signed in. */
export async function createSession(
  tx: Transaction,
  parent: number,
  hash: string,
  lifeMs: number,
  now: number,
): Promise<TokenInfo> {
  const [token] = await tx.select('tokens', { id: parent, kind: 'token' });
  if (token === undefined || !isUsable(token, now)) throw new InvalidArgument('only a valid token can sign in');
  await tx.remove('tokens', { kind: 'session', expiresAt: { lt: now } });
  const { name, role, migrations } = token;
  const expiresAt = Math.min(now + lifeMs, token.expiresAt ?? Number.MAX_SAFE_INTEGER);
  const session = { name, hash, role, migrations, expiresAt, createdBy: name };
  return insert(tx, { ...session, kind: 'session', parent, createdAt: now });
}

/** A session of somebody whom an identity provider knows: it hangs on no token, and ends by itself or by its id. */
export async function createPersonSession(
  tx: Transaction,
  person: Omit<NewToken, 'expiresAt'>,
  lifeMs: number,
  now: number,
): Promise<TokenInfo> {
  await tx.remove('tokens', { kind: 'session', expiresAt: { lt: now } });
  return insert(tx, { ...person, kind: 'session', parent: null, expiresAt: now + lifeMs, createdAt: now });
}

async function insert(
  tx: Transaction,
  token: NewToken & Pick<TokenRow, 'kind' | 'parent' | 'createdAt'>,
): Promise<TokenInfo> {
  const migrations = token.migrations === null ? null : [...token.migrations];
  const row: TokenRow = { ...token, migrations, id: 0, revokedAt: null, usedAt: null, usedFrom: null };
  return withoutHash({ ...row, id: await tx.insert('tokens', row) });
}

export const isUsable = ({ revokedAt, expiresAt }: Pick<TokenRow, 'revokedAt' | 'expiresAt'>, now: number): boolean =>
  revokedAt === null && (expiresAt === null || expiresAt > now);

/** The token of an id with its hash, whatever became of it; a session counts as revoked when its token is. */
export async function tokenRow(tx: Transaction, id: number): Promise<TokenRow | null> {
  const [row] = await tx.select('tokens', { id });
  if (row === undefined) return null;
  if (row.parent === null) return row;
  const [parent] = await tx.select('tokens', { id: row.parent });
  return { ...row, revokedAt: row.revokedAt ?? (parent === undefined ? 0 : parent.revokedAt) };
}

/** All tokens, newest first, and sessions that hang on none; those that a token opened end with it. */
export async function tokens(tx: Transaction): Promise<readonly TokenInfo[]> {
  return (await tx.select('tokens', { parent: null }, { orderBy: 'id', descending: true })).map(withoutHash);
}

/** From now on nobody gets in with it, nor with a session that it opened. @returns null where there is none */
export async function revokeToken(tx: Transaction, id: number, now: number): Promise<TokenInfo | null> {
  const [row] = await tx.select('tokens', { id });
  if (row === undefined) return null;
  const revokedAt = row.revokedAt ?? now;
  await tx.update('tokens', { id }, { revokedAt });
  return withoutHash({ ...row, revokedAt });
}

/** The migrations that a process has open, or that a replay is about: what a token's scope is held against. */
export async function migrationsOf(
  tx: Transaction,
  what: { readonly incarnation: number } | { readonly replay: number },
): Promise<readonly string[]> {
  if ('replay' in what) return (await tx.select('replays', { id: what.replay })).map((row) => row.migration);
  return (await tx.select('acknowledgements', { node: what.incarnation })).map((row) => row.migration);
}

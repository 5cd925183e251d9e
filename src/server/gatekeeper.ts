import type { FastifyRequest } from 'fastify';
import type { ControlPlaneApi, FleetRow } from '../control/control-plane.ts';
import { ROLES, type Role, type TokenRow } from '../control/storage.ts';
import { isUsable } from '../control/tokens.ts';
import type { Clock } from '../core/clock.ts';
import { Forbidden, Unauthenticated } from '../core/errors.ts';
import { RateLimit } from './rate-limit.ts';
import { hashOf, parseToken, sameHash, type TokenText } from './token-text.ts';

/** Who sent a request. */
export interface Caller {
  readonly id: number;
  readonly name: string;
  readonly role: Role;
  /** Only these; null is all. */
  readonly migrations: readonly string[] | null;
  readonly kind: TokenRow['kind'];
  readonly expiresAt: number | null;
  /** The remote address. */
  readonly from: string;
  /** The text that it came with: to look again while a stream is open. */
  readonly token: TokenText;
}

export interface RateLimits {
  /** Requests a second by one token, and how many at once. A fleet that shares a token counts together. */
  readonly perSecond: number;
  readonly burst: number;
}

export const SESSION_COOKIE = 'changeover_session';
/** Proves that a write came from a page of this origin: no other can set it without asking first. */
export const ORIGIN_HEADER = 'x-changeover';

/** A revoked token gets in for at most this long. */
const CACHE_MS = 1_000;
const MOST_CACHED = 10_000;
/** The last use is written down no more often than this. */
const TOUCH_MS = 60_000;
/** Wrong tokens from one address: so many at once, then so many a second. */
const WRONG: RateLimits = { perSecond: 1, burst: 20 };

const SAFE = new Set(['GET', 'HEAD', 'OPTIONS']);

export const mayAct = (role: Role, needed: Role): boolean => ROLES.indexOf(role) >= ROLES.indexOf(needed);

/** Lets in who has a valid token, by its role and for its migrations. */
export class Gatekeeper {
  readonly #plane: ControlPlaneApi;
  readonly #clock: Clock;
  readonly #limit: RateLimit;
  readonly #wrong: RateLimit;
  readonly #cache = new Map<string, { readonly row: TokenRow; readonly until: number }>();
  readonly #touched = new Map<number, number>();

  constructor(plane: ControlPlaneApi, clock: Clock, limits: RateLimits) {
    this.#plane = plane;
    this.#clock = clock;
    this.#limit = new RateLimit(clock, limits.perSecond, limits.burst);
    this.#wrong = new RateLimit(clock, WRONG.perSecond, WRONG.burst);
  }

  /** @throws Unauthenticated, RateLimited, Forbidden (a session's write without its header) */
  async identify(request: FastifyRequest): Promise<Caller> {
    const { authorization, cookie } = request.headers;
    const bearer = authorization === undefined ? null : (/^Bearer +(\S+) *$/i.exec(authorization)?.[1] ?? '');
    const session = bearer === null ? cookieOf(cookie) : null;
    const text = bearer ?? session;
    if (text === null) {
      throw new Unauthenticated('this needs a token', { remedy: 'send it as Authorization: Bearer …' });
    }
    const caller = await this.admit(text, request.ip);
    if ((caller.kind === 'session') !== (session !== null)) throw unknownToken();
    if (session !== null && !SAFE.has(request.method) && request.headers[ORIGIN_HEADER] === undefined) {
      throw new Forbidden(`a write of a session needs the header ${ORIGIN_HEADER}`);
    }
    return caller;
  }

  /** Who a token's text belongs to: of a request, or of somebody who signs in with it. @throws Unauthenticated, RateLimited */
  async admit(text: string, from: string): Promise<Caller> {
    const token = parseToken(text);
    const row = token === null ? null : await this.#rowOf(token, from);
    if (token === null || row === null || !isUsable(row, this.#clock.now())) {
      this.#wrong.take(from);
      throw unknownToken();
    }
    this.#limit.take(String(row.id));
    this.#touch(row.id, from);
    const { id, name, role, migrations, kind, expiresAt } = row;
    return { id, name, role, migrations, kind, expiresAt, from, token };
  }

  /** Whether a caller who was let in still would be. */
  async stillValid({ token, from }: Caller): Promise<boolean> {
    const row = await this.#rowOf(token, from);
    return row !== null && isUsable(row, this.#clock.now());
  }

  async #rowOf(token: TokenText, from: string): Promise<TokenRow | null> {
    const now = this.#clock.monotonic();
    const key = `${token.id}:${hashOf(token.secret)}`;
    const known = this.#cache.get(key);
    if (known !== undefined && known.until > now) return known.row;
    // Before anybody is asked: who guesses must not keep the control plane busy. A token that was good shortly before
    // is no guess, though somebody behind the same address may be guessing.
    if (known === undefined) this.#wrong.check(from);
    const row = await this.#plane.tokenRow(token.id);
    if (row === null || !sameHash(token.secret, row.hash)) return null;
    if (this.#cache.size >= MOST_CACHED) this.#cache.clear();
    this.#cache.set(key, { row, until: now + CACHE_MS });
    return row;
  }

  #touch(id: number, from: string): void {
    const now = this.#clock.monotonic();
    const last = this.#touched.get(id);
    if (last !== undefined && now - last < TOUCH_MS) return;
    if (this.#touched.size >= MOST_CACHED) this.#touched.clear();
    this.#touched.set(id, now);
    // For people to see what is unused; nobody waits for it.
    this.#plane.touchToken(id, from).catch(() => this.#touched.delete(id));
  }
}

const unknownToken = (): Unauthenticated =>
  new Unauthenticated('this token is unknown, expired or revoked', { remedy: 'changeover token list' });

function cookieOf(header: string | undefined): string | null {
  for (const pair of (header ?? '').split(';')) {
    const at = pair.indexOf('=');
    if (at > 0 && pair.slice(0, at).trim() === SESSION_COOKIE) return pair.slice(at + 1).trim();
  }
  return null;
}

/** @throws Forbidden names the role that is needed */
export function demandRole(caller: Caller, needed: Role): void {
  if (mayAct(caller.role, needed)) return;
  throw new Forbidden(`the role ${caller.role} may not do this`, {
    expected: `a token of the role ${ROLES.slice(ROLES.indexOf(needed)).join(' or ')}`,
  });
}

export const covers = (caller: Caller, migration: string): boolean => caller.migrations?.includes(migration) ?? true;

/** What a token for some migrations gets to see of a process: nothing of the others that it has open. */
export function partOf({ node, acknowledged }: FleetRow, covered: (migration: string) => boolean): FleetRow {
  const its = (all: Readonly<Record<string, number>>): Readonly<Record<string, number>> =>
    Object.fromEntries(Object.entries(all).filter(([name]) => covered(name)));
  const { health } = node;
  const seen = health?.mirrorQueues === undefined ? health : { ...health, mirrorQueues: its(health.mirrorQueues) };
  // Whoever knows a session registers in the place of all that it has open.
  return { node: { ...node, session: '', health: seen }, acknowledged: its(acknowledged) };
}

/** @throws Forbidden for a migration that the token is not for */
export function demandScope(caller: Caller, migrations: readonly string[]): void {
  const beyond = migrations.find((name) => !covers(caller, name));
  if (beyond === undefined) return;
  throw new Forbidden(`this token is not for the migration ${beyond}`, {
    expected: `one of ${caller.migrations?.join(', ')}`,
  });
}

/** @throws Forbidden for a token that is for some migrations only */
export function demandEverything({ migrations }: Caller): void {
  if (migrations === null) return;
  throw new Forbidden(`this token is only for ${migrations.join(', ')}`, { expected: 'a token for all migrations' });
}

/** The actor of the history: the token's name, from where, and on whose behalf where the token says somebody else. */
export function actorOf({ name, from }: Caller, claimed?: string): string {
  const behalf = claimed === undefined || claimed.trim() === '' || claimed === name ? '' : ` for ${claimed}`;
  return `${name}${behalf} (${from})`;
}

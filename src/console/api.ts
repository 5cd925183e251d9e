import { signal } from '@preact/signals';
import type { Problem, Role, SessionInfo } from '../server/api-types.ts';

/** What the server refused, with its code, its gates and what mends it. */
export class Refusal extends Error {
  readonly problem: Problem;
  constructor(problem: Problem) {
    super(problem.detail);
    this.problem = problem;
  }
}

/** The server did not answer at all. */
export class Unreachable extends Error {
  constructor(cause: unknown) {
    super('the server does not answer', { cause });
  }
}

/** Who is signed in; null nobody, undefined not known yet. */
export const session = signal<SessionInfo | null | undefined>(undefined);

/** Without it no write of a session is taken: pages of other origins cannot send it. */
const ORIGIN_HEADER = { 'x-changeover': 'console' } as const;

export interface Request {
  readonly method?: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  readonly body?: unknown;
  readonly signal?: AbortSignal;
}

/** Asks the API. @throws Refusal, Unreachable, or the signal's reason */
export async function ask<T>(path: string, { method, body, signal: stop }: Request = {}): Promise<T> {
  const response = await send(path, {
    method: method ?? (body === undefined ? 'GET' : 'POST'),
    headers: { ...ORIGIN_HEADER, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    ...(stop === undefined ? {} : { signal: stop }),
  });
  const text = await response.text();
  if (response.ok) return (text === '' ? undefined : JSON.parse(text)) as T;
  throw refusalOf(response, text);
}

/** Asks and hands out the answer as it comes, for streams. @throws Refusal, Unreachable */
export async function stream(path: string, stop: AbortSignal): Promise<ReadableStream<Uint8Array>> {
  const response = await send(path, { signal: stop, headers: { accept: 'text/event-stream' } });
  if (response.ok && response.body !== null) return response.body;
  throw refusalOf(response, await response.text());
}

async function send(path: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(`/api/v1${path}`, { ...init, cache: 'no-store', credentials: 'same-origin' });
  } catch (error) {
    init.signal?.throwIfAborted();
    throw new Unreachable(error);
  }
}

function refusalOf(response: Response, text: string): Error {
  if (!/json/.test(response.headers.get('content-type') ?? '')) return new Unreachable(`HTTP ${response.status}`);
  const refusal = new Refusal(JSON.parse(text) as Problem);
  // A session that has ended, here or elsewhere.
  if (response.status === 401) session.value = null;
  return refusal;
}

export async function lookWhoIsSignedIn(): Promise<void> {
  try {
    session.value = await ask<SessionInfo>('/session');
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    session.value = null;
  }
}

export async function signIn(token: string): Promise<void> {
  session.value = await ask<SessionInfo>('/session', { body: { token } });
}

export async function signOut(): Promise<void> {
  await ask('/session', { method: 'DELETE' });
  session.value = null;
}

const RANK: Readonly<Record<Role, number>> = { viewer: 0, service: 1, operator: 2, admin: 3 };

/** Whether who is signed in may do what takes this role. What the page hides the server refuses anyway. */
export function may(role: Role): boolean {
  const who = session.value;
  return who != null && RANK[who.role] >= RANK[role];
}

/** An error for people: what happened and what mends it. */
export function describeError(error: unknown): string {
  if (error instanceof Refusal) {
    const { detail, expected, remedy } = error.problem;
    return [detail, expected && `expected: ${expected}`, remedy && `try: ${remedy}`].filter(Boolean).join('; ');
  }
  return error instanceof Error ? error.message : String(error);
}

/** A path below `/migrations`. */
export const pathOf = (migration: string, rest = ''): string => `/migrations/${encodeURIComponent(migration)}${rest}`;

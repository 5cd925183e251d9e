import { createRequire } from 'node:module';

/** A webhook delivery as the demonstration's services keep it. */
export interface WebhookEvent {
  /** The sender's login. */
  readonly userKey: string;
  readonly id: string;
  readonly event: string;
  /** Only some events have one. */
  readonly action?: string;
  readonly receivedAt: string;
  /** How often it was delivered: the counter of read-modify-writes. */
  readonly deliveries: number;
  /** The one write that left it so; the audit finds it again in the services' journals. */
  readonly lastWrite: string;
  /** What GitHub sent, nested as it is. */
  readonly payload: Readonly<Record<string, unknown>>;
}

/** What names an event. */
export interface EventKey {
  readonly userKey: string;
  readonly id: string;
}

interface Example {
  readonly event: string;
  readonly login: string;
  readonly payload: Readonly<Record<string, unknown>>;
}

/** Each sender of the examples stands for this many users, so that percentages of users mean something. */
const USERS_PER_LOGIN = 40;
const SHARED = 40;
const COUNTERS = 12;

const examples: readonly Example[] = loadExamples();

function loadExamples(): readonly Example[] {
  const load = createRequire(import.meta.url);
  const all = load('@octokit/webhooks-examples') as readonly {
    readonly name: string;
    readonly examples: readonly Readonly<Record<string, unknown>>[];
  }[];
  return all.flatMap(({ name, examples: payloads }) =>
    payloads.flatMap((payload) => {
      const login = (payload['sender'] as { readonly login?: unknown } | undefined)?.login;
      return typeof login === 'string' ? [{ event: name, login, payload }] : [];
    }),
  );
}

/** How many different payloads there are. */
export const EXAMPLES = examples.length;

/** A key made of the n-th example, rotating; `label` (without "-") makes it unique. */
export function keyOf(n: number, label: string): EventKey {
  const index = n % examples.length;
  const { event, login } = examples[index] as Example;
  // Multiplicative hashing spreads users over labels whatever the pattern of n is.
  const user = ((Math.imul(n, 0x9e3779b1) >>> 8) % USERS_PER_LOGIN) + 1;
  return { userKey: user === 1 ? login : `${login}.${user}`, id: `${event}-${index}-${label}` };
}

const INDEX = /-(\d+)-[^-]+$/;

/** The event that a key names, as a service receives it now; undefined for a key that no service makes. */
export function eventOf(
  key: EventKey,
  write: Pick<WebhookEvent, 'lastWrite' | 'deliveries' | 'receivedAt'>,
): WebhookEvent | undefined {
  const example = examples[Number(INDEX.exec(key.id)?.[1] ?? -1)];
  if (example === undefined) return undefined;
  const { event, payload } = example;
  const { action } = payload;
  return { ...key, event, ...(typeof action === 'string' ? { action } : {}), ...write, payload };
}

/** Keys that are in the old store before the services start. */
export const seedKey = (n: number): EventKey => keyOf(n, `seed.${n}`);

/** The write that put a seeded event where it is. */
export const seedWrite = (n: number): string => `seed.${n}`;

/** Keys that all services write at the same time: puts, updates and deletes meet there. */
export const SHARED_KEYS: readonly EventKey[] = Array.from({ length: SHARED }, (_, n) => keyOf(n * 7, `shared.${n}`));

/** Keys that all services only ever increment. */
export const COUNTER_KEYS: readonly EventKey[] = Array.from({ length: COUNTERS }, (_, n) =>
  keyOf(n * 11 + 3, `counter.${n}`),
);

import { setTimeout as pause } from 'node:timers/promises';
import { places } from './places.ts';

/**
 * 15 clients (`--clients N`) that think for 0 to 200 ms between requests, over the ports named as arguments. They
 * remember what they were told; when they end (Ctrl-C, or after `--seconds N`) they read all of it again.
 */
const THINK_MS = 200;

const words = process.argv.slice(2);
const option = (name: string, otherwise: number): number => {
  const at = words.indexOf(name);
  return at < 0 ? otherwise : Number(words.splice(at, 2)[1]);
};
const clients = option('--clients', 15);
const seconds = option('--seconds', Number.POSITIVE_INFINITY);
const ports = words.length > 0 ? words : [String(places.service.port)];
const bases = ports.map((port) => `http://${places.service.host}:${port}/events`);

let stopped = false;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    stopped = true;
  });
}
if (Number.isFinite(seconds))
  setTimeout(() => {
    stopped = true;
  }, seconds * 1_000).unref();

/** Deliveries that were acknowledged and those that may have happened, by path; null is an event that was deleted. */
interface Known {
  sure: number;
  perhaps: number;
  deleted: boolean;
}
const known = new Map<string, Known>();
let latencies: number[] = [];
const errors = new Map<string, number>();
let requests = 0;

async function call(method: string, path: string, body?: unknown): Promise<{ status: number; json: unknown }> {
  const base = bases[Math.floor(Math.random() * bases.length)] as string;
  const begun = performance.now();
  requests += 1;
  try {
    const response = await fetch(`${base}${path}`, {
      method,
      signal: AbortSignal.timeout(30_000),
      ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    });
    const text = await response.text();
    latencies.push(performance.now() - begun);
    const json: unknown = text === '' ? null : JSON.parse(text);
    if (response.status >= 500) count(`${response.status} ${(json as { code?: string }).code ?? ''}`);
    return { status: response.status, json };
  } catch (error) {
    // fetch says "fetch failed"; why is its cause: ECONNREFUSED where the service is gone.
    const { name, cause } = error as Error & { cause?: { code?: string } };
    count(cause?.code ?? name);
    return { status: 0, json: null };
  }
}

const count = (what: string): void => {
  errors.set(what, (errors.get(what) ?? 0) + 1);
};

async function client(n: number): Promise<void> {
  const mine: string[] = [];
  for (let made = 0; !stopped; ) {
    await pause(Math.random() * THINK_MS);
    const dice = Math.random();
    if (dice < 0.4 || mine.length === 0) {
      const userKey = `user-${Math.floor(Math.random() * 200)}`;
      const id = `load-${process.pid}-${n}-${made}`;
      made += 1;
      const path = `/${userKey}/${id}`;
      mine.push(path);
      await post(userKey, id, path);
    } else {
      const path = mine[Math.floor(Math.random() * mine.length)] as string;
      const [, userKey = '', id = ''] = path.split('/');
      const event = known.get(path) as Known;
      if (dice < 0.6 && !event.deleted) await post(userKey, id, path);
      else if (dice < 0.65 && !event.deleted) {
        const { status } = await call('DELETE', path);
        // Without a clear answer nothing is known of it any more.
        if (status === 204) event.deleted = true;
        else {
          known.delete(path);
          mine.splice(mine.indexOf(path), 1);
        }
      } else await check(path, event);
    }
  }
}

async function post(userKey: string, id: string, path: string): Promise<void> {
  const event = known.get(path) ?? { sure: 0, perhaps: 0, deleted: false };
  known.set(path, event);
  const { status } = await call('POST', '', { userKey, id, type: 'load', payload: { path, at: new Date() } });
  if (status === 200 || status === 201) event.sure += 1;
  else event.perhaps += 1;
}

const wrong: string[] = [];

/** Whether the service still knows what it acknowledged. */
async function check(path: string, { sure, perhaps, deleted }: Known): Promise<void> {
  const { status, json } = await call('GET', path);
  if (status !== 200 && status !== 404) return;
  const deliveries = status === 404 ? 0 : (json as { deliveries: number }).deliveries;
  if (deleted ? deliveries !== 0 : deliveries < sure || deliveries > sure + perhaps) {
    wrong.push(`${path}: ${deliveries} deliveries, expected ${deleted ? 'none' : `${sure} to ${sure + perhaps}`}`);
  }
}

const report = setInterval(() => {
  const sorted = latencies.sort((a, b) => a - b);
  latencies = [];
  const at = (share: number): string => (sorted[Math.floor(sorted.length * share)] ?? 0).toFixed(1);
  const failed = [...errors].map(([what, times]) => `${times} × ${what}`).join(', ');
  errors.clear();
  console.log(
    `${requests} requests/s, p50 ${at(0.5)} ms, p99 ${at(0.99)} ms${failed === '' ? '' : `, failed: ${failed}`}`,
  );
  requests = 0;
}, 1_000);

await Promise.all(Array.from({ length: clients }, (_, n) => client(n)));
clearInterval(report);
errors.clear();
const paths = [...known];
for (let from = 0; from < paths.length; from += clients) {
  await Promise.all(paths.slice(from, from + clients).map(([path, event]) => check(path, event)));
}
for (const line of wrong) console.error(line);
const unread = [...errors.values()].reduce((sum, times) => sum + times, 0);
console.log(`${paths.length} events read again: ${wrong.length} wrong, ${unread} not answered`);
process.exitCode = wrong.length + unread === 0 ? 0 : 1;

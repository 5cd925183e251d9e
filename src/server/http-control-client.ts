import { type Clock, type Random, sleep, type TimerHandle } from '../core/clock.ts';
import type { Change, ControlClient } from '../core/control-client.ts';
import { Closed, ControlUnavailable, InvalidConfiguration } from '../core/errors.ts';
import { errorFromJson } from '../core/revive-error.ts';
import type { RulesetDocument } from '../core/ruleset.ts';

export interface HttpControlOptions {
  /** Where the server is. */
  readonly url: string;
  readonly token: string | undefined;
  readonly clock: Clock;
  /** @default Math.random */
  readonly random?: Random;
  /** A call without an answer is given up, ms. @default 15000 */
  readonly timeoutMs?: number;
}

const PROBLEM_TYPE = 'application/problem+json';

const TIMEOUT_MS = 15_000;
/** The server says something every 5 s: after this long the connection is dead, whatever TCP believes. */
const SILENCE_MS = 15_000;
const FIRST_BACKOFF_MS = 100;
const LONGEST_BACKOFF_MS = 5_000;
/** A stream that nobody watches is kept for whoever watches next. */
const LINGER_MS = 10_000;

interface Endpoint {
  readonly base: URL;
  readonly headers: Readonly<Record<string, string>>;
}

/** A server-sent event. */
interface ServerEvent {
  readonly event: string;
  readonly data: string;
}

/** Cuts a stream of text into events; comments and retry times are left out. */
async function* eventsOf(body: ReadableStream<Uint8Array>, heard: () => void): AsyncGenerator<ServerEvent> {
  const decoder = new TextDecoder();
  let rest = '';
  let event = 'message';
  let data: string[] = [];
  for await (const chunk of body) {
    heard();
    rest += decoder.decode(chunk, { stream: true });
    const lines = rest.split('\n');
    rest = lines.pop() as string;
    for (const line of lines) {
      if (line === '') {
        if (data.length > 0) yield { event, data: data.join('\n') };
        event = 'message';
        data = [];
      } else if (line.startsWith('event: ')) event = line.slice(7);
      else if (line.startsWith('data: ')) data.push(line.slice(6));
    }
  }
}

/**
 * Follows the rulesets of some migrations: connects again with growing pauses when the connection is lost, and says
 * what it has seen, so that nothing is missed.
 */
class Follower {
  readonly #endpoint: Endpoint;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #changed: (change: Change) => void;
  readonly #documents = new Map<string, RulesetDocument>();
  readonly #stop = new AbortController();
  #names: readonly string[] = [];
  #live = false;
  #connection: AbortController | null = null;
  #running: Promise<void> | null = null;

  constructor(endpoint: Endpoint, clock: Clock, random: Random, changed: (change: Change) => void) {
    this.#endpoint = endpoint;
    this.#clock = clock;
    this.#random = random;
    this.#changed = changed;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async close(): Promise<void> {
    this.#stop.abort(new Closed('the control plane was closed'));
    this.#connection?.abort();
    await this.#running;
  }

  /** The present rulesets, if the stream is live and knows them all; null if somebody has to ask. */
  rulesets(names: readonly string[]): readonly RulesetDocument[] | null {
    if (names.some((name) => !this.#names.includes(name))) {
      // From now on these too: the stream begins again with them.
      this.#names = [...new Set([...this.#names, ...names])];
      this.#live = false;
      this.#connection?.abort();
    }
    if (!this.#live) return null;
    const found = names.map((name) => this.#documents.get(name));
    return found.every((document) => document !== undefined) ? found : null;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    for (let failures = 0; !signal.aborted; ) {
      const began = this.#names;
      const connected = await this.#follow();
      this.#live = false;
      if (signal.aborted) return;
      // Begun again on purpose, with more names.
      if (began !== this.#names) continue;
      failures = connected ? 1 : failures + 1;
      const longest = Math.min(FIRST_BACKOFF_MS * 2 ** failures, LONGEST_BACKOFF_MS);
      await sleep(this.#clock, this.#random() * longest, signal).catch(() => {});
    }
  }

  /** One connection, until it ends; whether it had come about. */
  async #follow(): Promise<boolean> {
    const connection = new AbortController();
    this.#connection = connection;
    let silence: TimerHandle | undefined;
    const heard = (): void => {
      silence?.cancel();
      silence = this.#clock.after(SILENCE_MS, () => connection.abort(), true);
    };
    let connected = false;
    try {
      heard();
      const url = new URL('api/v1/events', this.#endpoint.base);
      if (this.#names.length > 0) url.searchParams.set('migrations', this.#names.join(','));
      const seen = [...this.#documents.values()].map(({ migration, revision }) => `${migration}=${revision}`).join(';');
      const response = await fetch(url, {
        headers: { ...this.#endpoint.headers, ...(seen === '' ? {} : { 'last-event-id': seen }) },
        signal: connection.signal,
        redirect: 'error',
      });
      if (!response.ok || response.body === null) {
        await response.body?.cancel();
        return false;
      }
      for await (const { event, data } of eventsOf(response.body, heard)) {
        if (event === 'ready') {
          connected = true;
          this.#live = true;
          // Whatever happened while nobody listened.
          this.#changed('rulesets');
        } else if (event === 'ruleset') {
          const document = JSON.parse(data) as RulesetDocument;
          this.#documents.set(document.migration, document);
          if (this.#live) this.#changed('rulesets');
        }
      }
    } catch {
      // Away, or cut off: it is tried again, and calls say so themselves.
    } finally {
      silence?.cancel();
      connection.abort();
    }
    return connected;
  }
}

/** Every call is one request; its outcome is unknown where no answer came. */
class HttpControl {
  readonly #endpoint: Endpoint;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #timeoutMs: number;
  readonly #watchers = new Set<{ readonly changed: (change?: Change) => void }>();
  #follower: Follower | null = null;
  #lingering: TimerHandle | undefined;
  #closing: Promise<void> | null = null;

  constructor(endpoint: Endpoint, options: HttpControlOptions) {
    this.#endpoint = endpoint;
    this.#clock = options.clock;
    this.#random = options.random ?? Math.random;
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
  }

  async request(path: string, body: unknown): Promise<unknown> {
    if (this.#closing !== null) throw new Closed('the control plane was closed');
    const url = new URL(`api/v1/control${path}`, this.#endpoint.base);
    const timeout = new AbortController();
    const timer = this.#clock.after(this.#timeoutMs, () => timeout.abort(), true);
    let response: Response;
    let text: string;
    try {
      response = await fetch(url, {
        ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
        headers: { ...this.#endpoint.headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
        signal: timeout.signal,
        redirect: 'error',
      });
      text = await response.text();
    } catch (error) {
      throw this.#unavailable(
        timeout.signal.aborted ? `did not answer within ${this.#timeoutMs} ms` : 'cannot be reached',
        error,
      );
    } finally {
      timer.cancel();
    }
    let json: unknown;
    try {
      json = JSON.parse(text);
    } catch (error) {
      throw this.#unavailable(`answered ${response.status} without JSON`, error);
    }
    if (response.ok) return json;
    const problem = json as { readonly code?: unknown; readonly detail?: unknown };
    // A proxy's answer, or that of a server which is closing, says nothing about the call.
    if (response.headers.get('content-type')?.startsWith(PROBLEM_TYPE) !== true || problem.code === 'INTERNAL') {
      throw this.#unavailable(`answered ${response.status}`, undefined);
    }
    throw errorFromJson({ ...problem, message: problem.detail });
  }

  async rulesets(names: readonly string[]): Promise<readonly RulesetDocument[]> {
    const known = this.#follower?.rulesets(names) ?? null;
    if (known !== null) return known;
    const { result } = (await this.request('/rulesets', { migrations: names })) as { result: RulesetDocument[] };
    return result;
  }

  watch(changed: (change?: Change) => void): () => void {
    if (this.#closing !== null) throw new Closed('the control plane was closed');
    const watcher = { changed };
    this.#watchers.add(watcher);
    this.#lingering?.cancel();
    if (this.#follower === null) {
      this.#follower = new Follower(this.#endpoint, this.#clock, this.#random, (change) => {
        for (const each of [...this.#watchers]) if (this.#watchers.has(each)) each.changed(change);
      });
      this.#follower.start();
    }
    return () => {
      if (!this.#watchers.delete(watcher) || this.#watchers.size > 0 || this.#closing !== null) return;
      this.#lingering = this.#clock.after(LINGER_MS, () => void this.#unfollow(), true);
    };
  }

  close(): Promise<void> {
    this.#watchers.clear();
    this.#lingering?.cancel();
    this.#closing ??= this.#unfollow();
    return this.#closing;
  }

  async #unfollow(): Promise<void> {
    const follower = this.#follower;
    this.#follower = null;
    await follower?.close();
  }

  #unavailable(what: string, cause: unknown): ControlUnavailable {
    return new ControlUnavailable(`the server at ${this.#endpoint.base.host} ${what}`, {
      remedy: 'see that `changeover serve` runs there, and that nothing in between cuts it off',
      // What was called may have been done.
      details: { outcome: 'unknown' },
      cause,
    });
  }
}

/** @throws InvalidConfiguration */
function endpointOf({ url, token }: HttpControlOptions): Endpoint {
  let base: URL;
  try {
    base = new URL(url.endsWith('/') ? url : `${url}/`);
  } catch {
    throw new InvalidConfiguration('the address of the control plane is none', { expected: 'https://host' });
  }
  if (base.username !== '' || base.password !== '') {
    throw new InvalidConfiguration('the address of the control plane holds a secret', {
      expected: 'the token apart from it: token: process.env.CHANGEOVER_TOKEN',
    });
  }
  if (token === undefined) {
    throw new InvalidConfiguration(`the server at ${base.host} lets nobody in without a token`, {
      expected: 'token: process.env.CHANGEOVER_TOKEN in the configuration',
      remedy: 'changeover token create <name> --role service',
    });
  }
  return { base, headers: { authorization: `Bearer ${token}` } };
}

/**
 * The control plane of a `changeover serve`. A process goes on with its last rulesets while the server is away, and
 * catches up when it is back.
 *
 * @throws InvalidConfiguration, ControlUnavailable, Unauthenticated
 */
export async function openHttpControl<Plane extends ControlClient>(options: HttpControlOptions): Promise<Plane> {
  const control = new HttpControl(endpointOf(options), options);
  const { methods } = (await control.request('', undefined)) as { methods: Record<string, readonly string[]> };
  const plane: Record<string, unknown> = {};
  for (const [name, params] of Object.entries(methods)) {
    plane[name] = async (...args: readonly unknown[]) => {
      const body = Object.fromEntries(params.map((param, i) => [param, args[i]]));
      return ((await control.request(`/${name}`, body)) as { result?: unknown }).result;
    };
  }
  plane['rulesets'] = (names: readonly string[]) => control.rulesets(names);
  plane['watch'] = (changed: (change?: Change) => void) => control.watch(changed);
  plane['close'] = () => control.close();
  // Which methods there are is the server's word: the types are a promise between equal versions.
  return Object.freeze(plane) as unknown as Plane;
}

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import Database from 'better-sqlite3';
import { Child } from './child.ts';
import { type DemoPlaces, type FaultTally, TABLE } from './demo-config.ts';
import { type EventKey, eventOf, seedKey, seedWrite } from './events.ts';
import { hostMicros, JournalTail, keyText, type WriteRecord } from './journal.ts';
import { type Experience, experienceOf } from './latency.ts';
import type { ServiceOrders } from './service.ts';
import type { TrafficSample } from './traffic.ts';

export const SEEDS = 2_000;
export const SERVICES = 3;

/** Between two looks at a condition. */
const LOOK_MS = 25;
const PATIENCE_MS = 120_000;

const DDL = `CREATE TABLE ${TABLE} (
  user_key TEXT NOT NULL,
  id TEXT NOT NULL,
  event TEXT NOT NULL,
  action TEXT,
  received_at TEXT NOT NULL,
  deliveries INTEGER NOT NULL,
  last_write TEXT NOT NULL,
  document TEXT NOT NULL,
  PRIMARY KEY (user_key, id)
) WITHOUT ROWID`;

/** The directory, files and processes of one demonstration. */
export class Workplace {
  readonly directory: string;
  readonly places: DemoPlaces;
  /** For `changeover --config`. */
  readonly configFile: string;
  /** The server of the new store. */
  readonly store: Child;
  /** What was in the old store from the start, as writes. */
  readonly seeds: readonly WriteRecord[];
  readonly journals: string[] = [];
  readonly services: Child[] = [];
  /** Calls a second of each service. */
  readonly rate: number;
  readonly #signal: AbortSignal;
  /** All that were ever started, so that none is left behind. */
  readonly #children: Child[] = [];
  readonly #journalOf = new Map<Child, string>();
  #started = 0;

  private constructor(
    parts: Pick<Workplace, 'directory' | 'places' | 'configFile' | 'store' | 'seeds' | 'rate'>,
    signal: AbortSignal,
  ) {
    this.directory = parts.directory;
    this.places = parts.places;
    this.configFile = parts.configFile;
    this.store = parts.store;
    this.seeds = parts.seeds;
    this.rate = parts.rate;
    this.#signal = signal;
    this.#children.push(parts.store);
  }

  /** Makes a fresh directory with both stores, the old one filled. Nothing is left of it when that fails. */
  static async open(signal: AbortSignal, rate: number): Promise<Workplace> {
    const directory = await mkdtemp(join(tmpdir(), 'changeover-demo-'));
    let store: Child | undefined;
    try {
      const at = (name: string): string => join(directory, name);
      store = new Child('new-store', './store-server.ts', [at('new-store')], at('new-store.log'));
      await store.ready();
      const endpoint = `http://127.0.0.1:${String(await store.ask('port'))}`;
      const places = { control: at('control.db'), old: at('old-store.db'), endpoint };
      const seeds = fillOldStore(places.old);
      const configFile = at('changeover.config.ts');
      await writeFile(configFile, configText(places));
      signal.throwIfAborted();
      return new Workplace({ directory, places, configFile, store, seeds, rate }, signal);
    } catch (error) {
      await store?.kill();
      await rm(directory, { recursive: true, force: true });
      throw error;
    }
  }

  /** Starts one more service, in place of another one where that is named. */
  async startService(place = this.services.length): Promise<Child> {
    this.#started += 1;
    const label = `s${this.#started}`;
    const name = `events-api-${place + 1}`;
    const journal = join(this.directory, `${label}.jsonl`);
    const orders: ServiceOrders = {
      places: this.places,
      journal,
      name,
      label,
      seeds: SEEDS,
      operationsPerSecond: this.rate,
    };
    this.journals.push(journal);
    const log = join(this.directory, `${label}.log`);
    const service = new Child(name, './service.ts', [JSON.stringify(orders)], log);
    this.#children.push(service);
    this.#journalOf.set(service, journal);
    await service.ready();
    this.services[place] = service;
    return service;
  }

  async startServices(): Promise<void> {
    const places = Array.from({ length: SERVICES }, (_, place) => place);
    const started = await Promise.allSettled(places.map((place) => this.startService(place)));
    for (const outcome of started) if (outcome.status === 'rejected') throw outcome.reason;
  }

  /** The services answer what they have begun, leave the fleet and end. */
  async stopServices(): Promise<void> {
    await Promise.all(this.services.map((service) => service.ask('stop')));
    await Promise.all(this.services.map((service) => service.kill()));
    this.services.length = 0;
  }

  /** Switches the fault that is planted in the services; says what it did until now. */
  async plantFault(on: boolean): Promise<FaultTally> {
    const tallies = (await Promise.all(this.services.map((service) => service.ask('fault', on)))) as FaultTally[];
    return tallies.reduce((sum, { encoded, corrupted }) => ({
      encoded: sum.encoded + encoded,
      corrupted: sum.corrupted + corrupted,
    }));
  }

  /** Kills a service, at a moment when its journal ends with a write that has no answer yet. */
  async killWriting(place: number): Promise<Child> {
    const service = this.services[place];
    if (service === undefined) throw new Error(`there is no service ${place}`);
    const tail = new JournalTail(this.#journalOf.get(service) ?? '');
    try {
      await this.until('a service writes', () => tail.endsInWrite(), PATIENCE_MS, 0);
      await service.kill();
    } finally {
      tail.close();
    }
    return service;
  }

  /** What callers met since the last time this was asked. */
  async experience(): Promise<Experience> {
    const samples = await this.samples();
    return experienceOf(samples);
  }

  samples(): Promise<TrafficSample[]> {
    return Promise.all(this.services.map(async (service) => (await service.ask('take')) as TrafficSample));
  }

  /** What callers met from now on until they had so many answers. */
  async experienceOfNext(calls: number): Promise<Experience> {
    await this.samples();
    const samples: TrafficSample[] = [];
    await this.until('the services make calls', async () => {
      samples.push(...(await this.samples()));
      return samples.reduce((sum, { latenciesMs }) => sum + latenciesMs.length, 0) >= calls;
    });
    return experienceOf(samples);
  }

  /** Waits for a condition. @throws Error naming it when it takes too long, or a process ends that should not. */
  async until(
    what: string,
    condition: () => boolean | Promise<boolean>,
    patienceMs = PATIENCE_MS,
    lookMs = LOOK_MS,
  ): Promise<void> {
    const begun = performance.now();
    for (;;) {
      this.#signal.throwIfAborted();
      for (const child of [this.store, ...this.services]) if (!child.running) await child.ask('hello');
      if (await condition()) return;
      if (performance.now() - begun > patienceMs) {
        throw new Error(`waited ${patienceMs / 1_000} s in vain until ${what}`);
      }
      if (lookMs === 0) await nextTurn();
      else await pause(lookMs, undefined, { signal: this.#signal });
    }
  }

  /** Ends every process that was ever started here; idempotent. */
  async endProcesses(): Promise<void> {
    await Promise.all(this.#children.map((child) => child.kill()));
  }

  async removeFiles(): Promise<void> {
    await rm(this.directory, { recursive: true, force: true, maxRetries: 3 });
  }
}

/** The old store as it was before anybody thought of moving it. */
function fillOldStore(path: string): readonly WriteRecord[] {
  const database = new Database(path);
  try {
    database.pragma('journal_mode = WAL');
    database.exec(DDL);
    const insert = database.prepare(`INSERT INTO ${TABLE} VALUES (?, ?, ?, ?, ?, ?, ?, ?)`);
    const keys = Array.from({ length: SEEDS }, (_, n) => seedKey(n));
    database.transaction(() => {
      for (const [n, key] of keys.entries()) insert.run(...rowOf(key, seedWrite(n)));
    })();
    const now = hostMicros();
    return keys.map((key, n) => ({
      kind: 'create',
      key: keyText(key),
      write: seedWrite(n),
      start: now,
      end: now,
      outcome: 'applied',
    }));
  } finally {
    database.close();
  }
}

function rowOf(key: EventKey, lastWrite: string): readonly unknown[] {
  const event = eventOf(key, { lastWrite, deliveries: 1, receivedAt: new Date().toISOString() });
  if (event === undefined) throw new Error(`no example has the key ${keyText(key)}`);
  const { userKey, id, action = null, receivedAt, deliveries, payload } = event;
  return [userKey, id, event.event, action, receivedAt, deliveries, lastWrite, JSON.stringify({ payload })];
}

/** A configuration like that of any other team; what it imports describes the migration. */
function configText(places: DemoPlaces): string {
  const module = pathToFileURL(new URL('./demo-config.ts', import.meta.url).pathname).href;
  return `import { demoConfig } from ${JSON.stringify(module)};\n\nexport default demoConfig(${JSON.stringify(places, null, 2)});\n`;
}

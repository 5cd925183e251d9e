import { memory } from '../adapters/memory/index.ts';
import type { Store, StoreContext, StoreDefinition } from '../src/index.ts';

type Entry = Parameters<Store['putIfNewer']>[0];

const APPLIED = { kind: 'applied', previous: 'record' } as const;

/** What a lean store waits for before it answers. */
export type Delay = () => Promise<void>;

/**
 * The least a store can do: a Map in this process, found by the fields of the key. What a repository adds is seen best
 * over this; on a real store it disappears. With a delay it answers later.
 */
export class LeanStore {
  readonly #rows = new Map<string, Entry>();
  readonly definition: StoreDefinition;

  constructor(delay?: Delay) {
    const whole = memory();
    const get: Store['get'] = (_id, key) => this.get(key);
    const put: Store['putIfNewer'] = (entry) => this.put(entry);
    this.definition = {
      ...whole,
      adapter: 'lean',
      mapping: { adapter: 'lean' },
      create: async (context: StoreContext): Promise<Store> => {
        const store = await whole.create(context);
        const methods: Record<string, unknown> = {};
        for (const name of Object.getOwnPropertyNames(Object.getPrototypeOf(store))) {
          const method: unknown = store[name as keyof Store];
          if (typeof method === 'function' && name !== 'constructor') methods[name] = method.bind(store);
        }
        return {
          ...(methods as unknown as Store),
          label: 'lean',
          capabilities: store.capabilities,
          native: null,
          now: Date.now,
          get: delay === undefined ? get : (id, key) => delay().then(() => get(id, key)),
          putIfNewer: delay === undefined ? put : (entry, deadline) => delay().then(() => put(entry, deadline)),
          putPlain: delay === undefined ? put : (entry, deadline) => delay().then(() => put(entry, deadline)),
        };
      },
    };
  }

  readonly get = async (key: Entry['key']): Promise<Entry | undefined> => this.#rows.get(textOf(key));

  readonly put = async (entry: Entry): Promise<typeof APPLIED> => {
    this.#rows.set(textOf(entry.key), entry);
    return APPLIED;
  };
}

const textOf = (key: Entry['key']): string => `${String(key['userKey'])}/${String(key['id'])}`;

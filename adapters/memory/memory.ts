import { InvalidConfiguration } from '../../src/core/errors.ts';
import type { Capabilities, StoreContext, StoreDefinition } from '../../src/core/store.ts';
import { MemoryDatabase } from './database.ts';
import type { FaultPlan } from './fault.ts';
import { MemoryStore } from './memory-store.ts';

/** What a memory store can do unless told otherwise: everything, at once. */
export const MEMORY_CAPABILITIES: Capabilities = Object.freeze({
  lateBoundMs: 0,
  clockErrorMs: 0,
  list: true,
  batchSize: 500,
});

/** @see memory */
export interface MemoryOptions {
  /** The data set; stores that share it are clients of one server. @default a new, empty one for this definition */
  readonly database?: MemoryDatabase | undefined;
  /** Makes requests slow, lost, late and so on. @default none */
  readonly faults?: FaultPlan | undefined;
  /**
   * Abilities to go without. With a `lateBoundMs` above 0 the database looks at no deadline, as one without a clock in
   * its conditions. @default {@link MEMORY_CAPABILITIES}
   */
  readonly capabilities?: Partial<Capabilities> | undefined;
}

/** The definition of a memory store, and the data set behind it. */
export interface MemoryDefinition extends StoreDefinition {
  readonly adapter: 'memory';
  readonly database: MemoryDatabase;
}

/**
 * A store in the memory of this process, for tests and simulations; it keeps every word of the `Store` contract.
 *
 * @throws InvalidConfiguration for a capability that is out of range
 * @example
 * const store = memory();
 * const definition = { key: ['id'], unit: 'id', old: store, new: memory() };
 * store.database.snapshot();         // what it holds
 */
export function memory(options: MemoryOptions = {}): MemoryDefinition {
  const capabilities = Object.freeze({ ...MEMORY_CAPABILITIES, ...options.capabilities });
  for (const name of ['lateBoundMs', 'clockErrorMs', 'batchSize'] as const) {
    const least = name === 'batchSize' ? 1 : 0;
    if (!(Number.isFinite(capabilities[name]) && capabilities[name] >= least)) {
      throw new InvalidConfiguration(`the capability ${name} is ${capabilities[name]}`, {
        expected: `a number of at least ${least}`,
      });
    }
  }
  const database = options.database ?? new MemoryDatabase();
  return Object.freeze({
    adapter: 'memory' as const,
    mapping: Object.freeze({}),
    database,
    create: async (context: StoreContext) => new MemoryStore(database, context, capabilities, options.faults),
  });
}

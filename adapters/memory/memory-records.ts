import type { Stamp } from '../../src/core/stamp.ts';
import type { Codec } from '../../src/core/store.ts';
import { cloneValue, type StoredRecord } from '../../src/core/value.ts';
import type { MemoryDatabase } from './database.ts';

/**
 * The native handle of a memory store: what a named query filters.
 *
 * @example
 * queries: { recent: { old: (native: MemoryRecords) => native.records().filter((event) => event.at > since) } }
 */
export class MemoryRecords {
  readonly database: MemoryDatabase;
  readonly #codec: Codec;
  /** So that `decode` can tell the version of a record that it is handed back. */
  readonly #stamps = new WeakMap<object, Stamp | null>();

  constructor(database: MemoryDatabase, codec: Codec) {
    this.database = database;
    this.#codec = codec;
  }

  /** The live records, decoded, in no particular order; copies. */
  records(): StoredRecord[] {
    return [...this.database.live()].map(({ stamp, value }) => {
      const record = this.#codec.decode(cloneValue(value as StoredRecord));
      this.#stamps.set(record, stamp);
      return record;
    });
  }

  /** The stamp under which a record of {@link records} was stored; null for any other object. */
  stampOf(record: unknown): Stamp | null {
    return (typeof record === 'object' && record !== null ? this.#stamps.get(record) : null) ?? null;
  }
}

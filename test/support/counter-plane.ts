import type { ControlStorage } from '../../src/control/storage.ts';
import { GatesRefused } from '../../src/core/errors.ts';
import { migrationRow } from './control-rows.ts';

/** The smallest thing that has a control plane's shape: asynchronous methods, each one transaction. */
export class CounterPlane {
  readonly #storage: ControlStorage;

  constructor(storage: ControlStorage) {
    this.#storage = storage;
  }

  async create(): Promise<void> {
    await this.#storage.transaction(async (tx) => {
      if ((await tx.count('migrations', { name: 'counter' })) === 0)
        await tx.insert('migrations', migrationRow('counter'));
    });
  }

  async add(amount: number): Promise<number> {
    return this.#storage.transaction(async (tx) => {
      const [row] = await tx.select('migrations', { name: 'counter' });
      const revision = (row?.revision ?? 0) + amount;
      await tx.update('migrations', { name: 'counter' }, { revision });
      return revision;
    });
  }

  async value(): Promise<number | undefined> {
    return this.#storage.read(async (tx) => (await tx.select('migrations', { name: 'counter' }))[0]?.revision);
  }

  async refuse(): Promise<never> {
    throw new GatesRefused(
      'no',
      [{ gate: 'covered', passed: false, advice: false, evidence: 'none', remedy: 'backfill' }],
      {
        details: { migration: 'events' },
        cause: new Error('because'),
      },
    );
  }

  async fail(code: string | null): Promise<never> {
    throw code === null ? new TypeError('a mistake') : Object.assign(new Error('the disk'), { code });
  }

  async exit(): Promise<never> {
    process.exit(7);
  }

  /** Ends the worker by an error that nobody catches. */
  async collapse(): Promise<never> {
    setImmediate(() => {
      throw new RangeError('out of everything');
    });
    return this.hang();
  }

  async hang(): Promise<never> {
    return new Promise(() => {});
  }
}

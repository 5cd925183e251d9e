import type { Route } from '../core/ruleset.ts';
import type { MeasuredOperation, MigrationMetrics } from '../core/telemetry.ts';
import type { StoredRecord } from '../core/value.ts';
import { Repository, type RepositoryParts } from './repository.ts';
import type { Versioned } from './versions.ts';

/** A repository whose calls are measured, as its callers see them. */
export class MeasuredRepository<R extends object = StoredRecord> extends Repository<R> {
  readonly #parts: RepositoryParts;
  readonly #metrics: MigrationMetrics;

  constructor(parts: RepositoryParts, metrics: MigrationMetrics) {
    super(parts);
    this.#parts = parts;
    this.#metrics = metrics;
  }

  override create(record: R): Promise<void> {
    return this.#measure('create', record, () => super.create(record));
  }

  override put(record: R): Promise<void> {
    return this.#measure('put', record, () => super.put(record));
  }

  override get(key: object): Promise<R | undefined>;
  override get(key: object, options: { readonly version: true }): Promise<Versioned<R> | undefined>;
  override get(key: object, options?: { readonly version: true }): Promise<R | Versioned<R> | undefined> {
    return this.#measure<R | Versioned<R> | undefined>('get', key, () =>
      options === undefined ? super.get(key) : super.get(key, options),
    );
  }

  override getMany(keys: readonly object[]): Promise<(R | undefined)[]> {
    return this.#measure('getMany', keys[0], () => super.getMany(keys));
  }

  override replace(key: object, record: R, options: { readonly ifVersion: string }): Promise<void> {
    return this.#measure('replace', key, () => super.replace(key, record, options));
  }

  override update(key: object, change: (record: R | undefined) => R | undefined): Promise<R | undefined> {
    return this.#measure('update', key, () => super.update(key, change));
  }

  override delete(key: object): Promise<boolean> {
    return this.#measure('delete', key, () => super.delete(key));
  }

  async #measure<T>(operation: MeasuredOperation, source: object | undefined, run: () => Promise<T>): Promise<T> {
    const { clock } = this.#parts.session.fleet;
    const route = this.#routeOf(source);
    // A call without a unit goes nowhere: it is refused before anything happens.
    if (route === null) return run();
    const begun = clock.monotonic();
    const ended = (error: unknown): void =>
      this.#metrics.operation(operation, route.stage, route.authority, clock.monotonic() - begun, error);
    try {
      const answer = await run();
      ended(null);
      return answer;
    } catch (error) {
      ended(error);
      throw error;
    }
  }

  #routeOf(source: object | undefined): Route | null {
    if (source === undefined) return null;
    const { keys, session } = this.#parts;
    try {
      return session.epoch.ruleset.route(keys.unit(keys.keyOf(source)));
    } catch {
      return null;
    }
  }
}

import { afterAll, afterEach, beforeAll, describe } from 'vitest';
import { describeBatches } from './batches.ts';
import { describeCompareAndSet } from './compare-and-set.ts';
import { describeConcurrency } from './concurrency.ts';
import { Fixture } from './fixture.ts';
import type { Harness, KitOptions } from './harness.ts';
import { describeLifecycle } from './lifecycle.ts';
import { describeLoads } from './loads.ts';
import { describePlainWrites } from './plain.ts';
import { describePreflight } from './preflight.ts';
import { describePuts } from './puts.ts';
import { describeScans } from './scans.ts';
import { describeValues } from './values.ts';

export type { Harness, KitOptions, OpenOptions } from './harness.ts';
export { UNUSUAL_KEYS, UNUSUAL_VALUES, type UnusualKey, type UnusualValue } from './unusual.ts';

/**
 * Holds a store to the words of src/core/store.ts. Call it at the top level of a test file.
 *
 * @example
 * describeStore('sqlite', () => sqliteHarness(), { scale: 0.5 });
 */
export function describeStore(name: string, makeHarness: () => Promise<Harness>, options: KitOptions = {}): void {
  const title = options.skip === undefined ? name : `${name} (${options.skip})`;
  describe.skipIf(options.skip !== undefined)(title, () => {
    const fixture = new Fixture(options);
    beforeAll(async () => fixture.start(await makeHarness()));
    afterEach(() => fixture.closeStores());
    afterAll(() => fixture.stop());

    describePuts(fixture);
    describeCompareAndSet(fixture);
    describePlainWrites(fixture);
    describeBatches(fixture);
    describeLoads(fixture);
    describeValues(fixture);
    describeScans(fixture);
    describeConcurrency(fixture);
    describeLifecycle(fixture);
    describePreflight(fixture);
  });
}

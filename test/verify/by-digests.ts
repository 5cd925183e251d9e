import { expect } from 'vitest';
import { systemClock } from '../../src/core/clock.ts';
import type { Digests } from '../../src/core/digests.ts';
import type { Store } from '../../src/core/store.ts';
import { type VerifyOptions, verifyStores } from '../../verify/full-scan.ts';
import type { VerifyReport } from '../../verify/verify-report.ts';
import { withMethods } from './data-set.ts';

const told = ({ verdict, counts, divergences }: VerifyReport) => ({
  verdict,
  counts,
  divergences: divergences.map(({ key, kind, fields }) => ({ key, kind, paths: fields.map(({ path }) => path) })),
});

/** Verifications of all that two stores hold, by digests of their servers where `options` do not say otherwise. */
export function verifications(stores: () => Partial<VerifyOptions>) {
  const verify = (options: Partial<VerifyOptions> = {}): Promise<VerifyReport> =>
    verifyStores({
      migration: 'things',
      ...stores(),
      authority: () => 'old',
      includes: null,
      rules: {},
      clock: systemClock,
      revision: 1,
      mappingHash: 'm',
      ttlMs: 600_000,
      dirty: { ranges: 0, rejected: 0 },
      recheckMs: [5, 10],
      maxDivergences: 10_000,
      ...options,
    } as VerifyOptions);
  /** What a verification says by digests, which must be what it says without. */
  async function both(options: Partial<VerifyOptions> = {}): Promise<VerifyReport> {
    const [by, without] = [await verify(options), await verify({ ...options, byDigests: false })];
    expect(told(by)).toEqual(told(without));
    expect(by.scanned.old.records).toBe(without.scanned.old.records);
    expect(by.scanned.new.records).toBe(without.scanned.new.records);
    expect(without.scanned.byDigests).toBe(0);
    return by;
  }
  return { verify, both };
}

/** The counts of a verification that found so many records equal, and nothing else. */
export const equalCounts = (equal: number) => ({
  old: equal,
  new: equal,
  equal,
  missing: 0,
  extra: 0,
  different: 0,
  stale: 0,
  pending: 0,
});

/** A store whose digests answer otherwise. */
export const withDigests = <K extends 'cut' | 'of' | 'keys'>(store: Store, method: K, answer: Digests[K]): Store =>
  withMethods(store, {
    digests: new Proxy(store.digests as Digests, {
      get: (target, name) => {
        if (name === method) return answer;
        const value: unknown = Reflect.get(target, name);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    }),
  });

/** A store of which nothing can be read. */
export const unread = (store: Store): Store =>
  withMethods(store, {
    scan: () => {
      throw new Error('it was scanned');
    },
    getMany: () => Promise.reject(new Error('it was read')),
  });

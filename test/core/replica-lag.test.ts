import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ReplicaLag } from '../../src/core/replica-lag.ts';

describe('the lag of replicas', () => {
  it('is the time since the primary was where the slowest has not been', () => {
    const lag = new ReplicaLag();
    expect(lag.measure(0, 100n, [100n, 90n]), 'nothing is known yet').toBe(0);
    expect(lag.measure(3_000, 200n, [200n, 95n])).toBe(3_000);
    expect(lag.measure(6_000, 300n, [300n, 100n]), 'it has caught up with the first place').toBe(3_000);
    expect(lag.measure(9_000, 400n, [100n, 400n])).toBe(6_000);
    expect(lag.measure(12_000, 400n, [400n, 400n])).toBe(0);
  });

  it('does not take a primary that did nothing for a while for a late replica', () => {
    const lag = new ReplicaLag();
    for (let at = 0; at < 60_000; at += 3_000) expect(lag.measure(at, 100n, [100n])).toBe(0);
    expect(lag.measure(60_000, 101n, [100n])).toBe(0);
    expect(lag.measure(63_000, 101n, [100n])).toBe(3_000);
  });

  it('is not known without replicas, and begins anew where places go back', () => {
    const lag = new ReplicaLag();
    expect(lag.measure(0, 100n, [])).toBeNull();
    lag.measure(1_000, 100n, [50n]);
    expect(lag.measure(9_000, 60n, [50n]), 'another primary').toBe(0);
    expect(lag.measure(10_000, 60n, [50n])).toBe(1_000);
    expect(lag.measure(11_000, 60n, [])).toBeNull();
    expect(lag.measure(12_000, 60n, [50n]), 'a replica that came back').toBe(0);
  });

  it('follows a replica that stays behind by as long as one likes', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4_000 }), fc.integer({ min: 4_001, max: 8_000 }), (behind, looks) => {
        const lag = new ReplicaLag();
        let measured: number | null = 0;
        for (let at = 0; at < looks; at += 1)
          measured = lag.measure(at, BigInt(at), [BigInt(Math.max(-1, at - 1 - behind))]);
        // Not every place of a long lag is remembered.
        expect(measured).toBeGreaterThanOrEqual(behind * (1 - 1 / 256) - 1);
        expect(measured).toBeLessThanOrEqual(behind + 1);
      }),
      { numRuns: 50 },
    );
  });
});

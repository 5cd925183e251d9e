import { describe, expect, test } from 'vitest';
import { InvalidArgument } from '../../src/core/errors.ts';
import { DEFAULT_SETTINGS, type Settings, validateSettings } from '../../src/core/settings.ts';

/** For each setting: values at the edges of what is allowed, and values just beyond. */
const EDGES: Readonly<Record<keyof Settings, { readonly good: readonly unknown[]; readonly bad: readonly unknown[] }>> =
  {
    mirrorToNew: { good: ['detached', 'wait'], bad: ['', 'Wait', null, true] },
    mirrorToOld: { good: ['detached', 'wait'], bad: ['later', 0] },
    followerLimits: { good: ['mark', 'refuse'], bad: ['ignore', false] },
    putTimeoutMs: { good: [10, 60_000], bad: [9, 60_001, 10.5, '100', Number.NaN] },
    operationTimeoutMs: { good: [10, 600_000], bad: [9, 600_001, null] },
    mirrorTimeoutMs: { good: [10, 60_000], bad: [9, 60_001] },
    mirrorConcurrency: { good: [1, 10_000], bad: [0, 10_001, Number.POSITIVE_INFINITY] },
    mirrorQueueLimit: { good: [0, 10_000_000], bad: [-1, 10_000_001] },
    acknowledgeGraceMs: { good: [0, 60_000], bad: [-1, 60_001] },
    holdTimeoutMs: { good: [0, 600_000], bad: [-1, 600_001] },
    holdQueueLimit: { good: [0, 10_000_000], bad: [-1, 10_000_001] },
    breakerFailures: { good: [1, 1_000_000], bad: [0, 1_000_001] },
    breakerResetMs: { good: [1, 600_000], bad: [0, 600_001] },
    shadowSample: { good: [0, 0.001, 1], bad: [-0.001, 1.001, Number.NaN, '1', null] },
    shadowConcurrency: { good: [1, 10_000], bad: [0, 10_001] },
    shadowRecheckMs: {
      good: [[], [0], new Array(10).fill(60_000)],
      bad: [[-1], [60_001], [0.5], new Array(11).fill(1), 50, ['50']],
    },
    replayConcurrency: { good: [1, 10_000], bad: [0, 10_001] },
    replayRate: { good: [null, 0.5, 1e6], bad: [0, -1, Number.NaN, '10', undefined] },
    replayLatencyBudgetMs: { good: [1, 600_000], bad: [0, 600_001, null] },
    replayTrafficBudgetMs: { good: [null, 0.5, 1e6], bad: [0, -1, Number.NaN, '10', undefined] },
    replayLagBudgetMs: { good: [0, 1, 86_400_000], bad: [-1, 0.5, 86_400_001, null] },
    verification: { good: ['sample', 'full', 'proven'], bad: ['none', null, true] },
    verificationTtlMs: { good: [1_000, 31_536_000_000], bad: [999, 31_536_000_001] },
    noOutsideWriters: { good: [true, false], bad: [0, 1, 'yes', null] },
  };

const caught = (settings: unknown): unknown => {
  try {
    return validateSettings(settings);
  } catch (error) {
    return error;
  }
};

const entries = Object.entries(EDGES);

describe('settings', () => {
  test('have valid defaults, and this test knows every one of them', () => {
    validateSettings(DEFAULT_SETTINGS);
    expect(Object.keys(EDGES).sort()).toStrictEqual(Object.keys(DEFAULT_SETTINGS).sort());
    expect(Object.isFrozen(DEFAULT_SETTINGS)).toBe(true);
    expect(Object.isFrozen(DEFAULT_SETTINGS.shadowRecheckMs)).toBe(true);
  });

  test.each(entries)('%s may stand at the edges of its range', (name, { good }) => {
    for (const value of good) validateSettings({ ...DEFAULT_SETTINGS, [name]: value });
  });

  test.each(entries)('%s is named when it is out of range, with what was expected', (name, { bad }) => {
    for (const value of bad) {
      const error = caught({ ...DEFAULT_SETTINGS, [name]: value });
      expect(error, JSON.stringify(value)).toBeInstanceOf(InvalidArgument);
      expect((error as InvalidArgument).message).toContain(`the setting ${name} `);
      expect((error as InvalidArgument).expected).not.toBeUndefined();
    }
  });

  test.each(entries)('%s is named when it is missing', (name) => {
    const { [name as keyof Settings]: _, ...rest } = DEFAULT_SETTINGS;
    expect((caught(rest) as Error).message).toContain(name);
  });

  test('name a setting that there is none of, and list those that there are', () => {
    const error = caught({ ...DEFAULT_SETTINGS, mirrorToMars: 'wait' });
    expect((error as InvalidArgument).message).toBe('there is no setting "mirrorToMars"');
    expect((error as InvalidArgument).expected).toContain('mirrorToNew');
    for (const name of ['__proto__', 'constructor', 'toString']) {
      expect((caught(JSON.parse(`{"${name}":1}`)) as Error).message).toContain(name);
    }
  });

  test.each([null, undefined, 5, 'settings'])('are not %j', (given) =>
    expect(caught(given)).toBeInstanceOf(InvalidArgument),
  );
});

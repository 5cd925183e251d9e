import { init } from '@launchdarkly/node-server-sdk';
import { TestData } from '@launchdarkly/node-server-sdk/integrations';
import { FlagdCore } from '@openfeature/flagd-core';
import { defaultStrategies } from 'unleash-client/lib/strategy/index.js';
import { initialRuleset, Ruleset } from '../../src/core/ruleset.ts';
import { atMost, type Line, type Result } from '../line.ts';
import { garbage, microseconds, paired } from '../paired.ts';

const UNITS = Array.from({ length: 10_000 }, (_, i) => `user-${i}`);
/** What the engine takes for a number of more than 31 bits. */
const A_NUMBER = 16;
const unit = (i: number): string => UNITS[i % UNITS.length] as string;

/** Whether a unit is in, of four that decide it by a percentage in memory. */
export const routing: Line = {
  name: 'routing',
  async *measure({ rounds, scale }) {
    const calls = Math.ceil(200_000 * scale);
    const document = initialRuleset('mig');
    const ruleset = new Ruleset({
      ...document,
      stamping: 'on',
      dials: { ...document.dials, dualWrite: 50_000, shadowRead: 20_000, cutover: 10_000 },
    });
    const ours = { name: 'changeover', run: () => microseconds(calls, (i) => ruleset.route(unit(i))) };

    const strategy = defaultStrategies.find(({ name }) => name === 'flexibleRollout');
    if (strategy === undefined) throw new Error('unleash-client has no flexibleRollout');
    const parameters = { groupId: 'mig', rollout: 50, stickiness: 'userId' };
    const unleash = {
      name: 'unleash-client, gradual roll-out',
      run: () => microseconds(calls, (i) => strategy.isEnabled(parameters, { userId: unit(i) })),
    };

    const flagd = new FlagdCore();
    const targeting = { fractional: [['old', 50], ['new', 50]] }; // biome-ignore format: one rule a line
    const flag = { state: 'ENABLED', variants: { old: false, new: true }, defaultVariant: 'old', targeting };
    flagd.setConfigurations(JSON.stringify({ flags: { mig: flag } }));
    const fractional = {
      name: 'flagd-core, fractional',
      run: () => microseconds(calls, (i) => flagd.resolveBooleanEvaluation('mig', false, { targetingKey: unit(i) })),
    };

    const data = new TestData();
    await data.update(data.flag('mig').booleanFlag().variationForAll(true));
    const client = init('sdk-key', { updateProcessor: data.getFactory(), sendEvents: false, logger: silent });
    await client.waitForInitialization({ timeout: 10 });
    const variation = {
      name: 'LaunchDarkly, variation',
      run: async () => {
        const begun = process.hrtime.bigint();
        for (let i = 0; i < calls; i += 1) await client.variation('mig', { kind: 'user', key: unit(i) }, false);
        return Number(process.hrtime.bigint() - begun) / calls / 1_000;
      },
    };
    try {
      for (const theirs of [unleash, fractional, variation]) {
        const pairing = await paired(ours, theirs, rounds);
        yield {
          line: `routing decision, against ${theirs.name}`,
          compared: 'the stage of a unit by its hash, rules in memory, 10,000 units',
          unit: 'µs',
          pairing,
          target: atMost(pairing.a.median, 0.1, 'under 0.1 µs'),
        } satisfies Result;
      }
      const bytes = (work: (i: number) => unknown) => () => garbage(Math.min(calls, 20_000), work);
      const pairing = await paired(
        { name: 'changeover', run: bytes((i) => ruleset.route(unit(i))) },
        { name: unleash.name, run: bytes((i) => strategy.isEnabled(parameters, { userId: unit(i) })) },
        rounds,
      );
      yield {
        line: `routing decision, garbage, against ${unleash.name}`,
        compared: 'what a decision leaves for the collector; the same decisions',
        unit: 'bytes',
        pairing,
        target: atMost(pairing.a.median, A_NUMBER, 'nothing beyond the hash, a number of 16 bytes at most'),
      } satisfies Result;
    } finally {
      client.close();
    }
  },
};

const nothing = (): void => {};
const silent = { debug: nothing, info: nothing, warn: nothing, error: nothing };

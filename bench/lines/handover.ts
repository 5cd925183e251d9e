import { setTimeout as wait } from 'node:timers/promises';
import { controlPlace, Fleet, NO_POSTGRES } from '../fleet.ts';
import { atMost, type Line } from '../line.ts';
import { type Contender, paired } from '../paired.ts';

const WRITES = 1_000;
const PROCESSES = 2;
const ONE_PERCENT = 1_000;
/** Handovers a round of other lines. */
const TIMES = 4;
/** What is held is released a little after the command has ended. */
const RELEASED_MS = 100;
const LIMIT_MS = { SQLite: 100, PostgreSQL: 50 } as const;

/** How long a handover makes writes wait. */
export const handover: Line = {
  name: 'handover',
  async *measure({ rounds, scale }) {
    for (const name of ['SQLite', 'PostgreSQL'] as const) {
      const line = `handover of 1 % under ${WRITES} writes/s, ${name}`;
      const place = await controlPlace(name);
      if (place === null) {
        yield { line, because: NO_POSTGRES };
        continue;
      }
      await using fleet = await Fleet.start(place, PROCESSES, WRITES);
      let to = 0;
      let lastMs = 0;
      const moving: Contender = {
        name: 'a handover',
        async run() {
          await fleet.longest();
          to = ONE_PERCENT - to;
          lastMs = await fleet.move('cutover', to);
          await wait(RELEASED_MS);
          return fleet.longest();
        },
      };
      const quiet: Contender = {
        name: 'the same time without one',
        async run() {
          await fleet.longest();
          await wait(lastMs + RELEASED_MS);
          return fleet.longest();
        },
      };
      const times = rounds * Math.max(1, Math.round(TIMES * Math.min(1, scale * 10)));
      const pairing = await paired(moving, quiet, times);
      yield {
        line,
        compared: `the write that waited longest, of ${WRITES} a second by ${PROCESSES} processes, all of units that move, stores in memory: handovers there and back, beside the same time without one; p99 ${pairing.a.p99.toFixed(1)} ms of ${times} handovers`,
        unit: 'ms',
        pairing,
        target: atMost(pairing.a.p99, LIMIT_MS[name], `p99 under ${LIMIT_MS[name]} ms`),
      };
    }
  },
};

import { controlPlace, Fleet, NO_POSTGRES } from '../fleet.ts';
import { atMost, type Line } from '../line.ts';
import { type Contender, paired } from '../paired.ts';

const PROCESSES = 20;
/** Moves a round of other lines: a 99th percentile needs many. */
const MOVES = 7;

/** How soon a dial is in force everywhere. */
export const dial: Line = {
  name: 'dial',
  async *measure({ rounds, scale }) {
    const processes = Math.max(2, Math.ceil(PROCESSES * Math.min(1, scale * 4)));
    for (const name of ['SQLite', 'PostgreSQL'] as const) {
      const line = `dial to last acknowledgement, ${processes} processes, ${name}`;
      const places = [await controlPlace(name), await controlPlace(name)];
      const [place, other] = places;
      if (place == null || other == null) {
        yield { line, because: NO_POSTGRES };
        continue;
      }
      await using fleet = await Fleet.start(place, processes);
      await using lone = await Fleet.start(other, 1);
      const moves = (of: Fleet): Contender => {
        let to = 0;
        return {
          name: 'a move',
          run: () => {
            to = (to + 10_000) % 100_000;
            return of.move('shadow-read', to);
          },
        };
      };
      const times = rounds * Math.max(1, Math.round(MOVES * Math.min(1, scale * 10)));
      const pairing = await paired(moves(fleet), moves(lone), times);
      yield {
        line,
        compared: `shadow-read from the command to the last acknowledgement: ${processes} idle processes on this machine, beside a fleet of one; p99 ${pairing.a.p99.toFixed(1)} ms of ${times} moves`,
        unit: 'ms',
        pairing,
        target: atMost(pairing.a.p99, 100, 'p99 under 100 ms'),
      };
    }
  },
};

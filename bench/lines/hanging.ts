import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { control, defineConfig, migration, open } from '../../src/index.ts';
import { type Delay, LeanStore } from '../lean-store.ts';
import { atMost, type Line, type Result } from '../line.ts';
import { byTurns, type Contender, pairingOf } from '../paired.ts';

const WHY = { reason: 'bench', actor: 'bench' };
const CALLERS = 16;
/** What the old store takes: about what a database in the same building does. */
const OLD_MS = 2;

interface Event {
  readonly userKey: string;
  readonly id: string;
  readonly n: number;
}

/** A service in the stage dualwrite: the old store leads, the new one is mirrored to. */
async function service(answer: Delay | undefined) {
  const old = new LeanStore(() => new Promise((resolve) => setTimeout(resolve, OLD_MS)));
  const folder = mkdtempSync(join(tmpdir(), 'changeover-bench-'));
  const config = defineConfig({
    control: `sqlite:${join(folder, 'control.db')}`,
    migrations: {
      events: migration<Event>({
        key: ['userKey', 'id'],
        unit: 'userKey',
        old: old.definition,
        new: new LeanStore(answer).definition,
      }),
    },
  });
  const changeover = await open(config);
  const operator = await control(config);
  await operator.prepare('events');
  await operator.plane.changeSettings('events', { noOutsideWriters: true }, WHY);
  await (await operator.migration('events')).set({ dial: 'dual-write', to: 100_000 }, WHY);
  const repository = changeover.repository('events');
  let n = 0;
  return {
    /** The latencies of that many puts, ms, ascending. */
    async latencies(puts: number): Promise<readonly number[]> {
      const all: number[] = [];
      const caller = async (): Promise<void> => {
        for (let i = 0; i < puts / CALLERS; i += 1) {
          n += 1;
          const event = { userKey: `user-${n % 500}`, id: `id-${n % 20_000}`, n };
          const begun = performance.now();
          await repository.put(event);
          all.push(performance.now() - begun);
        }
      };
      await Promise.all(Array.from({ length: CALLERS }, caller));
      return all.sort((x, y) => x - y);
    },
    async close(): Promise<void> {
      await operator.close();
      await changeover.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The follower never hurts: what callers wait for is the same whether it answers or not. */
export const hanging: Line = {
  name: 'hanging',
  async *measure({ rounds, scale }) {
    const puts = Math.ceil(8_000 * scale);
    let answer: () => void = () => {};
    const never = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const services = [await service(() => never), await service(undefined)] as const;
    try {
      for (const [name, share] of [
        ['p50', 0.5],
        ['p99', 0.99],
      ] as const) {
        const contender = (of: (typeof services)[number]): Contender => ({
          name,
          run: async () => {
            const latencies = await of.latencies(puts);
            return latencies[Math.floor(latencies.length * share)] as number;
          },
        });
        const figures = await byTurns(services.map(contender), rounds);
        const pairing = pairingOf(figures as [number, number][]);
        yield {
          line: `put while the new store hangs, ${name}`,
          compared: `${puts} puts by ${CALLERS} callers, old store leading and answering after ${OLD_MS} ms: a new store that never answers, beside one that answers at once`,
          unit: 'ms',
          pairing,
          target: atMost(pairing.ratio.median, 1.05, 'ratio under 1.05'),
        } satisfies Result;
      }
    } finally {
      answer();
      for (const one of services) await one.close();
    }
  },
};

/** A service that reads and writes events all the time; a script. argv: its orders, as JSON. */
import { answer } from '../../src/cli/demo/child.ts';
import { Journal } from '../../src/cli/demo/journal.ts';
import { Traffic } from '../../src/cli/demo/traffic.ts';
import { open } from '../../src/service/open.ts';
import { configOf, MIGRATION, type PairSpec } from './place-spec.ts';

export interface ServiceOrders {
  readonly pair: PairSpec;
  readonly journal: string;
  readonly label: string;
  readonly seeds: number;
  readonly operationsPerSecond: number;
}

async function serve(orders: ServiceOrders): Promise<Readonly<Record<string, () => unknown>>> {
  const changeover = await open(configOf(orders.pair), { name: orders.label });
  const journal = new Journal(orders.journal);
  const traffic = new Traffic({ ...orders, events: changeover.repository(MIGRATION), journal });
  return {
    take: () => traffic.take(),
    stop: async () => {
      await traffic.stop();
      await changeover.close();
      journal.close();
    },
  };
}

answer(serve(JSON.parse(process.argv[2] ?? '{}') as ServiceOrders));

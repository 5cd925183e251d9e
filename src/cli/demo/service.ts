import { open } from '../../service/open.ts';
import { answer } from './child.ts';
import { type DemoPlaces, demoConfig, MIGRATION, plantFault } from './demo-config.ts';
import { Journal } from './journal.ts';
import { Traffic } from './traffic.ts';

/** What a service process is told when it starts, as JSON in its first argument. */
export interface ServiceOrders {
  readonly places: DemoPlaces;
  readonly journal: string;
  readonly name: string;
  readonly label: string;
  readonly seeds: number;
  readonly operationsPerSecond: number;
}

async function serve(orders: ServiceOrders): Promise<Readonly<Record<string, (value: unknown) => unknown>>> {
  const changeover = await open(demoConfig(orders.places), { name: orders.name });
  const journal = new Journal(orders.journal);
  const traffic = new Traffic({ ...orders, events: changeover.repository(MIGRATION), journal });
  return {
    take: () => traffic.take(),
    fault: (on) => plantFault(on === true),
    stop: async () => {
      await traffic.stop();
      await changeover.close();
      journal.close();
    },
  };
}

answer(serve(JSON.parse(process.argv[2] ?? '{}') as ServiceOrders));

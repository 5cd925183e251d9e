/**
 * A process that does one thing to a control database and talks over IPC. Arguments: what, the file.
 * - `increment`: adds 1 to the revision of migration `counter`, argument 3 times, each in its own transaction
 * - `commit`: commits one change for every message, and answers with the time of the commit
 * - `hold`: takes the write lock and keeps it until the next message
 * - `hang`: changes the counter in a transaction that never ends
 * - `prepare`: prepares the file
 */

import { knexStorage } from '../../src/control/knex-storage.ts';
import { systemClock } from '../../src/core/clock.ts';

const [what = '', path = '', count = '0'] = process.argv.slice(2);
const storage = knexStorage({ path, busyBudgetMs: 60_000 });
// Nothing that a test started outlives it.
process.on('disconnect', () => process.exit());
const say = (message: unknown): void => void process.send?.(message);

const increment = (): Promise<number> =>
  storage.transaction(async (tx) => {
    const [row] = await tx.select('migrations', { name: 'counter' });
    const revision = (row?.revision ?? 0) + 1;
    await tx.update('migrations', { name: 'counter' }, { revision });
    return revision;
  });

const end = async (): Promise<void> => {
  await storage.close();
  process.disconnect();
};

switch (what) {
  case 'increment':
    for (let i = 0; i < Number(count); i += 1) await increment();
    await end();
    break;
  case 'commit':
    process.on('message', async () => {
      await increment();
      say(systemClock.now());
    });
    say('ready');
    break;
  case 'hold':
    await storage.transaction(async (tx) => {
      await tx.update('migrations', { name: 'counter' }, { revision: 0 });
      say('holding');
      await new Promise((resolve) => process.once('message', resolve));
    });
    say('released');
    await end();
    break;
  case 'hang':
    await storage.transaction(async (tx) => {
      await tx.update('migrations', { name: 'counter' }, { revision: 999 });
      say('hanging');
      await new Promise(() => {
        setInterval(() => {}, 1_000);
      });
    });
    break;
  case 'prepare':
    await storage.prepare();
    await end();
    break;
  default:
    throw new Error(`there is nothing called ${what}`);
}

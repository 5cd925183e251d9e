/**
 * A process that does one thing to a control database and talks over IPC. Arguments: what, the file or URL.
 * - `increment`: adds 1 to the revision of migration `counter`, argument 3 times, each in its own transaction
 * - `commit`: commits one change for every message, and answers with the time of the commit
 * - `hold`: takes the write lock and keeps it until the next message
 * - `hang`: changes the counter in a transaction that never ends
 * - `prepare`: prepares the database
 * - `step`: for every message, steps the handover of migration `events` until there is none; answers with its steps
 */

import { setTimeout as pause } from 'node:timers/promises';
import { ControlPlane } from '../../src/control/control-plane.ts';
import { systemClock } from '../../src/core/clock.ts';
import { controlStorage } from './control-storage.ts';

const [what = '', place = '', count = '0'] = process.argv.slice(2);
const storage = controlStorage(place, 60_000);
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
      let enough = false;
      process.once('message', () => {
        enough = true;
      });
      // Now and then a word: PostgreSQL takes the lock from a process that says nothing for two seconds.
      while (!enough) {
        await tx.count('migrations', {});
        await pause(20);
      }
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
  case 'step': {
    const plane = new ControlPlane(storage, systemClock);
    process.on('message', async () => {
      let steps = 0;
      for (;;) {
        const { state } = await plane.stepHandover('events');
        if (state === 'none') break;
        if (state === 'stepped') steps += 1;
      }
      say(steps);
    });
    say('ready');
    break;
  }
  default:
    throw new Error(`there is nothing called ${what}`);
}

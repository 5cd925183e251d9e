/** A service that writes and reads events all the time; a script, started by a test. argv: configuration, name. */
import { pathToFileURL } from 'node:url';
import { HandoverInProgress, OutcomeUnknown } from '../../src/core/errors.ts';
import type { Config, MigrationDefinition } from '../../src/service/config.ts';
import { open } from '../../src/service/open.ts';
import type { ServiceReport } from './project.ts';

interface Event {
  readonly userKey: string;
  readonly id: string;
  readonly n: number;
}

const [path = '', name = ''] = process.argv.slice(2);
const { default: config } = (await import(pathToFileURL(path).href)) as {
  readonly default: Config<{ readonly events: MigrationDefinition<Event> }>;
};
const changeover = await open(config, { name, migrations: ['events'] });
const events = changeover.repository('events');
const written: Record<string, number> = {};
const failures: string[] = [];
let running = true;
process.on('message', () => {
  running = false;
});
process.send?.('ready');

for (let n = 1; running; n += 1) {
  const key = { userKey: `u${n % 53}`, id: `${name}-${n % 211}` };
  try {
    await events.put({ ...key, n });
    written[`${key.userKey} ${key.id}`] = n;
    if (n % 3 === 0) {
      const found = await events.get(key);
      if (found?.n !== n) failures.push(`read ${found?.n} of ${n}`);
    }
  } catch (error) {
    // It came at the wrong moment, and wrote nothing.
    if (error instanceof HandoverInProgress) continue;
    if (error instanceof OutcomeUnknown) delete written[`${key.userKey} ${key.id}`];
    failures.push(error instanceof Error ? `${error.name}: ${error.message}` : String(error));
  }
  await new Promise((resolve) => setTimeout(resolve, 8));
}
await changeover.close();
process.send?.({ written, failures } satisfies ServiceReport, () => process.disconnect());

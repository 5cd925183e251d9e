import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  createMigration,
  init,
  LDConcurrentExecution,
  LDMigrationStage,
  LDMigrationSuccess,
  LDSerialExecution,
} from '@launchdarkly/node-server-sdk';
import { TestData } from '@launchdarkly/node-server-sdk/integrations';
import { experimentAsync } from 'tzientist';

type Access = Readonly<Record<'old' | 'new', (i: number) => Promise<unknown>>>;

const nothing = (): void => {};
const SILENT = { debug: nothing, info: nothing, warn: nothing, error: nothing };

/** Two stores behind a migration of LaunchDarkly that stands in a stage; its events go to a server of our own. */
export async function migrationOf(stage: 'off' | 'dualwrite' | 'shadow', events: boolean, reads: Access, puts: Access) {
  const sink = createServer((request, response) => {
    request.resume();
    request.on('end', () => response.writeHead(202).end());
  });
  await new Promise<void>((resolve) => sink.listen(0, '127.0.0.1', resolve));
  const data = new TestData();
  await data.update(data.flag('mig').valueForAll(stage));
  const client = init('sdk-key', {
    updateProcessor: data.getFactory(),
    sendEvents: events,
    eventsUri: `http://127.0.0.1:${(sink.address() as AddressInfo).port}`,
    diagnosticOptOut: true,
    logger: SILENT,
  });
  await client.waitForInitialization({ timeout: 10 });
  const wrap =
    (run: (i: number) => Promise<unknown>) =>
    async (i = 0) =>
      LDMigrationSuccess(await run(i));
  const migration = createMigration<unknown, unknown, number, number>(client, {
    // Reads of both at once, as a shadow read would; writes one after the other, as it does them.
    execution: stage === 'shadow' ? new LDConcurrentExecution() : new LDSerialExecution(0),
    latencyTracking: events,
    errorTracking: events,
    readOld: wrap(reads.old),
    readNew: wrap(reads.new),
    writeOld: wrap(puts.old),
    writeNew: wrap(puts.new),
  });
  return {
    get: (unit: string, i: number) => migration.read('mig', { kind: 'user', key: unit }, LDMigrationStage.Off, i),
    put: (unit: string, i: number) => migration.write('mig', { kind: 'user', key: unit }, LDMigrationStage.Off, i),
    close(): void {
      client.close();
      sink.close();
      sink.closeAllConnections();
    },
  };
}

/** Calls of both stores as control and candidate of an experiment whose outcome nobody publishes. */
export const experimentOf = ({ old, new: fresh }: Access): ((i: number) => Promise<unknown>) =>
  experimentAsync({
    name: 'mig',
    control: (i: number) => old(i),
    candidate: (i: number) => fresh(i),
    options: { publish: nothing },
  });

import type { Server } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { answer } from './child.ts';

type Dynalite = (options: Readonly<Record<string, number | string>>) => Server;

/** Serves the DynamoDB API from files in a directory, at a port that the system chooses. */
async function serve(path: string): Promise<Readonly<Record<string, () => unknown>>> {
  const dynalite = createRequire(import.meta.url)('dynalite') as Dynalite;
  const server = dynalite({ path, createTableMs: 0, deleteTableMs: 0, updateTableMs: 0 });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  return { port: () => (server.address() as AddressInfo).port };
}

answer(serve(process.argv[2] ?? ''));

import { InvalidConfiguration } from '../../core/errors.ts';
import type { RunningServer } from '../../server/index.ts';
import { type Control, control } from '../../service/control.ts';
import { VERSION } from '../../service/version.ts';
import { type DemoPlaces, demoConfig } from './demo-config.ts';

/** The operators' console of the demonstration, on this machine only. */
export class DemoConsole {
  readonly url: string;
  /** Made for this demonstration; it ends with its files. */
  readonly token: string | null;
  readonly #server: RunningServer;
  readonly #operations: Control;

  private constructor(server: RunningServer, operations: Control) {
    this.url = server.url;
    this.token = server.firstToken;
    this.#server = server;
    this.#operations = operations;
  }

  static async open(places: DemoPlaces): Promise<DemoConsole> {
    const operations = await control(demoConfig(places));
    try {
      return new DemoConsole(await listen(operations), operations);
    } catch (error) {
      await operations.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#server.close();
    await this.#operations.close();
  }
}

/** On the usual port, or on any that is free. */
async function listen(operations: Control): Promise<RunningServer> {
  // Only here: what it takes to serve is loaded by nothing else.
  const { startServer } = await import('../../server/index.ts');
  const options = { operations, version: VERSION };
  try {
    return await startServer(options);
  } catch (error) {
    if (!(error instanceof InvalidConfiguration)) throw error;
    return startServer({ ...options, port: 0 });
  }
}

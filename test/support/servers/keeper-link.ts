import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { EngineAddress, KeptProcess, Order, Report } from './keeper-orders.ts';
import { keeperFile, makeRunFolder } from './run-folder.ts';

const LOG_LINES = 3;

/** A server process that the keeper has started. */
export interface KeptServer {
  /** How it ended, with the last that it had to say; null while it runs. */
  gone(): string | null;
}

/** The run's side of its keeper: what is started through here ends with the run, however that ends. */
export class KeeperLink {
  readonly folder: string;
  readonly #keeper: ChildProcess;
  readonly #ended = new Map<string, string>();

  private constructor(folder: string) {
    this.folder = folder;
    this.#keeper = fork(join(import.meta.dirname, 'keeper.ts'), [folder], {
      detached: true,
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      execArgv: ['--disable-warning=ExperimentalWarning'],
    });
    this.#keeper.on('message', (report: Report) => {
      if (report.report === 'ended') this.#ended.set(report.name, report.how);
    });
    // Neither the keeper nor the channel to it is a reason for the run to go on.
    this.#keeper.unref();
    this.#keeper.channel?.unref();
  }

  static async begin(): Promise<KeeperLink> {
    const folder = makeRunFolder();
    const link = new KeeperLink(folder);
    await once(link.#keeper, 'spawn');
    writeFileSync(keeperFile(folder), String(link.#keeper.pid));
    return link;
  }

  start(server: KeptProcess): KeptServer {
    this.#order({ order: 'start', server });
    return {
      gone: () => {
        if (!this.#keeper.connected) return 'its keeper has ended';
        const how = this.#ended.get(server.name);
        return how === undefined ? null : `${how}: ${lastLines(server.log)}`;
      },
    };
  }

  /** Containers of this engine that carry the label end with the run too. */
  keepContainers(engine: EngineAddress, label: string): void {
    this.#order({ order: 'containers', engine, label });
  }

  /** Ends everything, last one first. */
  async stop(): Promise<void> {
    if (this.#keeper.exitCode !== null || this.#keeper.signalCode !== null) return;
    this.#keeper.ref();
    const ended = once(this.#keeper, 'exit');
    this.#order({ order: 'stop' });
    await ended;
  }

  #order(order: Order): void {
    if (this.#keeper.connected) this.#keeper.send(order);
  }
}

function lastLines(log: string): string {
  try {
    return readFileSync(log, 'utf8').trim().split('\n').slice(-LOG_LINES).join('\n');
  } catch {
    return 'it said nothing';
  }
}

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';

/** A process under test that runs one of the scripts beside this file. */
export class Child {
  readonly process: ChildProcess;
  readonly #inbox: unknown[] = [];
  readonly #waiting: ((message: unknown) => void)[] = [];
  readonly ended: Promise<{ readonly code: number | null; readonly signal: string | null }>;

  constructor(script: string, args: readonly string[]) {
    this.process = fork(new URL(`./${script}.ts`, import.meta.url), [...args], {
      execArgv: ['--disable-warning=ExperimentalWarning'],
    });
    this.ended = once(this.process, 'exit').then(([code, signal]) => ({ code, signal }));
    this.process.on('message', (message) => {
      const waiting = this.#waiting.shift();
      if (waiting === undefined) this.#inbox.push(message);
      else waiting(message);
    });
  }

  /** The next message that it sends. */
  message(): Promise<unknown> {
    if (this.#inbox.length > 0) return Promise.resolve(this.#inbox.shift());
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  send(message: string): void {
    this.process.send(message);
  }

  kill(): void {
    this.process.kill('SIGKILL');
  }
}

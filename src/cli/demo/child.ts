import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';

/** A question to a child process; the answer comes back under the same number. */
export interface Question {
  readonly n: number;
  readonly ask: string;
  readonly value?: unknown;
}

type Answer = { readonly n: number; readonly answer?: unknown; readonly failed?: string };

const TAIL = 600;

/**
 * A process of the demonstration, running one of the scripts beside this file. It is ended by its own pid, and ends by
 * itself when this process is gone.
 */
export class Child {
  readonly name: string;
  readonly pid: number;
  /** Resolves when the process has ended, however. */
  readonly ended: Promise<void>;
  readonly #process: ChildProcess;
  readonly #errors: string;
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  #asked = 0;
  #gone = false;

  /** Starts a process; what it writes to its outputs goes to the file `errors`. */
  constructor(name: string, script: string, args: readonly string[], errors: string) {
    this.name = name;
    this.#errors = errors;
    const file = openSync(errors, 'a');
    this.#process = fork(new URL(script, import.meta.url), [...args], {
      execPath: process.execPath,
      execArgv: ['--disable-warning=ExperimentalWarning'],
      stdio: ['ignore', file, file, 'ipc'],
    });
    closeSync(file);
    this.pid = this.#process.pid ?? 0;
    this.ended = once(this.#process, 'exit').then(() => this.#end());
    this.#process.on('message', (message) => this.#receive(message as Answer));
    // A pipe that breaks while the child dies is seen by its exit.
    this.#process.on('error', () => {});
  }

  /** Waits for its first word. @throws Error with the end of what it wrote when the process ends instead. */
  async ready(): Promise<void> {
    await this.ask('hello');
  }

  get running(): boolean {
    return !this.#gone;
  }

  /** Asks and waits for the answer. @throws Error when the process ends first. */
  ask(what: string, value?: unknown): Promise<unknown> {
    if (this.#gone) return Promise.reject(this.#mourn());
    return new Promise((resolve, reject) => {
      this.#asked += 1;
      this.#waiting.set(this.#asked, { resolve, reject });
      const question: Question = { n: this.#asked, ask: what, ...(value === undefined ? {} : { value }) };
      this.#process.send(question);
    });
  }

  /** Sends a signal to this very process. */
  signal(signal: NodeJS.Signals): void {
    if (!this.#gone) this.#process.kill(signal);
  }

  /** Ends it at once and waits until it has ended; also one that stands still. */
  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.ended;
  }

  #receive({ n, answer, failed }: Answer): void {
    const waiting = this.#waiting.get(n);
    this.#waiting.delete(n);
    if (failed === undefined) waiting?.resolve(answer);
    else waiting?.reject(new Error(`${this.name}: ${failed}`));
  }

  #end(): void {
    this.#gone = true;
    for (const { reject } of this.#waiting.values()) reject(this.#mourn());
    this.#waiting.clear();
  }

  #mourn(): Error {
    const said = readFileSync(this.#errors, 'utf8').trim().slice(-TAIL);
    return new Error(`${this.name} (pid ${this.pid}) has ended${said === '' ? '' : `: ${said}`}`);
  }
}

/**
 * The child's side: answers questions by name, and ends when its parent is gone. `ready` holds all answers back until
 * the process can give them.
 */
export function answer(ready: Promise<Readonly<Record<string, (value: unknown) => unknown>>>): void {
  // Ctrl-C reaches the whole terminal; what happens then is the parent's decision.
  process.on('SIGINT', () => {});
  process.on('disconnect', () => process.exit());
  process.on('message', (message) => {
    const { n, ask, value } = message as Question;
    ready
      .then((answers) => (ask === 'hello' ? undefined : answers[ask]?.(value)))
      .then(
        (result) => process.send?.({ n, answer: result }),
        (error: unknown) => process.send?.({ n, failed: error instanceof Error ? error.message : String(error) }),
      );
  });
}

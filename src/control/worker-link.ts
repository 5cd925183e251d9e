import { Worker } from 'node:worker_threads';
import { type Clock, sleep } from '../core/clock.ts';
import type { Change, NodeReport, WatchOptions } from '../core/control-client.ts';
import { Closed, ControlUnavailable } from '../core/errors.ts';
import { errorFromJson } from '../core/revive-error.ts';
import { type ControlRequest, type ControlResponse, type ControlWorkerData, REPORTS } from './control-rpc.ts';
import { packReport } from './packed-dirt.ts';

/** Calls end by themselves within their budgets; a worker that hangs is ended after this long. */
const DRAIN_MS = 15_000;
const EXIT_MS = 5_000;

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** The main thread's end of a worker that hosts a control plane. */
export class WorkerLink {
  readonly #worker: Worker;
  readonly #clock: Clock;
  readonly #pending = new Map<number, Pending>();
  readonly #watchers = new Map<number, (change?: Change) => void>();
  readonly #started = Promise.withResolvers<readonly string[]>();
  readonly #exited = Promise.withResolvers<void>();
  #drained: (() => void) | null = null;
  #lastId = 0;
  #dead: ControlUnavailable | null = null;
  #closing: Promise<void> | null = null;

  constructor(entry: URL, data: ControlWorkerData, clock: Clock) {
    this.#clock = clock;
    this.#worker = new Worker(entry, { workerData: data, name: 'changeover-control' });
    this.#worker.on('message', (response: ControlResponse) => this.#receive(response));
    for (const event of ['messageerror', 'error'] as const) {
      this.#worker.on(event, (cause: unknown) => this.#die(cause instanceof Error ? cause.message : `${cause}`, cause));
    }
    this.#worker.on('exit', (code) => {
      this.#die(`exit code ${code}`);
      this.#exited.resolve();
    });
  }

  /** The names of the plane's methods, when it is ready. Rejects with why it could not be. */
  get started(): Promise<readonly string[]> {
    return this.#started.promise;
  }

  async call(method: string, args: readonly unknown[]): Promise<unknown> {
    if (!REPORTS.has(method)) return this.#call(method, args);
    return this.#call(method, [await packReport(args[0] as NodeReport)]);
  }

  #call(method: string, args: readonly unknown[]): Promise<unknown> {
    if (this.#closing !== null) return Promise.reject(new Closed('the control plane was closed'));
    if (this.#dead !== null) return Promise.reject(this.#dead);
    this.#lastId += 1;
    const id = this.#lastId;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    // Throws for arguments that cannot be cloned, and then nothing was sent.
    try {
      this.#send({ kind: 'call', id, method, args });
    } catch (error) {
      return Promise.reject(error);
    }
    this.#pending.set(id, { resolve, reject });
    return promise;
  }

  watch(changed: (change?: Change) => void, options: WatchOptions = {}): () => void {
    if (this.#closing !== null) throw new Closed('the control plane was closed');
    this.#lastId += 1;
    const id = this.#lastId;
    this.#watchers.set(id, changed);
    // It answers with a first change, so that nobody misses what came just before.
    if (this.#dead === null) this.#send({ kind: 'watch', id, options });
    return () => {
      if (this.#watchers.delete(id) && this.#dead === null && this.#closing === null)
        this.#send({ kind: 'unwatch', id });
    };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#watchers.clear();
    if (this.#dead === null) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#drained = resolve;
      if (this.#pending.size === 0) resolve();
      await this.#within(DRAIN_MS, promise);
    }
    if (this.#dead === null) {
      this.#send({ kind: 'close' });
      await this.#within(EXIT_MS, this.#exited.promise);
    }
    // A thread inside a system call that never returns cannot be ended; the process can still go on.
    void this.#worker.terminate();
    await this.#within(EXIT_MS, this.#exited.promise);
  }

  async #within(ms: number, end: Promise<void>): Promise<void> {
    const stop = new AbortController();
    await Promise.race([end, sleep(this.#clock, ms, stop.signal).catch(() => {})]);
    stop.abort();
  }

  #send(request: ControlRequest): void {
    this.#worker.postMessage(request);
  }

  #receive(response: ControlResponse): void {
    switch (response.kind) {
      case 'ready':
        this.#started.resolve(response.methods);
        break;
      case 'failed':
        this.#started.reject(errorFromJson(response.error));
        break;
      case 'result':
        this.#settle(response.id)?.resolve(response.value);
        break;
      case 'error':
        this.#settle(response.id)?.reject(errorFromJson(response.error));
        break;
      case 'changed':
        this.#watchers.get(response.id)?.(response.change);
        break;
    }
  }

  #settle(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    if (this.#pending.size === 0) this.#drained?.();
    return pending;
  }

  #die(why: string, cause?: unknown): void {
    this.#dead ??= new ControlUnavailable(`the worker of the control plane has ended: ${why}`, {
      remedy: 'restart the process',
      // A call that was under way may have been committed.
      details: { outcome: 'unknown' },
      cause,
    });
    this.#started.reject(this.#dead);
    for (const id of [...this.#pending.keys()]) this.#settle(id)?.reject(this.#dead);
  }
}

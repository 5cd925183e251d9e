import type { MessagePort } from 'node:worker_threads';
import { type Clock, systemClock } from '../core/clock.ts';
import { errorToJson } from '../core/revive-error.ts';
import { type ControlRequest, type ControlResponse, type ControlWorkerData, REPORTS } from './control-rpc.ts';
import { knexStorage } from './knex-storage.ts';
import { type PackedReport, unpackReport } from './packed-dirt.ts';
import type { ControlStorage } from './storage.ts';

type Method = (...args: readonly unknown[]) => unknown;

/** The methods that an instance's classes declare. */
function methodsOf(plane: object): Map<string, Method> {
  const methods = new Map<string, Method>();
  for (
    let prototype: object | null = Object.getPrototypeOf(plane);
    prototype !== null && prototype !== Object.prototype;
    prototype = Object.getPrototypeOf(prototype)
  ) {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
      if (typeof value !== 'function' || name === 'constructor' || methods.has(name)) continue;
      methods.set(name, (...args) => Reflect.apply(value, plane, args));
    }
  }
  return methods;
}

/**
 * Hosts a control plane on a SQLite file and answers a main thread's calls: what a worker's entry calls. Ends when
 * the main thread asks, when all that was called is answered.
 */
export async function serveControl(
  port: MessagePort,
  data: ControlWorkerData,
  makePlane: (storage: ControlStorage, clock: Clock) => object,
): Promise<void> {
  const send = (response: ControlResponse): void => port.postMessage(response);
  let storage: ControlStorage | null = null;
  let methods: Map<string, Method>;
  try {
    storage = knexStorage({ path: data.path, busyBudgetMs: data.busyBudgetMs });
    if (data.prepare !== false) await storage.prepare(data.prepare);
    // Whatever is wrong with the file is said now, not at the first call.
    await storage.read(async () => {});
    methods = methodsOf(makePlane(storage, systemClock));
  } catch (error) {
    await storage?.close();
    send({ kind: 'failed', error: errorToJson(error) });
    port.close();
    return;
  }

  const running = new Set<Promise<void>>();
  const watches = new Map<number, () => void>();

  const answer = async (id: number, method: string, args: readonly unknown[]): Promise<void> => {
    try {
      const run = methods.get(method);
      if (run === undefined) throw new Error(`the control plane has no method ${method}`);
      const given = REPORTS.has(method) ? [unpackReport(args[0] as PackedReport)] : args;
      send({ kind: 'result', id, value: await run(...given) });
    } catch (error) {
      send({ kind: 'error', id, error: errorToJson(error) });
    }
  };

  const close = async (): Promise<void> => {
    for (const stop of watches.values()) stop();
    await Promise.all(running);
    await storage.close();
    port.close();
  };

  port.on('message', (request: ControlRequest) => {
    switch (request.kind) {
      case 'call': {
        const call = answer(request.id, request.method, request.args).finally(() => running.delete(call));
        running.add(call);
        break;
      }
      case 'watch':
        watches.set(
          request.id,
          storage.watch((change) => send({ kind: 'changed', id: request.id, change }), request.options),
        );
        break;
      case 'unwatch':
        watches.get(request.id)?.();
        watches.delete(request.id);
        break;
      case 'close':
        void close();
        break;
    }
  });
  send({ kind: 'ready', methods: [...methods.keys()] });
}

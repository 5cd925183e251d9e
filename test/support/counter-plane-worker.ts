/** The entry of a worker that hosts {@link CounterPlane}: what sqlite-worker.ts is for the real control plane. */
import { parentPort, workerData } from 'node:worker_threads';
import type { ControlWorkerData } from '../../src/control/control-rpc.ts';
import { serveControl } from '../../src/control/control-worker.ts';
import { CounterPlane } from './counter-plane.ts';

if (parentPort !== null) {
  await serveControl(parentPort, workerData as ControlWorkerData, (storage) => new CounterPlane(storage));
}

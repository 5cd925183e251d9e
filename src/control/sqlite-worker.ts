import { parentPort, workerData } from 'node:worker_threads';
import { ControlPlane } from './control-plane.ts';
import type { ControlWorkerData } from './control-rpc.ts';
import { serveControl } from './control-worker.ts';

// The entry of the worker that openSqliteControl starts.
if (parentPort !== null) {
  await serveControl(parentPort, workerData as ControlWorkerData, (storage, clock) => new ControlPlane(storage, clock));
}

import { PLACES, type WorkerPlaces, workersConfig } from './worker-fleet.ts';

export default workersConfig(JSON.parse(process.env[PLACES] ?? '{}') as WorkerPlaces);

import { postgresPlace } from '../control/postgres-place.ts';
import { ScanDesk } from '../control/scan-desk.ts';
import { PartitionJobs, type PartitionJobsOptions } from '../replay/partition-jobs.ts';
import type { Config } from './config.ts';

export const onPostgres = ({ control }: Config): boolean => /^postgres(ql)?:/.test(control);

/** Whether pg-boss can be loaded here; it is an optional part. */
export function hasPgBoss(): boolean {
  try {
    return import.meta.resolve('pg-boss') !== '';
  } catch {
    return false;
  }
}

/** What carries partitions between machines: beside the control plane's own tables, and null where it cannot. */
export function partitionJobsOf(
  config: Config,
  options: Pick<PartitionJobsOptions, 'supervise' | 'onError'>,
): PartitionJobs | null {
  if (!onPostgres(config) || !hasPgBoss()) return null;
  const { connectionString, schema, label } = postgresPlace(config.control);
  return new PartitionJobs({ ...options, connectionString, schema: `${schema.slice(0, 58)}_jobs`, label });
}

/** Where verifications are shared between machines; null where they cannot be. Connects when it is first used. */
export function scanDeskOf(config: Config): ScanDesk | null {
  return onPostgres(config) && hasPgBoss() ? new ScanDesk(postgresPlace(config.control)) : null;
}

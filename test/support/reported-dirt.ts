import { randomUUID } from 'node:crypto';
import type { ControlPlaneApi } from '../../src/control/control-plane.ts';
import type { DirtReport } from '../../src/core/control-client.ts';
import { STAMP_MIN } from '../../src/core/stamp.ts';

const NODE = { host: 'h', pid: 1, processId: 'p', version: '1', name: 'svc' };
/** What a process reports at once. */
const BATCH = 2_000;

/** What lines of lost writes to the new store have in common. */
export const lost = { target: 'new', kind: 'lost', cause: 'test', notBefore: null } as const;

/** A process that joins, reports dirt and leaves. */
export async function reportDirt(
  plane: ControlPlaneApi,
  migration: string,
  lines: readonly Omit<DirtReport, 'migration'>[],
): Promise<void> {
  const limits = { deadlineLimit: 1, stampLimit: STAMP_MIN };
  const request = { session: randomUUID(), attempt: 1, node: NODE, migrations: [migration] };
  const { incarnation } = await plane.join({ ...request, ...limits });
  const report = {
    ...{ incarnation, acknowledged: {}, divergences: [], shadow: [], traffic: {}, ...limits },
    health: {
      ...{ mirrorQueue: 0, shed: 0, operations: 0, errors: 0, memoryBytes: 0, aheadMs: 0 },
      highWater: STAMP_MIN,
    },
  };
  for (let at = 0; at < lines.length; at += BATCH) {
    const dirt = lines.slice(at, at + BATCH).map((line) => ({ ...line, migration }));
    await plane.report({ ...report, dirt });
  }
  await plane.leave({ ...report, dirt: [] });
}

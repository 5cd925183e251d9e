import type { ControlPlaneApi } from '../control/control-plane.ts';
import { FleetTimeout } from '../core/errors.ts';

const BUDGET_MS = 10_000;
const LOOK_MS = 25;

/**
 * Waits until all processes have acknowledged a revision, without the stores: settings must be changeable while one of
 * them is away. Returns how long it took, ms. @throws FleetTimeout names those that did not
 */
export async function waitAcknowledged(
  plane: ControlPlaneApi,
  migration: string,
  revision: number,
  signal: AbortSignal,
): Promise<number> {
  const begun = performance.now();
  for (;;) {
    const late = await plane.behind(migration, revision);
    const tookMs = performance.now() - begun;
    if (late.length === 0) return tookMs;
    if (tookMs > BUDGET_MS) {
      throw new FleetTimeout(
        `revision ${revision} of ${migration} is published, but not acknowledged by: ${late.map(({ name }) => name).join(', ')}`,
        {
          expected: `every process acknowledges within ${BUDGET_MS / 1_000} s`,
          remedy: `changeover fleet ${migration}; end the processes named or wait for them`,
          details: { revision, behind: late.map(({ incarnation }) => incarnation) },
        },
      );
    }
    signal.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

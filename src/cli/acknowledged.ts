import { setTimeout as pause } from 'node:timers/promises';
import type { Controller } from '../control/controller.ts';
import { ACKNOWLEDGE_BUDGET_MS, fleetTimeout, HANDOVER_BUDGET_MS } from '../control/handover-limits.ts';
import type { Session } from './session.ts';

const LOOK_MS = 25;
const TEND_MS = 250;

/**
 * Waits until all processes have acknowledged a revision, burying those that surely ended; it needs no store: settings
 * must be changeable while one of them is away. Returns how long it took, ms. @throws FleetTimeout names those that did not
 */
export async function waitAcknowledged(
  session: Session,
  migration: string,
  revision: number,
  signal: AbortSignal,
): Promise<number> {
  const plane = await session.plane(migration);
  const begun = performance.now();
  // Who has not acknowledged after a handover's time may have ended.
  let tendedMs = HANDOVER_BUDGET_MS - TEND_MS;
  // One for all looks: it remembers since when it knows of an end. Without the drivers of the stores others have to look.
  let controller: Controller | null | undefined;
  for (;;) {
    const late = await plane.behind(migration, revision);
    const tookMs = performance.now() - begun;
    if (late.length === 0) return tookMs;
    if (tookMs > ACKNOWLEDGE_BUDGET_MS) throw fleetTimeout(migration, late, revision);
    signal.throwIfAborted();
    if (tookMs >= tendedMs + TEND_MS) {
      tendedMs = tookMs;
      if (controller === undefined) controller = await session.controller(migration).catch(() => null);
      await controller?.tend();
    }
    await pause(LOOK_MS);
  }
}

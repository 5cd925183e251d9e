import { setTimeout as pause } from 'node:timers/promises';
import type { Controller } from '../control/controller.ts';
import { FleetTimeout } from '../core/errors.ts';
import type { Session } from './session.ts';

const BUDGET_MS = 10_000;
const LOOK_MS = 25;
/** Who has not acknowledged by then may have ended. */
const PROMPT_MS = 1_000;
const TEND_MS = 250;
const UNDERTAKER = { actor: 'changeover', reason: 'the process ended without leaving' } as const;

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
  let tendedMs = PROMPT_MS - TEND_MS;
  // One for all looks: it remembers since when it knows of an end. Without the drivers of the stores others have to look.
  let controller: Controller | null | undefined;
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
    if (tookMs >= tendedMs + TEND_MS) {
      tendedMs = tookMs;
      controller ??= await session.controller(migration).catch(() => null);
      await controller?.tend(UNDERTAKER);
    }
    await pause(LOOK_MS);
  }
}

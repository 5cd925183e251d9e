import type { Controller } from '../../src/control/controller.ts';
import { FleetTimeout, GatesRefused, HandoverInProgress } from '../../src/core/errors.ts';

const WHY = { actor: 'test', reason: 'what came too late' };
/** A handover is undone after a second, which a busy machine may need for itself many times over. */
const TRIES = 60;
const PASSING_GATES: ReadonlySet<string> = new Set(['dirty', 'fleet', 'handover']);

/** Only a machine that is busy with other things is in the way. */
export const isSlow = (error: unknown): boolean => error instanceof HandoverInProgress || error instanceof FleetTimeout;

const isPassing = (error: unknown): boolean =>
  isSlow(error) ||
  (error instanceof GatesRefused && error.gates.some(({ gate, passed }) => !passed && PASSING_GATES.has(gate)));

/** A move that must succeed, as an operator makes it: what stands in its way for a moment is repaired, then once more. */
export async function insist<T>(controller: Controller, move: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await move();
    } catch (error) {
      if (tries === TRIES || !isPassing(error)) throw error;
      await controller.repair(WHY);
    }
  }
}

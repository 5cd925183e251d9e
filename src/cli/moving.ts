import type { Controller } from '../control/controller.ts';
import type { Authorship } from '../control/publish.ts';
import { Interrupted } from '../core/errors.ts';
import type { Session } from './session.ts';

/**
 * Runs a move; when it is interrupted in the middle of a handover, undoes that first, so that no write waits for a
 * command that has gone.
 */
export async function moving<T>(
  session: Session,
  controller: Controller,
  why: Authorship,
  move: () => Promise<T>,
): Promise<T> {
  try {
    return await move();
  } catch (error) {
    if (!(error instanceof Interrupted)) throw error;
    const { plane } = await session.operations();
    if ((await plane.ruleset(controller.migration)).handover !== null) {
      await plane.cancelHandover(controller.migration, why);
      await controller.finishHandover(why);
      session.terminal.note('the handover that was going on was brought to an end');
    }
    throw error;
  }
}

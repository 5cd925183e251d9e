import { Forbidden } from '../core/errors.ts';
import type { Session } from './session.ts';

/**
 * Looks at every migration of the configuration, past those that the token may not see.
 * @throws Forbidden where it may see none
 */
export async function eachCovered<T>(session: Session, look: (name: string, nth: number) => Promise<T>): Promise<T[]> {
  const found: T[] = [];
  const hidden: string[] = [];
  let refusal: unknown;
  for (const name of Object.keys((await session.config()).migrations)) {
    try {
      found.push(await look(name, found.length));
    } catch (error) {
      if (!(error instanceof Forbidden)) throw error;
      hidden.push(name);
      refusal = error;
    }
  }
  if (found.length === 0 && refusal !== undefined) throw refusal;
  if (hidden.length > 0) session.terminal.note(`not for this token: ${hidden.join(', ')}`);
  return found;
}

import { eachCovered } from './covered.ts';
import { EXIT } from './exit-code.ts';
import { examples, type Registration } from './registration.ts';
import type { Session } from './session.ts';
import { sayStatus } from './status-text.ts';

/** `changeover status [migration]`: where everything stands, and what is next. */
export const statusCommand: Registration = (program, run) => {
  program
    .command('status')
    .description('where a migration stands and what is next; all migrations when none is named')
    .argument('[migration]')
    .addHelpText('after', examples('changeover status', 'changeover status events --json'))
    .action(
      run(async (session, name: string | undefined) => {
        if (name !== undefined) return { code: EXIT.done, data: await one(session, name) };
        const all = await eachCovered(session, (each, nth) => one(session, each, nth > 0));
        return { code: EXIT.done, data: all };
      }),
    );
};

async function one(session: Session, name: string, apart = false): Promise<unknown> {
  const plane = await session.plane(name);
  const status = await plane.status(name);
  if (apart) session.terminal.say();
  if (!session.terminal.json) await sayStatus(session, plane, status);
  return status;
}

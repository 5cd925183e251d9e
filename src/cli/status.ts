import { eachCovered } from './covered.ts';
import { EXIT } from './exit-code.ts';
import { examples, type Registration } from './registration.ts';
import type { Session } from './session.ts';
import { rejectedLines, sayStatus } from './status-text.ts';

/** `changeover status [migration]`: where everything stands, and what is next. */
export const statusCommand: Registration = (program, run) => {
  program
    .command('status')
    .description('where a migration stands and what is next; all migrations when none is named')
    .argument('[migration]')
    .option('--rejected', 'name every key that a store has rejected, and why')
    .addHelpText('after', examples('changeover status', 'changeover status events --rejected --json'))
    .action(
      run(async (session, name: string | undefined, { rejected = false }: { readonly rejected?: boolean }) => {
        if (name !== undefined) return { code: EXIT.done, data: await one(session, name, rejected) };
        const all = await eachCovered(session, (each, nth) => one(session, each, rejected, nth > 0));
        return { code: EXIT.done, data: all };
      }),
    );
};

async function one(session: Session, name: string, rejected: boolean, apart = false): Promise<unknown> {
  const plane = await session.plane(name);
  const status = await plane.status(name);
  if (apart) session.terminal.say();
  if (!session.terminal.json) await sayStatus(session, plane, status, rejected);
  if (!session.terminal.json || !rejected) return status;
  const lines = [];
  for await (const { key, target, cause } of rejectedLines(plane, name)) lines.push({ key, target, cause });
  return { ...status, rejected: lines };
}

import { WORKER_CONCURRENCY } from '../service/control.ts';
import type { WorkerEvent } from '../service/worker.ts';
import { EXIT } from './exit-code.ts';
import { examples, type Registration } from './registration.ts';
import { wholeNumber } from './whole-number.ts';
import { count, plural } from './wording.ts';

interface WorkerCall {
  readonly concurrency: string;
  readonly migrations?: string;
}

/** `changeover worker`: takes partitions of replays and verifications, on any number of machines, until it is interrupted. */
export const workerCommand: Registration = (program, run) => {
  program
    .command('worker')
    .description(
      'take partitions of backfills, repairs and verifications that somebody began, on any number of machines',
    )
    .option('--concurrency <n>', 'partitions worked on at once', String(WORKER_CONCURRENCY))
    .option('--migrations <names>', 'only these, with commas between them (default: all of the configuration)')
    .addHelpText('after', examples('changeover worker', 'changeover worker --concurrency 8 --migrations events,orders'))
    .action(
      run(async (session, options: WorkerCall) => {
        const { terminal, signal } = session;
        const concurrency = wholeNumber('--concurrency', options.concurrency, 1);
        const migrations = options.migrations?.split(',').map((name) => name.trim());
        for (const name of migrations ?? []) await session.definition(name);
        const operations = await session.operations();
        const totals = await operations.work({
          concurrency,
          ...(migrations === undefined ? {} : { migrations }),
          signal,
          onEvent: (event) => terminal.note(lineOf(event)),
        });
        const { partitions, scanned, applied, skipped, rejected, verified } = totals;
        terminal.say(
          `${plural(partitions, 'partition')} done; ${count(scanned)} scanned: ${count(applied)} applied, ${count(skipped)} there already, ${count(rejected)} rejected${verified === 0 ? '' : `; ${count(verified)} scanned for verifications`}`,
        );
        return { code: EXIT.done, data: totals };
      }),
    );
};

function lineOf(event: WorkerEvent): string {
  switch (event.event) {
    case 'ready':
      return `ready for ${event.migrations.join(', ')}: ${plural(event.concurrency, 'partition')} at once`;
    case 'refused':
      return `refused: ${event.message}`;
    case 'waiting':
      return `waiting: ${event.message}`;
    default: {
      const { migration, kind, replay, partition } = event;
      const what = `${migration}: ${kind} ${replay}, partition ${partition}`;
      if (event.event === 'taken') return `${what} taken${event.resumed ? ', from its checkpoint' : ''}`;
      if (event.event === 'failed') return `${what} failed: ${event.message}; it is tried again`;
      return `${what} ${event.event}${event.event === 'lost' ? ': it is over, or somebody else has it now' : ''}`;
    }
  }
}

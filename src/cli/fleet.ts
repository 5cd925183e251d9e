import type { FleetRow } from '../control/control-plane.ts';
import { eachCovered } from './covered.ts';
import { EXIT } from './exit-code.ts';
import { examples, type Registration } from './registration.ts';
import type { Session } from './session.ts';
import { ago, count, duration, plural, printable, table } from './wording.ts';

/** A process that reports is seen more often than this. */
const SILENT_MS = 2_500;

/** `changeover fleet [migration]`: the processes, and what they have acknowledged. */
export const fleetCommand: Registration = (program, run) => {
  program
    .command('fleet')
    .description('the processes that have a repository open, and which revision they have acknowledged')
    .argument('[migration]')
    .option('--all', 'those too that have left or died')
    .addHelpText('after', examples('changeover fleet events', 'changeover fleet --all --json'))
    .action(
      run(async (session, name: string | undefined, options: { readonly all?: true }) => {
        const revisionOf = async (each: string): Promise<readonly [string, number]> => {
          const { revision } = await (await session.plane(each)).ruleset(each);
          return [each, revision];
        };
        const revisions = new Map(
          name === undefined ? await eachCovered(session, revisionOf) : [await revisionOf(name)],
        );
        const { plane } = await session.operations();
        const rows = (await plane.fleet(options.all === true ? null : 'alive')).filter(({ acknowledged }) =>
          [...revisions.keys()].some((each) => acknowledged[each] !== undefined),
        );
        if (!session.terminal.json) say(session, rows, revisions);
        return { code: EXIT.done, data: rows.map((row) => processData(row, revisions)) };
      }),
    );
};

function processData({ node, acknowledged }: FleetRow, revisions: ReadonlyMap<string, number>): unknown {
  const { id, state, info, joinedAt, seenAt, health } = node;
  return {
    incarnation: id,
    name: info.name,
    host: info.host,
    pid: info.pid,
    version: info.version,
    commit: info.commit ?? null,
    state,
    joinedAt: new Date(joinedAt).toISOString(),
    seenAt: new Date(seenAt).toISOString(),
    migrations: Object.fromEntries(
      [...revisions].flatMap(([name, revision]) =>
        acknowledged[name] === undefined ? [] : [[name, { acknowledged: acknowledged[name], revision }]],
      ),
    ),
    mirrorQueue: health?.mirrorQueue ?? null,
    shed: health?.shed ?? null,
    operations: health?.operations ?? null,
    errors: health?.errors ?? null,
    memoryBytes: health?.memoryBytes ?? null,
    aheadMs: health?.aheadMs ?? null,
  };
}

function say({ terminal }: Session, rows: readonly FleetRow[], revisions: ReadonlyMap<string, number>): void {
  const alive = rows.filter(({ node }) => node.state === 'alive');
  const late = alive.filter(({ acknowledged }) =>
    [...revisions].some(([name, revision]) => (acknowledged[name] ?? revision) < revision),
  );
  const current = [...revisions].map(([name, revision]) => `${name} at revision ${revision}`).join(', ');
  terminal.say(`${plural(alive.length, 'process', 'processes')}; ${current}`);
  if (rows.length > 0) {
    terminal.say();
    terminal.say(
      table(
        ['#', 'process', 'state', 'seen', 'acknowledged', 'queue', 'shed', 'errors', 'clock ahead'],
        rows.map(({ node, acknowledged }) => {
          const { id, info, state, seenAt, health } = node;
          const silent = state === 'alive' && Date.now() - seenAt > SILENT_MS;
          const revisionsText = [...revisions]
            .filter(([name]) => acknowledged[name] !== undefined)
            .map(([name, revision]) => {
              const own = acknowledged[name] as number;
              const text = own < revision && state === 'alive' ? `${own} of ${revision}` : `${own}`;
              return revisions.size === 1 ? text : `${name} ${text}`;
            });
          return [
            String(id),
            printable(`${info.name || 'process'} ${info.pid}@${info.host}`),
            silent ? 'silent' : state,
            ago(seenAt),
            revisionsText.join(', '),
            health === null ? '' : count(health.mirrorQueue),
            health === null ? '' : count(health.shed),
            health === null ? '' : count(health.errors),
            health === null ? '' : duration(health.aheadMs),
          ];
        }),
        [0, 5, 6, 7, 8],
      ),
    );
  }
  if (late.length > 0) {
    terminal.say();
    const names = late.map(({ node }) => `#${node.id}`).join(', ');
    terminal.say(
      terminal.style('red', `not acknowledged by ${names}: end what hangs; what has died is buried within seconds`),
    );
  }
}

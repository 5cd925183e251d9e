import type { FleetRow } from '../control/control-plane.ts';
import { configuredMember } from '../control/facts.ts';
import { unlikeIn } from '../control/fleet-gates.ts';
import { sleep, systemClock } from '../core/clock.ts';
import { InvalidArgument } from '../core/errors.ts';
import { eachCovered } from './covered.ts';
import { EXIT } from './exit-code.ts';
import { examples, REASON, type Registration } from './registration.ts';
import { authorship, type Outcome, type ReasonOptions, type Session } from './session.ts';
import { wholeNumber } from './whole-number.ts';
import { ago, count, duration, plural, printable, table } from './wording.ts';

/** A process that reports is seen more often than this. */
const SILENT_MS = 2_500;
const LONG_SILENT_MS = 10_000;
/** Longer than puts usually have their time; that of DynamoDB is longer still. */
const BURIAL_MS = 12_000;

interface FleetOptions extends ReasonOptions {
  readonly all?: true;
  readonly ended?: string;
}

/** Somebody's word is as good as a look at the process: it is buried as soon as its puts have had their time. */
async function ended(
  session: Session,
  name: string | undefined,
  number: string,
  options: ReasonOptions,
): Promise<Outcome> {
  if (name === undefined || options.reason === undefined) {
    throw new InvalidArgument('whose process has ended, and how do you know?', {
      expected: 'changeover fleet <migration> --ended <#> --reason "…"',
    });
  }
  const incarnation = wholeNumber('--ended', number, 1);
  const { terminal, signal } = session;
  const plane = await session.plane(name);
  const why = authorship(options);
  const row = (await plane.fleet('alive')).find(({ node }) => node.id === incarnation);
  await plane.declareEnded(name, incarnation, why);
  const controller = await session.controller(name);
  const begun = performance.now();
  const isThere = async (): Promise<boolean> =>
    (await plane.fleet('alive')).some(({ node }) => node.id === incarnation);
  while ((await isThere()) && performance.now() - begun < BURIAL_MS) {
    signal.throwIfAborted();
    await controller.tend(why);
    await sleep(systemClock, 250, signal);
  }
  const buried = !(await isThere());
  const what = row === undefined ? `#${incarnation}` : `#${incarnation} ${row.node.info.name} on ${row.node.info.host}`;
  terminal.say(
    buried
      ? `${printable(what)} is out of the fleet of ${name}; what it mirrored is dirty: changeover repair ${name} --reason …`
      : `${printable(what)} counts as ended; it is buried by the next command once its last puts have had their time, and \`rollback --emergency\` does not wait for it`,
  );
  return { code: EXIT.done, data: { migration: name, incarnation, buried } };
}

/** `changeover fleet [migration]`: the processes, and what they have acknowledged. */
export const fleetCommand: Registration = (program, run) => {
  program
    .command('fleet')
    .description('the processes that have a repository open, and which revision they have acknowledged')
    .argument('[migration]')
    .option('--all', 'those too that have left or died')
    .option(
      '--ended <#>',
      'your word that this silent process has ended, for good: its container or machine is gone, and nothing else can tell',
    )
    .option(REASON[0], 'why, for the history; with --ended')
    .addHelpText(
      'after',
      examples(
        'changeover fleet events',
        'changeover fleet --all --json',
        'changeover fleet events --ended 7 --reason "the pod was killed for its memory"',
      ),
    )
    .action(
      run(async (session, name: string | undefined, options: FleetOptions) => {
        if (options.ended !== undefined) return ended(session, name, options.ended, options);
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
        if (!session.terminal.json) say(session, rows, revisions, name);
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

function say(
  { terminal }: Session,
  rows: readonly FleetRow[],
  revisions: ReadonlyMap<string, number>,
  name: string | undefined,
): void {
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
  for (const migration of revisions.keys()) {
    for (const { text } of unlikeIn(alive.map(({ node }) => configuredMember(node, migration)))) {
      terminal.say();
      terminal.say(terminal.style('red', printable(`${migration}: ${text}`)));
    }
  }
  if (late.length > 0) {
    terminal.say();
    const names = late.map(({ node }) => `#${node.id}`).join(', ');
    terminal.say(
      terminal.style(
        'red',
        `not acknowledged by ${names}: end what hangs; what has died is buried by the next move, or by a service of its machine, within seconds`,
      ),
    );
    const gone = late.find(({ node }) => Date.now() - node.seenAt > LONG_SILENT_MS);
    if (gone === undefined) return;
    terminal.say(
      `if nobody can tell from here, as its container or machine is gone: changeover fleet ${name ?? '<migration>'} --ended ${gone.node.id} --reason …`,
    );
  }
}

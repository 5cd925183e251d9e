import type { ControlPlaneApi } from '../control/control-plane.ts';
import type { MigrationStatus, RampStatus } from '../control/status.ts';
import type { DirtRow } from '../control/storage.ts';
import { BUCKETS } from '../core/bucket.ts';
import { describePositions, WHOLE_LINE } from '../core/dial.ts';
import { subtract } from '../core/intervals.ts';
import type { RulesetDocument } from '../core/ruleset.ts';
import { DEFAULT_SETTINGS, settingText } from '../core/settings.ts';
import type { Side } from '../core/stage.ts';
import { nextStep } from './next-step.ts';
import type { Session } from './session.ts';
import { SETTINGS } from './setting-value.ts';
import type { Terminal } from './terminal.ts';
import { ago, count, duration, keyText, percent, plural, printable, share } from './wording.ts';

const WIDTH = 14;
/** Examples of what is wrong; the rest is counted. */
const EXAMPLES = 5;
const PAGE = 1_000;

/** A migration as somebody reads it at three in the morning: what is off the normal is coloured and named. */
export async function sayStatus(
  session: Session,
  plane: ControlPlaneApi,
  status: MigrationStatus,
  allRejected = false,
): Promise<void> {
  const { terminal } = session;
  const { migration, revision, dials } = status;
  const document = await plane.ruleset(migration);
  const { owner, runbook } = await session.definition(migration);
  const line = (what: string, text: string, good = true): void => {
    terminal.say(`  ${what.padEnd(WIDTH)}${good ? text : terminal.style('red', text)}`);
  };
  const stage = status.finished ? 'finished' : status.stage;
  terminal.say(`${terminal.style('bold', migration)}  ${stage}, revision ${revision}`);
  terminal.say();
  line('dual-write', percent(dials.dualWrite));
  line('shadow-read', percent(dials.shadowRead));
  line('cutover', percent(dials.cutover));
  line('retire-old', dials.retireOld ? 'yes' : 'no');
  terminal.say();
  line('authority', authority(status));
  line('complete', `old store ${complete(status, 'old')}, new store ${complete(status, 'new')}`);
  const { ranges, rejected } = status.dirty;
  const dirty = [
    ...(ranges === 0 ? [] : [`${plural(ranges, 'key or position', 'keys and positions')} to replay`]),
    ...(rejected === 0 ? [] : [`${plural(rejected, 'key')} rejected by a store`]),
  ];
  line('dirty', dirty.join(', ') || 'nothing', dirty.length === 0);
  const { nodes, acknowledged } = status.fleet;
  const all = acknowledged === nodes;
  line(
    'fleet',
    nodes === 0 ? 'no process' : `${acknowledged} of ${plural(nodes, 'process', 'processes')} at revision ${revision}`,
    all,
  );
  line('handover', handoverText(status), status.handover === null);
  const { compared, divergent } = status.shadow;
  line(
    'shadow reads',
    compared === 0
      ? 'none compared since a dial moved'
      : `${count(compared)} compared, ${count(divergent)} divergent since a dial moved`,
    divergent === 0,
  );
  line(
    'divergences',
    status.divergences === 0 ? 'none open' : `${count(status.divergences)} open`,
    status.divergences === 0,
  );
  const [replay = '', ...more] = replayLines(status);
  line('replay', replay);
  for (const text of more) line('', text);
  if (status.ramp !== null) line('ramp', rampText(status.ramp), status.ramp.state !== 'returning');
  line('verified', verifiedText(status), status.verification?.verdict !== 'divergent');
  const extras = extraLines(document);
  for (const [what, text] of extras) line(what, text);
  if (owner !== null) line('owner', printable(owner));
  if (runbook !== null) line('runbook', printable(runbook));
  if (rejected > 0) await sayRejected(terminal, plane, migration, allRejected ? Number.POSITIVE_INFINITY : EXAMPLES);
  if (status.divergences > 0) await sayDivergences(terminal, plane, status);
  terminal.say();
  terminal.say(`  ${terminal.style('bold', 'next'.padEnd(WIDTH))}${nextStep(status, document)}`);
}

/** A share of the buckets; where these are whole, also what is beside them and lacks. */
function complete({ coverage, covered }: MigrationStatus, side: Side): string {
  const lacking = coverage[side] < 100 ? [] : subtract(WHOLE_LINE, covered[side]);
  return `${share(coverage[side])}${lacking.length === 0 ? '' : ` without ${describePositions(lacking)}`}`;
}

function authority({ dials, finished }: MigrationStatus): string {
  if (dials.retireOld) return finished ? 'the new store, alone' : 'the new store; the old one is retired';
  if (dials.cutover === 0) return finished ? 'the old store, alone' : 'the old store';
  if (dials.cutover === 'all') return 'the new store';
  if (dials.cutover === 'canary') return 'the old store; the new one for canaries';
  if (dials.cutover === 100) return 'the new store; the old one for kept-back units';
  return `the new store for ${percent(dials.cutover)} and canaries, the old one for the rest`;
}

function rampText({ dial, state, steps, step, note }: RampStatus): string {
  const at = `${dial}, step ${step + 1} of ${steps.length} (${steps.map(percent).join(', ')})`;
  const words = { running: at, paused: `${at}; paused`, returning: `${at}; going back by itself` };
  return `${words[state]}${note === null ? '' : `; ${printable(note)}`}`;
}

function handoverText({ handover }: MigrationStatus): string {
  if (handover === null) return 'none';
  const holds = handover.kind === 'emergency' ? 'reads and writes' : 'writes';
  const way = handover.cancelled ? ', being undone' : '';
  return `${handover.kind}, holds ${holds} of ${describePositions(handover.positions)} for ${duration(Date.now() - handover.startedAt)}${way}; by ${printable(handover.actor)}: ${printable(handover.reason)}`;
}

/** A line for each thing that is asked at night: what it is, how far, how fast, and what holds it up. */
export function replayLines({ replay }: Pick<MigrationStatus, 'replay'>): readonly string[] {
  if (replay === null) return ['none running'];
  const { kind, target, scanned, applied, skipped, rejected, partitions, estimate, startedAt } = replay;
  const { runners, rate, etaMs, failure, paused, eased } = replay;
  const of = estimate === null ? '' : ` of about ${count(Math.max(estimate, scanned))}`;
  const left = etaMs === null ? '' : `, ${duration(etaMs)} left`;
  const pace = paused ? '; paused' : rate === null ? '' : `; ${count(rate)}/s${left}`;
  const who = runners === 0 ? 'nobody is at it' : `${plural(runners, 'process', 'processes')} at it`;
  return [
    `${kind} to the ${target} store, begun ${ago(startedAt)}`,
    `${count(scanned)}${of} scanned, ${partitions.done} of ${partitions.all} partitions done`,
    `${count(applied)} applied, ${count(skipped)} there already, ${count(rejected)} rejected`,
    `${who}${pace}`,
    ...(paused || eased === null ? [] : [`eased: ${printable(eased)}`]),
    ...(failure === null ? [] : [`a partition failed and is tried again: ${printable(failure)}`]),
  ];
}

/** The newest verdict, what alone it is about, and for how long it holds. */
export function verifiedText({ verification }: Pick<MigrationStatus, 'verification'>): string {
  if (verification === null) return 'never';
  const { verdict, revision, finishedAt, expiresAt, outdated, only } = verification;
  const left = expiresAt - Date.now();
  const valid = outdated
    ? 'dual-write was raised since'
    : left > 0
      ? `valid for ${duration(left)}`
      : `expired ${ago(expiresAt)}`;
  const about = only === null ? '' : `, only ${only}`;
  return `${verdict} ${ago(finishedAt)} at revision ${revision}${about}, ${valid}`;
}

/** What is not as it is by default. */
function extraLines({ stamping, cohorts, settings }: RulesetDocument): readonly (readonly [string, string])[] {
  const lines: [string, string][] = [];
  if (stamping !== 'off') lines.push(['stamping', stamping]);
  const { canary, keptBack } = cohorts;
  if (canary.length + keptBack.length > 0) {
    lines.push(['cohorts', `${canary.length} canary, ${keptBack.length} kept back`]);
  }
  const changed = [...SETTINGS].filter(
    ([, field]) => JSON.stringify(settings[field]) !== JSON.stringify(DEFAULT_SETTINGS[field]),
  );
  if (changed.length > 0) {
    lines.push(['settings', changed.map(([name, field]) => `${name} ${settingText(settings[field])}`).join(', ')]);
  }
  return lines;
}

/** What stores have rejected, line by line. */
export async function* rejectedLines(plane: ControlPlaneApi, name: string, page = PAGE): AsyncGenerator<DirtRow> {
  for (let after = 0; ; ) {
    const rows = await plane.dirt(name, null, page, after, 'rejected');
    yield* rows;
    const last = rows.at(-1);
    if (last === undefined || rows.length < page) return;
    after = last.id;
  }
}

async function sayRejected(terminal: Terminal, plane: ControlPlaneApi, name: string, most: number): Promise<void> {
  terminal.say('\n  rejected');
  let said = 0;
  for await (const { key, target, cause } of rejectedLines(plane, name, Math.min(most + 1, PAGE))) {
    if (said === most) {
      terminal.say(`    … and more: changeover status ${name} --rejected`);
      return;
    }
    const what = key === null ? 'keys that were too many to keep' : keyText(key);
    terminal.say(`    ${what}: the ${target} store says: ${printable(cause)}`);
    said += 1;
  }
}

async function sayDivergences(terminal: Terminal, plane: ControlPlaneApi, status: MigrationStatus): Promise<void> {
  const rows = await plane.divergences(status.migration, 0, EXAMPLES);
  terminal.say(`\n  divergent${status.divergences > EXAMPLES ? ` (the first ${EXAMPLES})` : ''}`);
  for (const { key, kind, cause, fields, lastSeen, position } of rows) {
    const at = position < 0 ? 'canary' : position >= BUCKETS ? 'kept back' : `${(position * 100) / BUCKETS} %`;
    terminal.say(`    ${keyText(key)} at ${at}: ${kind}, ${cause ?? 'cause unknown'}, seen ${ago(lastSeen)}`);
    for (const { path, old, new: fresh } of fields.slice(0, EXAMPLES)) {
      const where = path === '' ? '(the whole record)' : path;
      terminal.say(printable(`      ${where}: old ${JSON.stringify(old)}, new ${JSON.stringify(fresh)}`));
    }
  }
}

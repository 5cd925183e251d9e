import { setTimeout as pause } from 'node:timers/promises';
import type { DivergenceRow } from '../../control/storage.ts';
import { DEFAULT_SETTINGS } from '../../core/settings.ts';
import { FAULT_SHARE, type FaultTally, MIGRATION } from './demo-config.ts';
import { SHARED_KEYS } from './events.ts';
import type { Expectations } from './expectations.ts';
import { hostMicros } from './journal.ts';
import { type Experience, failedText } from './latency.ts';
import { count, duration, type Narrator, plural } from './narrator.ts';
import type { Operator } from './operator.ts';
import { SEEDS, SERVICES, type Workplace } from './workplace.ts';

/** What the walk is told with, and works on. */
export interface WalkParts {
  readonly workplace: Workplace;
  readonly narrator: Narrator;
  readonly expectations: Expectations;
  readonly operator: Operator;
  readonly signal: AbortSignal;
}

/** What the summary tells about the walk. */
export interface WalkResult {
  readonly planted: FaultTally;
  /** Divergent records that were found; others were overwritten before anybody looked. */
  readonly found: number;
  readonly hang: { readonly before: Experience; readonly during: Experience };
  readonly rollbackMs: number;
  /** The old store was retired between these two moments, of the host's monotonic clock. */
  readonly retired: { readonly from: number; readonly to: number };
}

const CANARIES = 2;
const HANG_MS = 3_000;
const ROLLBACK_LIMIT_MS = 1_000;
/** How often a drill is held where a machine that is busy with other things makes it slow. */
const DRILLS = 4;
/** A window long enough for a p99 that means something. */
const WINDOW_CALLS = 500;
/** Corrupted records that shadow reads shall have found before anybody looks. */
const DIVERGENT = 4;
/** How many records are shown field by field. */
const SHOWN = 3;
/** How long a mirror put may live: no longer than others, so that the end of a killed process is certain soon. */
const MIRROR_TIMEOUT_MS = DEFAULT_SETTINGS.putTimeoutMs;
/** Callers may be this much slower while the new store hangs before anybody would call it noticing. */
const NOTICED_RATIO = 3;
const NOTICED_MS = 250;

/** From the old store to the new one, and back and forth, with everything going wrong on the way that may. */
export async function walk(parts: WalkParts): Promise<WalkResult> {
  await businessAsUsual(parts);
  await canariesFirst(parts);
  await dualWriteWithFault(parts);
  const found = await refusal(parts);
  const planted = await mend(parts);
  const unread = await backfillAndVerify(parts);
  await killed(parts);
  const hang = await hanging(parts);
  await cutover(parts);
  const rollbackMs = await backAndForth(parts);
  const retired = await retire(parts);
  return { planted, found: found + unread, hang, rollbackMs, retired };
}

async function businessAsUsual({ narrator, workplace }: WalkParts): Promise<void> {
  narrator.chapter('Business as usual');
  await workplace.startServices();
  const pids = workplace.services.map(({ pid }) => pid).join(', ');
  narrator.say(`${SERVICES} services (pids ${pids}), each with ${workplace.rate} calls a second of all kinds`);
  const { p50Ms, p99Ms } = await workplace.experienceOfNext(WINDOW_CALLS);
  narrator.say(`${count(SEEDS)} events in SQLite; callers wait ${duration(p50Ms)} (p50), ${duration(p99Ms)} (p99)`);
}

async function canariesFirst({ narrator, operator, expectations, workplace }: WalkParts): Promise<void> {
  narrator.chapter('Canaries first: two users go all the way, and back');
  await operator.prepare();
  await operator.setting('no-outside-writers yes', { noOutsideWriters: true });
  await operator.setting(`mirror-timeout-ms ${MIRROR_TIMEOUT_MS}`, { mirrorTimeoutMs: MIRROR_TIMEOUT_MS });
  await operator.cohort([...new Set(SHARED_KEYS.map(({ userKey }) => userKey))].slice(0, CANARIES), 'canary');
  await operator.dualWrite('canary');
  await operator.backfill();
  const { consistent } = await operator.prove();
  expectations.check(consistent, 'the canaries hold the same in both stores');
  await operator.shadowRead('canary');
  await operator.when('canaries are compared', ({ shadow }) => shadow.compared >= CANARIES);
  await operator.cutover('canary');
  const met = await workplace.experienceOfNext(WINDOW_CALLS / 2);
  expectations.check(
    met.failed === 0,
    `the new store serves the canaries: ${plural(met.calls, 'call')}, ${failedText(met)}`,
  );
  await operator.rollback();
  await operator.shadowRead(0);
}

async function dualWriteWithFault({ narrator, operator, workplace }: WalkParts): Promise<void> {
  narrator.chapter('Dual-write, step by step, with a release that has a fault');
  await workplace.plantFault(true);
  narrator.say(
    `A new release turns events into items, and adds hello: "joe" to ${FAULT_SHARE * 100} % of them. Nobody knows.`,
  );
  for (const share of [10, 50, 100]) await operator.dualWrite(share);
  const met = await workplace.experienceOfNext(WINDOW_CALLS);
  narrator.say(`callers: ${plural(met.calls, 'call')}, ${failedText(met)}, p99 ${duration(met.p99Ms)}`);
}

/** How many records shadow reads found corrupted. */
async function refusal({ narrator, operator, expectations }: WalkParts): Promise<number> {
  narrator.chapter('Shadow reads find it, and the gates refuse to go on');
  await operator.shadowRead(100);
  let corrupted: readonly DivergenceRow[] = [];
  const { shadow } = await operator.when('shadow reads find corrupted records', async () => {
    corrupted = (await divergences(operator)).filter(({ kind }) => kind === 'different');
    return corrupted.length >= DIVERGENT;
  });
  narrator.command(`changeover status ${MIGRATION}`);
  narrator.say(
    `${count(shadow.divergent)} of ${plural(shadow.compared, 'read')} differed: most are not backfilled yet, but ${corrupted.length} hold something else:`,
  );
  for (const { key, fields } of corrupted.slice(0, SHOWN)) {
    for (const { path, old, new: fresh } of fields.slice(0, 1)) {
      narrator.field(Object.values(key).join('/'), path, shown(old), shown(fresh));
    }
  }
  const joe = corrupted.some(({ fields }) =>
    fields.some(({ path, new: fresh }) => path === 'hello' && fresh === 'joe'),
  );
  expectations.check(joe, 'shadow reads found the corruption, field by field');
  const refused = await operator.tryCutover(1);
  if (refused !== null) narrator.gates(refused.gates);
  expectations.check(refused !== null, 'cutover 1 % was refused, and nothing changed');
  return corrupted.length;
}

async function divergences(operator: Operator): Promise<readonly DivergenceRow[]> {
  return operator.control.plane.divergences(MIGRATION, 0, 10_000);
}

const shown = (value: unknown): string => (value === null || value === undefined ? '–' : JSON.stringify(value));

/** What the fault had done. */
async function mend({ narrator, operator, workplace }: WalkParts): Promise<FaultTally> {
  narrator.chapter('The fault is mended, everything backfilled and proven');
  const tally = await workplace.plantFault(false);
  narrator.say(
    `The release is taken back. It had corrupted ${count(tally.corrupted)} of ${plural(tally.encoded, 'mirrored event')}. Shadow reads pause:`,
  );
  await operator.shadowRead(0);
  await operator.repair();
  return tally;
}

/** How many corrupted records the verification found that no shadow read had met. */
async function backfillAndVerify({ narrator, operator, expectations }: WalkParts): Promise<number> {
  await operator.dualWrite('all');
  await operator.backfill();
  const { consistent, found } = await operator.prove();
  if (consistent && found > 0) narrator.say('What differed were corrupted events that nobody had read since.');
  expectations.check(consistent, 'both stores hold the same, record by record');
  return found;
}

async function killed({ narrator, operator, workplace, expectations }: WalkParts): Promise<void> {
  narrator.chapter('kill -9 in the middle of dual-writing');
  const place = 1;
  const begun = performance.now();
  const victim = await workplace.killWriting(place);
  narrator.command(`kill -9 ${victim.pid}`);
  const successor = await workplace.startService(place);
  narrator.say(`${victim.name} is dead, and starts again as ${successor.pid}`);
  const { plane } = operator.control;
  await workplace.until('the fleet knows that the process has ended', async () =>
    (await plane.fleet('dead')).some(({ node }) => node.info.pid === victim.pid),
  );
  narrator.command(`changeover fleet ${MIGRATION}`);
  narrator.say(`proven dead after ${duration(performance.now() - begun)}: what it left is dirty`);
  await operator.settle();
  const { dirty: left } = await operator.status();
  expectations.check(left.ranges + left.rejected === 0, 'what the killed process left is repaired');
}

const experience = ({ p50Ms, p99Ms, calls }: Experience): string =>
  `p50 ${duration(p50Ms)}, p99 ${duration(p99Ms)}, ${plural(calls, 'call')}`;

interface Hang {
  readonly before: Experience;
  readonly during: Experience;
  /** How many times longer the slowest calls took. */
  readonly ratio: number;
  readonly noticed: boolean;
}

async function hanging(parts: WalkParts): Promise<WalkResult['hang']> {
  const { narrator, expectations } = parts;
  narrator.chapter(`The new store hangs for ${HANG_MS / 1_000} s at dual-write 100 %`);
  let hang = await hangOnce(parts);
  // What is slow for another reason is so once; what waits for the new store is so each time. A call that fails is one
  // too many in whichever.
  for (let drill = 1; hang.noticed && hang.during.failed === 0 && drill < DRILLS; drill += 1) {
    narrator.say('slow, perhaps because this machine is busy; once more');
    hang = await hangOnce(parts);
  }
  expectations.check(
    hang.during.failed === 0 && !hang.noticed,
    `nobody noticed: of ${plural(hang.during.calls, 'call')} ${failedText(hang.during)}, p99 was ${hang.ratio.toFixed(2)} times that before`,
  );
  return hang;
}

async function hangOnce({ narrator, operator, workplace, signal }: WalkParts): Promise<Hang> {
  const before = await workplace.experienceOfNext(WINDOW_CALLS);
  narrator.say(`callers before:    ${experience(before)}`);
  narrator.command(`kill -STOP ${workplace.store.pid} ; sleep ${HANG_MS / 1_000} ; kill -CONT ${workplace.store.pid}`);
  workplace.store.signal('SIGSTOP');
  let during: Experience;
  try {
    await workplace.samples();
    // The hang itself lasts so long; nothing is waited for.
    await pause(HANG_MS, undefined, { signal });
    during = await workplace.experience();
  } finally {
    workplace.store.signal('SIGCONT');
  }
  narrator.say(`callers meanwhile: ${experience(during)}`);
  await workplace.until('mirrors flow again', async () => {
    const fleet = await operator.control.plane.fleet('alive');
    return fleet.every(({ node }) => (node.health?.mirrorQueue ?? 0) < WINDOW_CALLS / 10);
  });
  await operator.settle();
  const ratio = during.p99Ms / before.p99Ms;
  return { before, during, ratio, noticed: during.p99Ms > NOTICED_MS && ratio > NOTICED_RATIO };
}

async function cutover({ narrator, operator, expectations }: WalkParts): Promise<void> {
  narrator.chapter('Cutover');
  await operator.shadowRead(100);
  for (const share of [1, 25, 100, 'all']) {
    await operator.compared();
    await operator.cutover(share);
  }
  const { dials } = await operator.status();
  expectations.check(dials.cutover === 'all', 'the new store leads everything');
}

/** How long the roll-back took, ms. A drill that something else on this machine was in the way of is held again. */
async function backAndForth({ narrator, operator, expectations }: WalkParts): Promise<number> {
  narrator.chapter('Back, and forward again');
  let { tookMs } = await operator.rollback();
  for (let drill = 1; tookMs >= ROLLBACK_LIMIT_MS && drill < DRILLS; drill += 1) {
    narrator.say(`${duration(tookMs)}: this machine is busy; once more`);
    await operator.compared();
    await operator.cutover('all');
    ({ tookMs } = await operator.rollback());
  }
  expectations.check(tookMs < ROLLBACK_LIMIT_MS, `everything was back on the old store within ${duration(tookMs)}`);
  await operator.compared();
  await operator.cutover('all');
  return tookMs;
}

async function retire({ narrator, operator, workplace }: WalkParts): Promise<WalkResult['retired']> {
  narrator.chapter('The old store retires');
  await operator.shadowRead(0);
  await operator.settle();
  const from = hostMicros();
  await operator.retireOld();
  const to = hostMicros();
  const met = await workplace.experienceOfNext(WINDOW_CALLS);
  narrator.say(`${plural(met.calls, 'call')} on the new store alone, ${failedText(met)}`);
  return { from, to };
}

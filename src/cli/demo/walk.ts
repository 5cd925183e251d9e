import { setTimeout as pause } from 'node:timers/promises';
import type { DivergenceRow } from '../../control/storage.ts';
import type { Child } from './child.ts';
import { FAULT_SHARE, MIGRATION } from './demo-config.ts';
import { SHARED_KEYS } from './events.ts';
import type { Expectations } from './expectations.ts';
import { hostMicros } from './journal.ts';
import type { Experience } from './latency.ts';
import { count, counted, duration, type Narrator } from './narrator.ts';
import type { Operator } from './operator.ts';
import { OPERATIONS_PER_SECOND, SEEDS, SERVICES, type Workplace } from './workplace.ts';

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
  /** Records that were found divergent before they were repaired. */
  readonly divergences: number;
  readonly hang: { readonly before: Experience; readonly during: Experience };
  readonly rollbackMs: number;
  /** The old store was retired between these two moments, of the host's monotonic clock. */
  readonly retired: { readonly from: number; readonly to: number };
}

const CANARIES = 3;
const HANG_MS = 3_000;
const ROLLBACK_LIMIT_MS = 1_000;
/** A window long enough for a p99 that means something. */
const WINDOW_CALLS = 600;
/** Enough comparisons, and divergent records, to go on. */
const COMPARISONS = 150;
const DIVERGENT = 4;
/** How many records are shown field by field. */
const SHOWN = 3;
/** How long one copy of a put may live: short, so that the end of a killed process is certain soon. */
const PUT_TIMEOUT_MS = 2_000;
/** Callers may be this much slower while the new store hangs before anybody would call it noticing. */
const NOTICED_RATIO = 3;
const NOTICED_MS = 250;

/** From the old store to the new one, and back and forth, with everything going wrong on the way that may. */
export async function walk(parts: WalkParts): Promise<WalkResult> {
  await businessAsUsual(parts);
  await canariesFirst(parts);
  await dualWriteWithFault(parts);
  const found = await refusal(parts);
  await mend(parts);
  const unread = await backfillAndVerify(parts);
  await killed(parts);
  const hang = await hanging(parts);
  await cutover(parts);
  const rollbackMs = await backAndForth(parts);
  const retired = await retire(parts);
  return { divergences: found + unread, hang, rollbackMs, retired };
}

async function businessAsUsual({ narrator, workplace }: WalkParts): Promise<void> {
  narrator.chapter('Business as usual');
  await workplace.startServices();
  const pids = workplace.services.map(({ pid }) => pid).join(', ');
  narrator.say(
    `${SERVICES} service processes (pids ${pids}), each some ${OPERATIONS_PER_SECOND} calls a second: create, put, update, delete, get, list`,
  );
  const { p50Ms, p99Ms } = await workplace.experienceOfNext(WINDOW_CALLS);
  narrator.say(`${count(SEEDS)} events in SQLite; callers wait ${duration(p50Ms)} (p50), ${duration(p99Ms)} (p99)`);
}

async function canariesFirst({ narrator, operator, expectations, workplace }: WalkParts): Promise<void> {
  narrator.chapter('Canaries first: three users go all the way, and back');
  await operator.prepare();
  await operator.setting('no-outside-writers yes', { noOutsideWriters: true });
  await operator.setting(`put-timeout ${PUT_TIMEOUT_MS}`, {
    putTimeoutMs: PUT_TIMEOUT_MS,
    mirrorTimeoutMs: PUT_TIMEOUT_MS,
  });
  await operator.cohort([...new Set(SHARED_KEYS.map(({ userKey }) => userKey))].slice(0, CANARIES), 'canary');
  await operator.dualWrite('canary');
  await operator.backfill();
  const { verdict } = await operator.verify();
  expectations.check(verdict === 'consistent', 'the canaries are the same in both stores');
  await operator.shadowRead('canary');
  await operator.when('canaries are compared', ({ shadow }) => shadow.compared >= CANARIES);
  await operator.cutover('canary');
  const { calls, failed } = await workplace.experienceOfNext(WINDOW_CALLS / 2);
  expectations.check(failed === 0, `the new store serves the canaries: ${counted(calls, 'call')}, ${failed} failed`);
  await operator.rollback();
  await operator.shadowRead(0);
}

async function dualWriteWithFault({ narrator, operator, workplace }: WalkParts): Promise<void> {
  narrator.chapter('Dual-write, step by step, with a release that has a fault');
  await workplace.plantFault(true);
  narrator.say(
    `Somebody deploys a codec of the new store that adds hello: "joe" to ${FAULT_SHARE * 100} % of the events. Nobody knows.`,
  );
  for (const share of [10, 50, 100]) await operator.dualWrite(share);
  const { calls, p99Ms, failed } = await workplace.experienceOfNext(WINDOW_CALLS);
  narrator.say(`callers: ${counted(calls, 'call')}, ${failed} failed, p99 ${duration(p99Ms)}`);
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
    `${counted(shadow.compared, 'read')} compared; ${count(shadow.divergent)} differed, most as they are not backfilled yet, but ${corrupted.length} in what they hold:`,
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

async function mend({ narrator, operator, workplace }: WalkParts): Promise<void> {
  narrator.chapter('The fault is mended');
  await workplace.plantFault(false);
  narrator.say('The release is taken back. Shadow reads pause, and what they found is repaired.');
  await operator.shadowRead(0);
  await operator.repair();
}

/** How many corrupted records the verification found that no shadow read had met. */
async function backfillAndVerify({ narrator, operator, expectations }: WalkParts): Promise<number> {
  narrator.chapter('Backfill everything, and prove it');
  await operator.dualWrite('all');
  await operator.backfill();
  const first = await operator.verify();
  const { missing, extra, different, stale } = first.counts;
  if (first.verdict === 'divergent') {
    narrator.say('Those are corrupted events that nobody has read since. Whatever differs is written anew:');
    await operator.repair();
    const second = await operator.verify();
    expectations.check(second.verdict === 'consistent', 'both stores hold the same, record by record');
  } else {
    expectations.check(first.verdict === 'consistent', 'both stores hold the same, record by record');
  }
  return missing + extra + different + stale;
}

async function killed({ narrator, operator, workplace, expectations }: WalkParts): Promise<void> {
  narrator.chapter('kill -9 in the middle of dual-writing');
  const place = 1;
  const victim = workplace.services[place] as Child;
  const begun = performance.now();
  narrator.command(`kill -9 ${victim.pid}`);
  await victim.kill();
  const successor = await workplace.startService(place);
  narrator.say(`pid ${victim.pid} has ended, ${successor.name} starts again as pid ${successor.pid}.`);
  const { plane } = operator.control;
  await workplace.until('the fleet knows that the process has ended', async () =>
    (await plane.fleet('dead')).some(({ node }) => node.info.pid === victim.pid),
  );
  const { dirty } = await operator.status();
  narrator.say(
    `${duration(performance.now() - begun)} later the fleet has proven its end, and that no put of it is on its way: all that it may have left half done is dirty (${counted(dirty.ranges, 'range')}).`,
  );
  await operator.settle();
  const { dirty: left } = await operator.status();
  expectations.check(left.ranges + left.rejected === 0, 'what the killed process left is repaired');
}

async function hanging({
  narrator,
  operator,
  workplace,
  expectations,
  signal,
}: WalkParts): Promise<WalkResult['hang']> {
  narrator.chapter(`The new store hangs for ${HANG_MS / 1_000} s at dual-write 100 %`);
  const before = await workplace.experienceOfNext(WINDOW_CALLS);
  narrator.command(`kill -STOP ${workplace.store.pid}`);
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
  narrator.say(
    `before   p50 ${duration(before.p50Ms)}  p99 ${duration(before.p99Ms)}  ${counted(before.calls, 'call')}`,
  );
  narrator.say(
    `meanwhile p50 ${duration(during.p50Ms)}  p99 ${duration(during.p99Ms)}  ${counted(during.calls, 'call')}`,
  );
  narrator.command(`kill -CONT ${workplace.store.pid}`);
  const ratio = during.p99Ms / before.p99Ms;
  const noticed = during.p99Ms > NOTICED_MS && ratio > NOTICED_RATIO;
  expectations.check(
    during.failed === 0 && !noticed,
    `nobody noticed: ${during.failed} calls failed, p99 was ${ratio.toFixed(2)} times that before`,
  );
  await workplace.until('mirrors flow again', async () => {
    const fleet = await operator.control.plane.fleet('alive');
    return fleet.every(({ node }) => (node.health?.mirrorQueue ?? 0) < WINDOW_CALLS / 10);
  });
  await operator.settle();
  return { before, during };
}

async function cutover({ narrator, operator, expectations }: WalkParts): Promise<void> {
  narrator.chapter('Cutover');
  await operator.shadowRead(100);
  for (const share of [1, 25, 100, 'all']) {
    await operator.when('enough reads are compared', ({ shadow }) => shadow.compared >= COMPARISONS);
    await operator.cutover(share);
  }
  const { dials } = await operator.status();
  expectations.check(dials.cutover === 'all', 'the new store leads everything');
}

/** How long the roll-back took, ms. */
async function backAndForth({ narrator, operator, expectations }: WalkParts): Promise<number> {
  narrator.chapter('Back, and forward again');
  const { tookMs } = await operator.rollback();
  expectations.check(tookMs < ROLLBACK_LIMIT_MS, `everything was back on the old store within ${duration(tookMs)}`);
  await operator.when('enough reads are compared', ({ shadow }) => shadow.compared >= COMPARISONS);
  await operator.cutover('all');
  return tookMs;
}

async function retire({ narrator, operator, workplace, expectations }: WalkParts): Promise<WalkResult['retired']> {
  narrator.chapter('The old store retires');
  const { verdict } = await operator.verify();
  expectations.check(verdict === 'consistent', 'both stores still hold the same');
  await operator.shadowRead(0);
  await operator.settle();
  const from = hostMicros();
  await operator.retireOld();
  const to = hostMicros();
  const { failed, calls } = await workplace.experienceOfNext(WINDOW_CALLS);
  narrator.say(`${counted(calls, 'call')} on the new store alone, ${failed} failed`);
  return { from, to };
}

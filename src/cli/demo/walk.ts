import { setTimeout as pause } from 'node:timers/promises';
import type { DivergenceRow } from '../../control/storage.ts';
import type { GateVerdict } from '../../core/errors.ts';
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

async function canariesFirst({ narrator, operator, expectations }: WalkParts): Promise<void> {
  narrator.chapter('Canaries first: three users go all the way');
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
  await operator.when('the canaries are compared', ({ shadow }) => shadow.compared >= 5);
  await operator.cutover('canary');
  const { calls, failed } = await operatorWindow(operator);
  expectations.check(failed === 0, `the new store serves the canaries: ${counted(calls, 'call')}, ${failed} failed`);
  await operator.rollback();
  await operator.shadowRead(0);
}

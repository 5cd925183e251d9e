import { compareRecords } from '../../verify/compare.ts';
import { sleep } from '../core/clock.ts';
import { ChangeoverError, InvalidRecord } from '../core/errors.ts';
import { type KeyJson, keyFromJson } from '../core/key-json.ts';
import { Ruleset } from '../core/ruleset.ts';
import { again } from '../replay/put-newer.ts';
import type { ControllerParts } from './controller-parts.ts';
import { isNamed } from './named-key.ts';
import type { RepairPace } from './repair-pace.ts';
import type { DivergenceRow } from './storage.ts';

export interface RestampSummary {
  /** Divergent records that agree now, because they were written again. */
  readonly restamped: number;
  /** Those that had come to agree by themselves. */
  readonly agreed: number;
  /** Those that still differ. */
  readonly divergent: number;
  /** The first of them, and why. */
  readonly unmended: readonly UnmendedRecord[];
}

export interface UnmendedRecord {
  readonly key: KeyJson;
  readonly why: string;
}

export interface RestampProgress {
  readonly restamped: number;
  readonly agreed: number;
  readonly divergent: number;
}

const PAGE = 500;
const AT_ONCE = 32;
/** Waits before the looks at a record that was written again: its mirror put may be on its way. */
const LOOKS_MS: readonly number[] = [0, 10, 50, 200, 500, 1_000];
const NAMED = 100;

/** What is wrong with one record, and no reason to leave the others as they are. */
const OF_ONE_RECORD: ReadonlySet<string> = new Set([
  'INVALID_RECORD',
  'STORE_REJECTED',
  'VERSION_CONFLICT',
  'OUTCOME_UNKNOWN',
  'DEADLINE_EXCEEDED',
  'HANDOVER_IN_PROGRESS',
  'STAMP_EXHAUSTED',
]);

/**
 * Writes every record that is known to diverge again on the store that leads it, with a fresh stamp, so that its mirror
 * replaces whatever the other store holds (R14). What agrees is forgotten page by page: an interrupted run is gone on
 * with by another one.
 */
export async function restampDivergent(
  parts: ControllerParts,
  pace: RepairPace,
  signal: AbortSignal | undefined,
  onProgress: (progress: RestampProgress) => void,
): Promise<RestampSummary> {
  const { plane, migration } = parts;
  const total = { restamped: 0, agreed: 0, divergent: 0 };
  const unmended: UnmendedRecord[] = [];
  for (let after = 0; ; ) {
    signal?.throwIfAborted();
    const page = await plane.divergences(migration, after, PAGE);
    if (page.length === 0) return { ...total, unmended };
    after = page.at(-1)?.id ?? after;
    const mended: number[] = [];
    const open = [...page];
    const lane = async (): Promise<void> => {
      for (let row = open.shift(); row !== undefined; row = open.shift()) {
        signal?.throwIfAborted();
        await pace.take(1, signal);
        const outcome = await mend(parts, row, signal);
        if (outcome === 'restamped' || outcome === 'agreed') {
          total[outcome] += 1;
          mended.push(row.id);
        } else {
          total.divergent += 1;
          if (unmended.length < NAMED) unmended.push({ key: row.key, why: outcome.why });
        }
        onProgress(total);
      }
    };
    const lanes = await Promise.allSettled(
      Array.from({ length: await pace.atOnce(Math.min(AT_ONCE, page.length)) }, () =>
        lane().catch((error: unknown) => {
          open.length = 0; // the others end with the record that they are at
          throw error;
        }),
      ),
    );
    if (mended.length > 0) await plane.clearDivergences(migration, mended);
    const failed = lanes.find((each) => each.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }
}

async function mend(
  parts: ControllerParts,
  row: DivergenceRow,
  signal: AbortSignal | undefined,
): Promise<'restamped' | 'agreed' | { readonly why: string }> {
  const patient = { ...parts, signal };
  if (await agrees(patient, row)) return 'agreed';
  const key = keyFromJson(row.key);
  try {
    await parts.restamp(key);
  } catch (error) {
    if (!(error instanceof ChangeoverError) || !OF_ONE_RECORD.has(error.code)) throw error;
    return { why: `${error.message} [${error.code}]` };
  }
  for (const ms of LOOKS_MS) {
    await sleep(parts.clock, ms, signal);
    if (await agrees(patient, row)) return 'restamped';
  }
  const ruleset = new Ruleset(await parts.plane.ruleset(parts.migration));
  if (!ruleset.route(parts.keys.unit(key)).mirror) return { why: 'its unit is not mirrored' };
  return { why: row.cause ?? `${row.kind}, also after it was written again` };
}

/** Whether both stores hold the same record now. */
async function agrees(
  parts: ControllerParts & { readonly signal?: AbortSignal | undefined },
  row: DivergenceRow,
): Promise<boolean> {
  const { stores, keys, rules } = parts;
  const key = keyFromJson(row.key);
  const id = keys.id(key);
  const [old, fresh] = await Promise.all(
    [stores.old, stores.new].map((target) => again({ ...parts, target }, () => target.get(id, key))),
  );
  if (old === undefined && fresh === undefined && !isNamed(keys, stores.old, { id, key })) return false;
  if (old?.unreadable !== undefined || fresh?.unreadable !== undefined) return false;
  const left = old?.value ?? null;
  const right = fresh?.value ?? null;
  if (left === null || right === null) return left === right;
  try {
    return compareRecords(left, right, rules).length === 0;
  } catch (error) {
    // One of them holds what is no value of records: the same word as the verifier's.
    if (error instanceof InvalidRecord) return false;
    throw error;
  }
}

import { compareRecords } from '../../verify/compare.ts';
import { sleep } from '../core/clock.ts';
import { type Intervals, intervals, overlaps } from '../core/intervals.ts';
import { keyFromJson } from '../core/key-json.ts';
import { otherSide, type Side } from '../core/stage.ts';
import type { Entry, KeyRef } from '../core/store.ts';
import { again, putNewer } from '../replay/put-newer.ts';
import { Backfill } from './backfill.ts';
import type { ControllerParts } from './controller-parts.ts';
import type { Authorship } from './publish.ts';
import type { DirtRow, DivergenceRow } from './storage.ts';

export interface RepairSummary {
  /** Entries put because the target lacked them. */
  readonly applied: number;
  /** Lines of dirt that are gone. */
  readonly cleared: number;
  /** Keys that a store still refuses, by side. */
  readonly rejected: Readonly<Record<Side, number>>;
  /** Divergent records that agree now, and those that still do not. */
  readonly restamped: number;
  readonly divergent: number;
}

interface RepairOptions extends Authorship {
  readonly signal?: AbortSignal | undefined;
}

const PAGE = 500;
const RESTAMPED_AT_ONCE = 32;
const LOOKS_MS: readonly number[] = [10, 50, 200, 500, 1_000];

/**
 * Replays what is dirty (R10): single keys by point reads, ranges by a scan; towards the old store first, as after an
 * emergency (R17). Then re-stamps what is divergent.
 */
export class Repair {
  readonly #parts: ControllerParts;
  readonly #backfill: Backfill;

  constructor(parts: ControllerParts) {
    this.#parts = parts;
    this.#backfill = new Backfill(parts);
  }

  async run(options: RepairOptions): Promise<RepairSummary> {
    const total = { applied: 0, cleared: 0, rejected: { old: 0, new: 0 } };
    for (const target of ['old', 'new'] as const) {
      const done = await this.#replayDirt(target, null, options);
      total.applied += done.applied;
      total.cleared += done.cleared;
      total.rejected[target] += done.rejected;
    }
    const { restamped, divergent } = await this.#restampDivergent(options.signal);
    return { ...total, restamped, divergent };
  }

  /** Replays the dirt of some positions, in both directions, while a handover holds them. */
  async drain(positions: Intervals, options: RepairOptions): Promise<void> {
    for (const target of ['old', 'new'] as const) await this.#replayDirt(target, positions, options);
  }

  async #replayDirt(
    target: Side,
    within: Intervals | null,
    options: RepairOptions,
  ): Promise<{ applied: number; cleared: number; rejected: number }> {
    const { plane, migration } = this.#parts;
    const total = { applied: 0, cleared: 0, rejected: 0 };
    const ranges: [number, number][] = [];
    const wanted = (row: DirtRow): boolean => within === null || overlaps([[row.fromPosition, row.toPosition]], within);
    for (let after = 0; ; ) {
      const page = await plane.dirtOf(migration, target, null, after, PAGE);
      if (page.length === 0) break;
      after = page.at(-1)?.id ?? after;
      const rows = page.filter(wanted);
      // A range line is a scan, and so is a key that is dirty in more than its own position.
      ranges.push(
        ...rows.filter((row) => row.key === null).map((row): [number, number] => [row.fromPosition, row.toPosition]),
      );
      const keys = rows.filter((row) => row.key !== null);
      if (keys.length > 0) {
        const done = await this.#replayKeys(target, keys, options.signal);
        total.applied += done.applied;
        total.cleared += done.cleared;
        total.rejected += done.rejected;
      }
      await this.#waitSource(target, rows, options.signal);
    }
    if (ranges.length === 0) return total;
    const done = await this.#backfill.runKind('repair', { ...options, target, positions: intervals(ranges) });
    total.applied += done.applied;
    total.cleared += done.clearedDirt;
    total.rejected += done.rejected;
    return total;
  }

  /** A source write without an answer may still be applied: what is read before that proves nothing. */
  async #waitSource(target: Side, rows: readonly DirtRow[], signal: AbortSignal | undefined): Promise<void> {
    const { stores, clock } = this.#parts;
    const source = stores[otherSide(target)];
    const until = Math.max(0, ...rows.map((row) => row.notBefore ?? 0)) + source.capabilities.clockErrorMs;
    while (source.now() <= until) await sleep(clock, Math.min(until - source.now() + 1, 500), signal);
  }

  async #replayKeys(
    target: Side,
    rows: readonly DirtRow[],
    signal: AbortSignal | undefined,
  ): Promise<{ applied: number; cleared: number; rejected: number }> {
    const { plane, migration, stores, keys, clock, random } = this.#parts;
    await this.#waitSource(target, rows, signal);
    const refs = new Map<string, KeyRef>();
    const rowsOf = new Map<string, number[]>();
    for (const row of rows) {
      const key = keyFromJson(row.key ?? {});
      const id = keys.id(key);
      refs.set(id, { id, key });
      rowsOf.set(id, [...(rowsOf.get(id) ?? []), row.id]);
    }
    const source = stores[otherSide(target)];
    const read = await again({ target: source, clock, random, signal }, () => source.getMany([...refs.values()]));
    const entries = read.filter((entry): entry is Entry => entry !== undefined);
    const { settings } = await plane.ruleset(migration);
    const result = await putNewer(entries, {
      target: stores[target],
      clock,
      random,
      signal,
      deadline: async () => {
        const deadline = Math.floor(stores[target].now()) + settings.putTimeoutMs;
        await plane.promiseDeadline(migration, target, deadline);
        return deadline;
      },
    });
    const refused = new Set(result.rejected.map(({ entry }) => entry.id));
    const gone = [...rowsOf].filter(([id]) => !refused.has(id)).flatMap(([, ids]) => ids);
    const cleared = gone.length === 0 ? 0 : await plane.clearDirt(migration, gone);
    return { applied: result.applied, cleared, rejected: refused.size };
  }

  async #restampDivergent(signal: AbortSignal | undefined): Promise<{ restamped: number; divergent: number }> {
    const { plane, migration, restamp } = this.#parts;
    let restamped = 0;
    let divergent = 0;
    for (let after = 0; ; ) {
      const page = await plane.divergences(migration, after, PAGE);
      if (page.length === 0) return { restamped, divergent };
      after = page.at(-1)?.id ?? after;
      const agreed: number[] = [];
      const open = [...page];
      const lane = async (): Promise<void> => {
        for (let row = open.shift(); row !== undefined; row = open.shift()) {
          signal?.throwIfAborted();
          if (!(await this.#agree(row, LOOKS_MS.slice(0, 1), signal))) {
            await restamp(keyFromJson(row.key));
            if (!(await this.#agree(row, LOOKS_MS, signal))) {
              divergent += 1;
              continue;
            }
            restamped += 1;
          }
          agreed.push(row.id);
        }
      };
      await Promise.all(Array.from({ length: Math.min(RESTAMPED_AT_ONCE, page.length) }, lane));
      if (agreed.length > 0) await plane.clearDivergences(migration, agreed);
    }
  }

  /** Whether both stores hold the same record now, or soon: a mirror put may be on its way. */
  async #agree(row: DivergenceRow, looksMs: readonly number[], signal: AbortSignal | undefined): Promise<boolean> {
    const { stores, keys, clock, rules } = this.#parts;
    const key = keyFromJson(row.key);
    const id = keys.id(key);
    for (const ms of looksMs) {
      const [old, fresh] = await Promise.all([stores.old.get(id, key), stores.new.get(id, key)]);
      const left = old?.value ?? null;
      const right = fresh?.value ?? null;
      if (left === null && right === null) return true;
      if (left !== null && right !== null && compareRecords(left, right, rules).length === 0) return true;
      await sleep(clock, ms, signal);
    }
    return false;
  }
}

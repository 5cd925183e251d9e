import { sleep } from '../core/clock.ts';
import { ChangeoverError, Interrupted } from '../core/errors.ts';
import { covers, type Intervals, intervals, overlaps, type Range } from '../core/intervals.ts';
import { keyFromJson } from '../core/key-json.ts';
import { PageSize } from '../core/page-size.ts';
import { otherSide, type Side } from '../core/stage.ts';
import type { Entry, KeyRef, Store } from '../core/store.ts';
import { again, putNewer } from '../replay/put-newer.ts';
import { Backfill } from './backfill.ts';
import { type ControllerParts, connected } from './controller-parts.ts';
import { isNamed, unnamedIn } from './named-key.ts';
import type { Authorship } from './publish.ts';
import { RepairPace } from './repair-pace.ts';
import { type RestampSummary, restampDivergent } from './restamping.ts';
import type { DirtRow } from './storage.ts';

export interface RepairSummary extends RestampSummary {
  /** Entries put because the target lacked them. */
  readonly applied: number;
  /** Lines of dirt that are gone. */
  readonly cleared: number;
  /** Keys that a store still refuses, by side. */
  readonly rejected: Readonly<Record<Side, number>>;
}

/** How far a repair is: single keys and ranges of each store, then the divergent records. */
export interface RepairProgress {
  readonly phase: 'keys' | 'ranges' | 'divergent';
  /** The store that is filled; null for divergent records, which go wherever they are not led. */
  readonly target: Side | null;
  readonly done: number;
  /** How many there are, where that is known. */
  readonly all: number | null;
  /** Entries that the target lacked, or records that agree now. */
  readonly mended: number;
  /** Entries that the target refused, or records that still differ. */
  readonly refused: number;
}

export interface RepairOptions extends Authorship {
  /** Nobody else takes part: a handover waits for it. @default false */
  readonly alone?: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: RepairProgress) => void) | undefined;
}

const PAGE = 500;

/** The positions that have to be scanned. */
export const rangesOf = (rows: readonly DirtRow[]): readonly Range[] =>
  rows.flatMap(({ key, fromPosition: from, toPosition: to }) => (key === null ? [[from, to] as const] : []));

/** Whether a line's key is to be read by itself: a scan finds what was lost, but ends no rejection. */
export const isSingle = ({ key, kind, fromPosition: from, toPosition: to }: DirtRow, scanned: Intervals): boolean =>
  key !== null && (kind === 'rejected' || !covers(scanned, [[from, to]]));

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

  /** @throws Interrupted when `signal` aborts: what is mended is, and another run goes on. */
  async run(options: RepairOptions): Promise<RepairSummary> {
    const total = { applied: 0, cleared: 0, rejected: { old: 0, new: 0 } };
    try {
      for (const target of ['old', 'new'] as const) {
        const done = await this.#replayDirt(target, null, options);
        total.applied += done.applied;
        total.cleared += done.cleared;
        total.rejected[target] += done.rejected;
      }
      return { ...total, ...(await this.#restamp(options)) };
    } catch (error) {
      if (options.signal?.aborted !== true || error instanceof ChangeoverError) throw error;
      throw new Interrupted('the repair was interrupted', {
        remedy: 'the same command goes on from there',
        cause: error,
      });
    }
  }

  async #restamp({ signal, onProgress }: RepairOptions): Promise<RestampSummary> {
    const { plane, migration } = this.#parts;
    const all = onProgress === undefined ? 0 : (await plane.status(migration)).divergences;
    return restampDivergent(
      this.#parts,
      new RepairPace(this.#parts, true),
      signal,
      ({ restamped, agreed, divergent }) => {
        const mended = restamped + agreed;
        const done = mended + divergent;
        onProgress?.({ phase: 'divergent', target: null, done, all: Math.max(all, done), mended, refused: divergent });
      },
    );
  }

  /**
   * Replays the dirt of some positions, in both directions, while a handover holds them, or because a roll-back cannot
   * wait (`outranks`): it gives up a repair of ranges that others run. A paused one is in nobody's way in any case.
   */
  async drain(positions: Intervals, options: RepairOptions, outranks = false): Promise<void> {
    for (const target of ['old', 'new'] as const) {
      await this.#replayDirt(target, positions, { ...options, alone: true }, outranks);
    }
  }

  async #replayDirt(
    target: Side,
    within: Intervals | null,
    options: RepairOptions,
    outranks = false,
  ): Promise<{ applied: number; cleared: number; rejected: number }> {
    const { plane, migration } = this.#parts;
    const total = { applied: 0, cleared: 0, rejected: 0 };
    /** Keys that were refused, and that the scan of the ranges will meet again. */
    let metAgain = 0;
    const ranges: Range[] = [];
    let dirty = false;
    for await (const rows of this.#dirt(target, within)) {
      dirty ||= rows.length > 0;
      ranges.push(...rangesOf(rows));
    }
    // Where nothing is dirty a store that is away is in nobody's way.
    if (!dirty) return total;
    await connected(this.#parts, options.signal);
    const scanned = intervals(ranges);
    const single = { done: 0, mended: 0, refused: 0 };
    const pace = new RepairPace(this.#parts, options.alone !== true);
    const pages = new PageSize(PAGE);
    let unnamed: Promise<ReadonlySet<string>> | null = null;
    // It takes a scan of all, for which nobody holds writes.
    const met = (source: Store): Promise<ReadonlySet<string>> => {
      unnamed ??= unnamedIn(source, this.#parts.keys, options.signal);
      return unnamed;
    };
    for await (const rows of this.#dirt(target, within)) {
      ranges.push(...rangesOf(rows));
      const keys = rows.filter((row) => isSingle(row, scanned));
      if (keys.length > 0) {
        await this.#waitSource(target, keys, options.signal);
        const meets = ({ fromPosition: from, toPosition: to }: DirtRow): boolean => covers(scanned, [[from, to]]);
        for await (const done of this.#replayKeys(
          target,
          keys,
          pages,
          pace,
          options.alone === true ? null : met,
          options.signal,
        )) {
          metAgain += done.refused.filter(meets).length;
          total.applied += done.applied;
          total.cleared += done.cleared;
          total.rejected += done.refused.length;
          single.done += done.keys;
          single.mended += done.applied;
          single.refused += done.refused.length;
          options.onProgress?.({ phase: 'keys', target, all: null, ...single });
        }
      }
      await this.#waitSource(target, rows, options.signal);
    }
    if (ranges.length === 0) return total;
    if (within !== null) {
      const { actor, reason } = options;
      const running = await plane.runningReplay(migration, 'repair', target);
      if (running !== null && (outranks || running.paused)) {
        await plane.cancelReplay(migration, 'repair', target, { actor, reason });
      }
    }
    const done = await this.#backfill.runKind('repair', {
      ...options,
      target,
      positions: intervals(ranges),
      onProgress: ({ scanned, estimate, applied, rejected }) =>
        options.onProgress?.({
          phase: 'ranges',
          target,
          done: scanned,
          all: estimate,
          mended: applied,
          refused: rejected,
        }),
    });
    total.applied += done.applied;
    total.cleared += done.clearedDirt;
    total.rejected += Math.max(0, done.rejected - metAgain);
    return total;
  }

  /** Page by page, oldest first. */
  async *#dirt(target: Side, within: Intervals | null): AsyncGenerator<readonly DirtRow[]> {
    const { plane, migration } = this.#parts;
    for (let after = 0; ; ) {
      const page = await plane.dirtOf(migration, target, null, after, PAGE, within);
      if (page.length === 0) return;
      after = page.at(-1)?.id ?? after;
      yield within === null ? page : page.filter((row) => overlaps([[row.fromPosition, row.toPosition]], within));
    }
  }

  /** A source write without an answer may still be applied: what is read before that proves nothing. */
  async #waitSource(target: Side, rows: readonly DirtRow[], signal: AbortSignal | undefined): Promise<void> {
    const { stores, clock } = this.#parts;
    const source = stores[otherSide(target)];
    const until = Math.max(0, ...rows.map((row) => row.notBefore ?? 0)) + source.capabilities.clockErrorMs;
    while (source.now() <= until) await sleep(clock, Math.min(until - source.now() + 1, 500), signal);
  }

  /** As many keys at once as their records and the operator's settings allow. */
  async *#replayKeys(
    target: Side,
    rows: readonly DirtRow[],
    pages: PageSize,
    pace: RepairPace,
    met: ((source: Store) => Promise<ReadonlySet<string>>) | null,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<{ keys: number; applied: number; cleared: number; refused: readonly DirtRow[] }> {
    const { plane, migration, stores, keys, clock, random } = this.#parts;
    const refs = new Map<string, KeyRef>();
    const rowsOf = new Map<string, DirtRow[]>();
    for (const row of rows) {
      const key = keyFromJson(row.key ?? {});
      const id = keys.id(key);
      refs.set(id, { id, key });
      rowsOf.set(id, [...(rowsOf.get(id) ?? []), row]);
    }
    const source = stores[otherSide(target)];
    const open = [...refs.values()];
    while (open.length > 0) {
      const part = open.splice(0, await pace.take(Math.min(pages.for(PAGE), open.length), signal));
      const read = await again({ target: source, clock, random, signal }, () => source.getMany(part));
      const entries = read.filter((entry): entry is Entry => entry !== undefined);
      pages.learn(part.map((ref, i) => read[i] ?? { ...ref, stamp: null, value: null }));
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
      // A key that no call can name is not gone because the store does not find it.
      let unnamed = part.filter((ref, i) => read[i] === undefined && !isNamed(keys, source, ref));
      if (unnamed.length > 0 && met !== null) {
        const there = await met(source);
        unnamed = unnamed.filter(({ id }) => there.has(id));
      }
      const refused = new Set([...result.rejected.map(({ entry }) => entry.id), ...unnamed.map(({ id }) => id)]);
      const gone = part.flatMap(({ id }) => (refused.has(id) ? [] : (rowsOf.get(id) ?? []))).map(({ id }) => id);
      const cleared = gone.length === 0 ? 0 : await plane.clearDirt(migration, gone);
      const handled = part.reduce((sum, { id }) => sum + (rowsOf.get(id)?.length ?? 0), 0);
      const left = [...refused].flatMap((id) => rowsOf.get(id)?.[0] ?? []);
      yield { keys: handled, applied: result.applied, cleared, refused: left };
    }
  }
}

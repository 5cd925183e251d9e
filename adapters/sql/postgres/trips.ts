import { STAMP_MIN, type Stamp, stampFromBytes, stampToBytes } from '../../../src/core/stamp.ts';
import type { CasOutcome } from '../../../src/core/store.ts';
import type { Bound } from '../column-codec.ts';
import type { Held, Write } from '../dialect.ts';
import { arrayOf, stampArray } from './binary-array.ts';
import type { Rows, Step, Value } from './pipeline.ts';
import type { Plan } from './plan.ts';
import type { Reads } from './reads.ts';
import {
  ALL_SLOTS,
  COPY_GATE,
  COPY_SLOT,
  IN_TIME,
  LIMITS,
  NO_TABLE,
  UNDEFERRED,
  type WriteTexts,
  writeTexts,
} from './texts.ts';

/** One row that somebody holds must not hold up a whole batch until its deadline. */
const BATCH_WAIT_MS = 1_000;
const FOREVER_MS = 2 ** 31 - 1;

/** Statements that make one write in one trip. */
export interface Trip extends Sent {
  /** What it did, by what the steps answered; null when the guard let nothing through. */
  outcome(answers: readonly Rows[]): CasOutcome | null;
}

/** Statements that were sent, and what it means if one of them fails. */
export interface Sent {
  readonly steps: readonly Step[];
  /** Place of the last step that fails once the deadline has passed; the one that sets the limits is another. */
  readonly inTime?: number;
  /** Place of the step that fails if what was expected is not there. */
  readonly mustOwn?: number;
  /** Place of the step that fails if the stamp was written without its record. */
  readonly both?: number;
  /** Place of the step that fails because there is a stamp table after all. */
  readonly noTable?: number;
}

/** Where the steps of bare copies fail while tombstones are written. */
export const COPY_STEPS = { first: 1, last: 2, answer: 3 } as const;

/** What a batch is: puts, tombstones, or puts of the least stamp where records without one have it. */
export type Many = 'put' | 'buried' | 'bare';

export const applied = (there: boolean): CasOutcome => ({ kind: 'applied', previous: there ? 'record' : 'absent' });

/** What a `put` answers: how many stamps were written, whether the record is new. */
function putOutcome(rows: Rows | undefined): CasOutcome | null {
  const [won, fresh] = rows?.[0] ?? [];
  return won === '1' && fresh !== null ? applied(fresh !== 't') : null;
}

/** Makes the statements that write: which ones, in which order, and how their answers read. */
export class Trips {
  readonly #plan: Plan;
  readonly #reads: Reads;
  readonly #texts: WriteTexts;

  constructor(plan: Plan, reads: Reads) {
    this.#plan = plan;
    this.#reads = reads;
    this.#texts = writeTexts(plan);
  }

  #limits(deadline: number, waitMs = FOREVER_MS): Step {
    return { sql: LIMITS, values: [deadline, BigInt(waitMs)] };
  }

  #slots(sql: string): Step {
    return { sql, values: [this.#plan.stamps] };
  }

  /** Everything is done when the clock is looked at for the last time. */
  #inTime(deadline: number): readonly Step[] {
    const inTime = { sql: IN_TIME, values: [deadline] };
    return this.#plan.table.deferring ? [{ sql: UNDEFERRED, values: [] }, inTime] : [inTime];
  }

  /** A trip whose last step looks at the clock. */
  #timed(steps: readonly Step[], deadline: number): { readonly steps: readonly Step[]; readonly inTime: number } {
    const all = [...steps, ...this.#inTime(deadline)];
    return { steps: all, inTime: all.length - 1 };
  }

  /** The statements of a write whose guard SQL can say; null for the others. */
  of(write: Write): Trip | null {
    if (write.stamp === null) return this.#plainTrip(write);
    const { key, row, deadline, expected } = write;
    const stamp = stampToBytes(write.stamp);
    const texts = this.#texts;
    const guarded = (sql: string, values: readonly Bound[], mustOwn: boolean): Trip => ({
      ...this.#timed(
        [this.#limits(deadline), { sql, values }, ...(mustOwn ? [{ sql: texts.mustOwn, values: key }] : [])],
        deadline,
      ),
      ...(mustOwn ? { mustOwn: 2 } : { both: 1 }),
      outcome: ([, rows]) => putOutcome(rows),
    });
    const buried = (sql: string, values: readonly Bound[]): Trip => ({
      ...this.#timed(
        [this.#limits(deadline), this.#slots(ALL_SLOTS), { sql, values }, { sql: texts.removeBuried, values: key }],
        deadline,
      ),
      outcome: ([, , won = [], removed = []]) => (won.length === 1 ? applied(removed.length === 1) : null),
    });
    if (expected === null) {
      return row === null
        ? buried(texts.bury, [...key, stamp, deadline])
        : guarded(texts.put, [...row, stamp, deadline], this.#plan.shared);
    }
    if (expected.kind === 'absent') {
      return row === null ? null : guarded(texts.create, [...row, stamp, deadline], true);
    }
    if (expected.value !== undefined) return null;
    if (expected.stamp === null) return row === null ? null : guarded(texts.adopt, [...row, stamp, deadline], true);
    const stored = stampToBytes(expected.stamp);
    if (expected.stamp === this.#reads.bare) {
      return row === null ? null : guarded(texts.adoptBare, [...row, stamp, deadline, stored], true);
    }
    return row === null
      ? buried(texts.buryOne, [...key, stamp, deadline, stored])
      : guarded(texts.replace, [...row, stamp, deadline, stored], this.#plan.shared);
  }

  /** Plain writes, on tables that may never have been prepared. */
  #plainTrip({ key, row, deadline, expected }: Write): Trip | null {
    const texts = this.#texts;
    if (expected !== null && (expected.kind !== 'absent' || row === null)) return null;
    const { stamped } = this.#reads;
    const before = [
      this.#limits(deadline),
      stamped ? { sql: texts.unstamp, values: key } : { sql: NO_TABLE, values: [this.#plan.stamps] },
    ];
    const mustOwn = { sql: texts.mustOwnPlain, values: key };
    const common = stamped ? {} : { noTable: 1 };
    if (row === null) {
      const sent = this.#timed([...before, { sql: texts.removePlain, values: key }], deadline);
      return { ...common, ...sent, outcome: ([, , removed = []]) => applied(removed.length === 1) };
    }
    if (expected !== null) {
      const sent = this.#timed([...before, { sql: texts.insertPlain, values: row }, mustOwn], deadline);
      return { ...common, ...sent, mustOwn: 3, outcome: () => applied(false) };
    }
    const own = this.#plan.shared ? [mustOwn] : [];
    const sent = this.#timed([...before, { sql: texts.overwrite, values: row }, ...own], deadline);
    const outcome = ([, , written = []]: readonly Rows[]) => applied(written[0]?.[0] !== 't');
    return { ...common, ...sent, ...(this.#plan.shared ? { mustOwn: 3 } : {}), outcome };
  }

  /** Locks the key and looks at it. */
  locking({ key, row, stamp, deadline }: Write): Sent & { held(answers: readonly Rows[]): Held | undefined } {
    const texts = this.#texts;
    const { stamped } = this.#reads;
    const begin = [{ sql: 'BEGIN', values: [] }, this.#limits(deadline)];
    const record = { sql: texts.lockRecord, values: key };
    const heldOf = (made: boolean, stamps: Rows, records: Rows): Held | undefined => {
      const [row] = records;
      const bytes = made ? undefined : stamps[0]?.[0];
      if (bytes === undefined && row === undefined) return undefined;
      return {
        stamp: typeof bytes === 'string' ? stampFromBytes(Buffer.from(bytes.slice(2), 'hex')) : this.#reads.bare,
        row: row === undefined ? null : this.#reads.cells(row),
      };
    };
    if (stamp === null && !stamped) {
      return {
        steps: [...begin, { sql: NO_TABLE, values: [this.#plan.stamps] }, record],
        noTable: 2,
        held: ([, , , records = []]) => heldOf(true, [], records),
      };
    }
    const hold = { sql: texts.hold, values: [...key, stampToBytes(STAMP_MIN)] };
    const lock = { sql: texts.lockStamp, values: key };
    // A stamp row that is not there cannot be locked, so it is made; a plain write needs only the record's lock.
    const before = stamp === null ? begin : [...begin, ...(row === null ? [this.#slots(ALL_SLOTS)] : []), hold];
    return {
      steps: [...before, lock, record],
      held: (answers) => {
        const [stamps = [], records = []] = answers.slice(before.length);
        return heldOf(stamp !== null && answers[before.length - 1]?.length === 1, stamps, records);
      },
    };
  }

  /** Writes what is locked, and commits. */
  changing({ key, row, stamp, deadline }: Write, there: boolean): Sent {
    const texts = this.#texts;
    const stampStep =
      stamp !== null
        ? [{ sql: texts.setStamp, values: [...key, stampToBytes(stamp), row === null ? 'true' : 'false'] }]
        : this.#reads.stamped
          ? [{ sql: texts.unstamp, values: key }]
          : [];
    const recordStep =
      row === null
        ? there
          ? [{ sql: texts.removePlain, values: key }]
          : []
        : [{ sql: there ? texts.update : texts.insert, values: row }];
    const both = stamp !== null && row !== null;
    const written = [...stampStep, ...recordStep, ...(both ? [{ sql: texts.mustOwn, values: key }] : [])];
    const { steps, inTime } = this.#timed(written, deadline);
    return { steps: [...steps, { sql: 'COMMIT', values: [] }], inTime, ...(both ? { both: written.length - 1 } : {}) };
  }

  /** Writes rows with different keys, all of a kind. */
  many(writes: readonly Write[], kind: Many | 'insert' | 'insertBare', deadline: number): readonly Step[] {
    const texts = this.#texts;
    const { names, keys: keyColumns } = this.#plan.layout;
    const columns = (columnNames: readonly string[], cells: (write: Write) => readonly Bound[]): readonly Value[] =>
      columnNames.map((name, column) =>
        arrayOf(
          this.#plan.cast(name),
          writes.map((write) => cells(write)[column] as Bound),
        ),
      );
    const stamps = (): Value => stampArray(writes.map(({ stamp }) => stamp as Stamp));
    const limits = this.#limits(deadline, BATCH_WAIT_MS);
    const end = this.#inTime(deadline);
    if (kind === 'buried') {
      const keys = columns(
        keyColumns.map(({ name }) => name),
        ({ key }) => key,
      );
      const bury = { sql: texts.buryMany, values: [...keys, stamps(), deadline] };
      return [limits, this.#slots(ALL_SLOTS), bury, { sql: texts.removeManyBuried, values: keys }, ...end];
    }
    const rows = columns(names, ({ row }) => row as readonly Bound[]);
    if (kind === 'insert') return [limits, { sql: texts.insertMany, values: [...rows, stamps()] }, ...end];
    if (kind === 'put') return [limits, { sql: texts.putMany, values: [...rows, stamps(), deadline] }, ...end];
    const copy =
      kind === 'bare'
        ? { sql: texts.putManyBare, values: rows }
        : { sql: texts.insertBare, values: [...rows, BigInt(writes.length)] };
    return [limits, this.#slots(COPY_GATE), this.#slots(COPY_SLOT), copy, ...end];
  }
}

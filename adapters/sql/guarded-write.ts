import type { Stamp } from '../../src/core/stamp.ts';
import type { CasOutcome, Expected, Rejection } from '../../src/core/store.ts';
import type { Bound } from './column-codec.ts';
import type { Held, Write } from './dialect.ts';
import { type Guard, judge } from './judge.ts';
import type { BoundEntry, RowCodec } from './row-codec.ts';

/** An entry's write. A class, as a replay makes one of every record: functions of its own would cost more than the rest. */
export class GuardedWrite implements Write, Guard {
  readonly key: readonly Bound[];
  readonly row: readonly Bound[] | null;
  readonly stamp: Stamp | null;
  readonly deadline: number;
  readonly expected: Expected | null;
  readonly rejection: Rejection | null;
  readonly #rows: RowCodec;

  constructor(
    rows: RowCodec,
    { key, row, rejection }: BoundEntry,
    stamp: Stamp | null,
    expected: Expected | null,
    deadline: number,
  ) {
    this.#rows = rows;
    this.key = key;
    this.row = row;
    this.stamp = stamp;
    this.deadline = deadline;
    this.expected = expected;
    this.rejection = rejection;
  }

  get looksAtRow(): boolean {
    const { expected } = this;
    return expected?.kind === 'version' && expected.value !== undefined && expected.value !== null;
  }

  judge(held: Held | undefined): CasOutcome | null {
    return judge(this, held, (row) => this.#rows.record(row));
  }
}

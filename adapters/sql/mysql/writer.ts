import { type Clock, sleep } from '../../../src/core/clock.ts';
import { NotPrepared, StoreFault } from '../../../src/core/errors.ts';
import { type Stamp, stampFromBytes } from '../../../src/core/stamp.ts';
import type { CasOutcome, PutFault } from '../../../src/core/store.ts';
import type { Bound } from '../column-codec.ts';
import type { Held, Write } from '../dialect.ts';
import type { Layout } from '../layout.ts';
import type { ServerPool } from '../server/server-pool.ts';
import {
  type Answer,
  affected,
  Broken,
  breaks,
  COMMITS,
  lockWait,
  type MysqlConnection,
  type Result,
  rowsOf,
  run,
  StatementFailed,
  type Step,
  send,
  undo,
} from './connection.ts';
import { storeFault } from './faults.ts';
import type { StampTable } from './stamp-table.ts';
import type { MysqlStatements } from './statements.ts';

export type Outcome = CasOutcome | PutFault;

/** Another writer was faster; what was done is undone, and to be done again. */
const AGAIN = Symbol('again');
const TRIES = 12;
const LONGEST_PAUSE_MS = 40;
/** Even a put that is late by our clock is shown to the server, whose clock it is that counts. */
export const LEAST_PATIENCE_MS = 1_000;
/** A packet may wait for a second lock, and the shortest wait that a server knows is a second: better late than unknown. */
export const LOCK_SLACK_MS = 1_500;
const BEGIN: Step = ['begin', 'START TRANSACTION'];

/** What a writer works on. */
export interface Place {
  readonly pool: ServerPool<MysqlConnection>;
  readonly clock: Clock;
  readonly label: string;
  readonly layout: Layout;
  readonly statements: MysqlStatements;
  readonly stampTable: StampTable;
  /** The most bytes of a packet. */
  readonly packetBytes: number;
  now(): number;
}

/** A stamp as it is stored; null where there is none. */
export const storedStamp = (cell: unknown): Stamp | null => (cell instanceof Uint8Array ? stampFromBytes(cell) : null);

/** What is found under the key of a put that failed. */
interface Look {
  readonly stamp: Stamp | null;
  readonly exists: boolean;
  readonly late: boolean;
}

/**
 * Writes one key at a time. Whatever can be said in statements goes to the server in one packet that ends in COMMIT:
 * the server then looks at the deadline and commits by itself, and a process that stops in between delays nothing. The
 * stamp's row is written first, which locks it, so that writers of a key come one after the other.
 */
export class Writer {
  readonly #place: Place;

  constructor(place: Place) {
    this.#place = place;
  }

  async write(write: Write): Promise<Outcome> {
    const { clock, label, pool } = this.#place;
    for (let tries = 1; ; tries += 1) {
      const within = Math.max(LEAST_PATIENCE_MS, write.deadline - this.#place.now());
      try {
        const outcome = await pool.use(within + LOCK_SLACK_MS, (connection) =>
          whole(connection, () => this.#put(connection, write, within)),
        );
        if (outcome !== AGAIN) return outcome;
      } catch (error) {
        return faultOf(label, error);
      }
      if (tries === TRIES) {
        const message = `${label}: other writers were faster every time`;
        return { kind: 'fault', outcome: 'nothing-written', message, pressure: true };
      }
      await sleep(clock, Math.random() * Math.min(LONGEST_PAUSE_MS, 2 ** tries));
    }
  }

  async #put(connection: MysqlConnection, write: Write, within: number): Promise<Outcome | typeof AGAIN> {
    if (write.rejection !== null) return this.#judgeOnly(connection, write);
    const steps = this.#inOnePacket(write);
    if (steps === null || !this.#fits(steps)) return this.#judged(connection, write, within);
    const answer = await send(connection, [...lockWait(connection, within), ...steps]);
    return answer.failure === undefined ? applied(answer.results) : this.#failed(connection, write, answer);
  }

  #fits(steps: readonly Step[]): boolean {
    return fits(steps, this.#place.packetBytes);
  }

  /** The whole put, if what must be stored can be said in statements. */
  #inOnePacket({ key, row, stamp, deadline, expected }: Write): readonly Step[] | null {
    const { statements, stampTable } = this.#place;
    const end: readonly Step[] = [['in time', statements.inTime(deadline)], COMMITS];
    if (stamp === null) {
      if (expected !== null) return null;
      const plain: Step = stampTable.there
        ? ['unstamp', statements.unstamp(key)]
        : ['no stamps', statements.noStamps()];
      return [BEGIN, plain, ...this.#record(key, row), ...end];
    }
    const deleted = row === null;
    if (expected === null || (expected.kind === 'absent' && !deleted)) {
      const restamp: Step = ['restamp', statements.restamp(key, stamp, deleted, deadline, null)];
      const create: Step = ['stamp', statements.stampIfNone(key, stamp, deleted)];
      const record: readonly Step[] =
        expected === null || row === null ? this.#record(key, row) : [['insert', statements.insertRecords([row])]];
      return [BEGIN, restamp, create, ...record, ...end];
    }
    if (expected.kind === 'absent' || expected.stamp === null || expected.value !== undefined) return null;
    const restamp: Step = ['restamp', statements.restamp(key, stamp, deleted, deadline, expected.stamp)];
    return [BEGIN, restamp, ['found', statements.found()], ...this.#record(key, row), ...end];
  }

  #record(key: readonly Bound[], row: readonly Bound[] | null): readonly Step[] {
    const { statements } = this.#place;
    return row === null
      ? [['remove', statements.deleteRecord(key)]]
      : [
          ['update', statements.updateRecord(key, row)],
          ['insert', statements.insertIfNone(row)],
        ];
  }

  /** What to answer for a put that the server did not take; undoes what it did. */
  async #failed(
    connection: MysqlConnection,
    write: Write,
    { failed, failure, error }: Extract<Answer, { readonly failed: string }>,
  ): Promise<Outcome | typeof AGAIN> {
    const { stampTable, label } = this.#place;
    if (failed === 'no stamps' && failure.kind === 'asserted') {
      await undo(connection);
      stampTable.there = true;
      return AGAIN;
    }
    if (failure.kind === 'no table') {
      await undo(connection);
      return this.#withoutTable(connection, write, error);
    }
    const { stamp, exists, late } = await this.#look(connection, write);
    const { expected } = write;
    if (write.stamp !== null && stamp === write.stamp) return { kind: 'applied', previous: 'same' };
    if (expected?.kind === 'absent' && exists) return { kind: 'conflict' };
    if (expected?.kind === 'version' && expected.stamp !== stamp) return { kind: 'conflict' };
    if (write.stamp !== null && stamp !== null && stamp > write.stamp) return { kind: 'superseded', stamp };
    if (late || (failed === 'in time' && failure.kind === 'asserted')) return { kind: 'expired' };
    if (failure.kind === 'locked' || (failed === 'found' && failure.kind === 'asserted')) return AGAIN;
    if (failure.kind === 'duplicate') {
      // A unique index of the stamp table is its key. One of the records' may be another one's.
      const raced = failed === 'stamp' || failed === 'place' || (failed === 'insert' && exists);
      return raced ? AGAIN : failure.rejection;
    }
    if (failure.kind === 'rejected' || failure.kind === 'asserted') return failure.rejection;
    return faultOf(label, storeFault(label, error, 'nothing-written'));
  }

  /** Without the stamp table a stamped put is a mistake, and a plain one just plainer. */
  async #withoutTable(connection: MysqlConnection, write: Write, error: unknown): Promise<Outcome | typeof AGAIN> {
    const { statements, stampTable, label, layout } = this.#place;
    const [[there] = []] = rowsOf((await run(connection, [`SELECT ${statements.stampsExist()}`]))[0]);
    stampTable.there = Number(there) === 1;
    if (stampTable.there) return faultOf(label, storeFault(label, error, 'nothing-written'));
    if (write.stamp === null) return AGAIN;
    throw new NotPrepared(`${label}: the stamp table "${layout.stampTable}" is missing`, {
      remedy: '`changeover prepare`',
    });
  }

  async #look(connection: MysqlConnection, { key, deadline, stamp }: Write): Promise<Look> {
    const { statements, stampTable } = this.#place;
    const sql = statements.look(key, deadline, stamp !== null || stampTable.there);
    const answer = await send(connection, [
      ['undo', 'ROLLBACK'],
      ['look', sql],
    ]);
    if (answer.failure !== undefined) {
      await undo(connection);
      throw storeFault(this.#place.label, answer.error, 'nothing-written');
    }
    const [[cell, exists, late] = []] = rowsOf(answer.results['look']);
    return { stamp: storedStamp(cell), exists: Number(exists) === 1, late: Number(late) === 1 };
  }

  /** An entry that cannot be written: all there is to say is whether it would have been. */
  async #judgeOnly(connection: MysqlConnection, write: Write): Promise<Outcome | typeof AGAIN> {
    const { statements, stampTable } = this.#place;
    const stamped = write.stamp !== null || stampTable.there;
    const answer = await send(connection, [['look', statements.one(write.key, stamped, write.looksAtRow)]]);
    if (answer.failure !== undefined) {
      if (answer.failure.kind === 'no table') return this.#withoutTable(connection, write, answer.error);
      throw storeFault(this.#place.label, answer.error, 'nothing-written');
    }
    const [found] = rowsOf(answer.results['look']);
    const row = found !== undefined && Number(found[1]) === 1 ? found.slice(2) : null;
    return write.judge(heldOf(storedStamp(found?.[0]), row)) ?? AGAIN;
  }

  /** Locks stamp and record, has them judged here, and writes: two packets. */
  async #judged(connection: MysqlConnection, write: Write, within: number): Promise<Outcome | typeof AGAIN> {
    const { statements, stampTable } = this.#place;
    const { key, row, stamp, deadline } = write;
    const stamped = stamp !== null || stampTable.there;
    const locked = await send(connection, [
      ...lockWait(connection, within),
      BEGIN,
      ...(stamped
        ? ([
            ['lock', statements.lockStamp(key)],
            ['place', statements.holdPlace(key)],
            ['stamp of', statements.stampOf(key)],
          ] satisfies Step[])
        : []),
      ['record', statements.lockRecord(key, write.looksAtRow)],
      ['late', statements.late(deadline)],
    ]);
    if (locked.failure !== undefined) return this.#failed(connection, write, locked);
    // What was just made to hold the place is no stamp, though it reads like the least.
    const made = affected(locked.results['place']) > 0;
    const [[cell] = []] = made ? [] : rowsOf(locked.results['stamp of']);
    const [found] = rowsOf(locked.results['record']);
    const [[late] = []] = rowsOf(locked.results['late']);
    const held = heldOf(storedStamp(cell), found?.slice(1) ?? null);
    const verdict = write.judge(held) ?? (Number(late) === 1 ? ({ kind: 'expired' } as const) : null);
    if (verdict !== null) {
      await undo(connection);
      return verdict;
    }
    const record = ((): readonly Step[] => {
      if (row === null) return found === undefined ? [] : [['remove', statements.deleteRecord(key)]];
      return found === undefined
        ? [['insert', statements.insertRecords([row])]]
        : [['update', statements.updateRecord(key, row)]];
    })();
    const steps: readonly Step[] = [
      ...(stamp !== null
        ? ([['restamp', statements.restamp(key, stamp, row === null, deadline, null)]] satisfies Step[])
        : stamped
          ? ([['unstamp', statements.unstamp(key)]] satisfies Step[])
          : ([['no stamps', statements.noStamps()]] satisfies Step[])),
      ...record,
      ['in time', statements.inTime(deadline)],
      COMMITS,
    ];
    if (!this.#fits(steps)) {
      await undo(connection);
      const message = `the record is larger than the server takes in a packet, ${this.#place.packetBytes} bytes (max_allowed_packet)`;
      return { kind: 'rejected', reason: 'limit', message };
    }
    const written = await send(connection, steps);
    if (written.failure !== undefined) return this.#failed(connection, write, written);
    return { kind: 'applied', previous: found === undefined ? 'absent' : 'record' };
  }
}

/** Work that leaves no transaction open, whatever is thrown. */
export async function whole<T>(connection: MysqlConnection, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    // A broken connection ends its transaction by itself.
    if (!breaks(error)) await undo(connection);
    throw error;
  }
}

const heldOf = (stamp: Stamp | null, row: readonly unknown[] | null): Held | undefined =>
  stamp === null && row === null ? undefined : { stamp, row };

function applied(results: Readonly<Record<string, Result>>): Outcome {
  const before = affected(results['update']) + affected(results['remove']);
  return { kind: 'applied', previous: before > 0 ? 'record' : 'absent' };
}

const PACKET_SLACK = 1_024;
const MOST_BYTES_OF_A_CHARACTER = 3;

/** Whether the server takes these steps in one packet. */
export function fits(steps: readonly Step[], packetBytes: number): boolean {
  const room = packetBytes - PACKET_SLACK;
  const length = steps.reduce((sum, [, sql]) => sum + sql.length + 2, 0);
  if (length * MOST_BYTES_OF_A_CHARACTER <= room) return true;
  return length <= room && steps.reduce((sum, [, sql]) => sum + Buffer.byteLength(sql) + 2, 0) <= room;
}

/** What failed, as a part of a batch; what is no fault is thrown on. */
export function faultOf(label: string, error: unknown): PutFault {
  if (!(error instanceof StatementFailed) && !(error instanceof StoreFault)) throw error;
  const outcome = error instanceof Broken ? error.outcome : 'nothing-written';
  const fault = storeFault(label, error instanceof StatementFailed ? error.cause : error, outcome);
  return { kind: 'fault', outcome: fault.outcome, message: fault.message, pressure: fault.pressure };
}

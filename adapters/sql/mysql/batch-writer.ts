import { sleep } from '../../../src/core/clock.ts';
import type { Stamp } from '../../../src/core/stamp.ts';
import type { PutFault } from '../../../src/core/store.ts';
import type { Bound } from '../column-codec.ts';
import type { Write } from '../dialect.ts';
import { keyToText } from '../key-text.ts';
import { putInBatches, Refused } from '../server/batches.ts';
import { type Answer, COMMITS, lockWait, type MysqlConnection, rowsOf, type Step, send, undo } from './connection.ts';
import { storeFault } from './faults.ts';
import type { KeyReader } from './key-reader.ts';
import {
  faultOf,
  fits,
  LEAST_PATIENCE_MS,
  LOCK_SLACK_MS,
  type Outcome,
  type Place,
  storedStamp,
  type Writer,
  whole,
} from './writer.ts';

const TRIES = 6;
const LONGEST_PAUSE_MS = 60;
const AGAIN = Symbol('again');

/** A stamped put without any other condition. */
interface Put {
  readonly key: readonly Bound[];
  readonly text: string;
  readonly row: readonly Bound[] | null;
  readonly stamp: Stamp;
}

/** Puts many keys in one transaction: one packet locks the stamps and looks, another writes. */
export class BatchWriter {
  readonly #place: Place;
  readonly #writer: Writer;
  readonly #reader: KeyReader;

  constructor(place: Place, writer: Writer, reader: KeyReader) {
    this.#place = place;
    this.#writer = writer;
    this.#reader = reader;
  }

  /** Outcomes in the order of `writes`. */
  async write(writes: readonly Write[], size: number): Promise<Outcome[]> {
    const isPut = ({ stamp, expected, rejection }: Write): boolean =>
      stamp !== null && expected === null && rejection === null;
    const together = writes.filter(isPut);
    const apart = writes.filter((write) => !isPut(write));
    const [done, others] = await Promise.all([
      putInBatches(together, size, (batch) => this.#put(batch)),
      Promise.all(apart.map((write) => this.#writer.write(write))),
    ]);
    const outcomes = new Map<Write, Outcome>();
    for (const [i, write] of together.entries()) outcomes.set(write, done[i] as Outcome);
    for (const [i, write] of apart.entries()) outcomes.set(write, others[i] as Outcome);
    return writes.map((write) => outcomes.get(write) as Outcome);
  }

  async #put(batch: readonly Write[]): Promise<readonly Outcome[]> {
    const [only] = batch;
    if (only !== undefined && batch.length === 1) return [await this.#writer.write(only)];
    const { pool, clock, label } = this.#place;
    const deadline = Math.min(...batch.map((write) => write.deadline));
    const puts = batch.map(({ key, row, stamp }): Put => ({ key, text: keyToText(key), row, stamp: stamp as Stamp }));
    for (let tries = 1; ; tries += 1) {
      const within = Math.max(LEAST_PATIENCE_MS, deadline - this.#place.now());
      try {
        const outcomes = await pool.use(within + LOCK_SLACK_MS, (connection) =>
          whole(connection, () => this.#transaction(connection, puts, deadline, within)),
        );
        if (outcomes !== AGAIN) return outcomes;
      } catch (error) {
        if (error instanceof Refused) throw error;
        return batch.map(() => faultOf(label, error));
      }
      // One at a time they have more patience with each other.
      if (tries === TRIES) return Promise.all(batch.map((write) => this.#writer.write(write)));
      await sleep(clock, Math.random() * Math.min(LONGEST_PAUSE_MS, 2 ** tries));
    }
  }

  async #transaction(
    connection: MysqlConnection,
    puts: readonly Put[],
    deadline: number,
    within: number,
  ): Promise<readonly Outcome[] | typeof AGAIN> {
    const { statements, packetBytes } = this.#place;
    const keys = puts.map(({ key }) => key);
    const look: readonly Step[] = [
      ...lockWait(connection, within),
      ['begin', 'START TRANSACTION'],
      ['stamps', statements.lockStamps(keys)],
      ['records', statements.existing(keys)],
      ['late', statements.late(deadline)],
    ];
    if (!fits(look, packetBytes)) return this.#tooLarge();
    const looked = await send(connection, look);
    if (looked.failure !== undefined) return this.#failed(connection, puts, looked);
    const stamps = new Map(
      rowsOf(looked.results['stamps']).map((row) => [this.#reader.text(row.slice(0, -1)), storedStamp(row.at(-1))]),
    );
    const live = new Set(rowsOf(looked.results['records']).map((row) => this.#reader.text(row)));
    const outcomes = puts.map(({ text, stamp }): Outcome | null => {
      const stored = stamps.get(text) ?? null;
      if (stored === stamp) return { kind: 'applied', previous: 'same' };
      return stored !== null && stored > stamp ? { kind: 'superseded', stamp: stored } : null;
    });
    const [[late] = []] = rowsOf(looked.results['late']);
    const newer = puts.filter((_, i) => outcomes[i] === null);
    if (Number(late) === 1 || newer.length === 0) {
      await undo(connection);
      return outcomes.map((outcome) => outcome ?? { kind: 'expired' });
    }
    const steps = this.#steps(newer, stamps, live, deadline);
    if (!fits(steps, packetBytes)) {
      await undo(connection);
      return this.#tooLarge();
    }
    const written = await send(connection, steps);
    if (written.failure !== undefined) {
      const failed = await this.#failed(connection, puts, written);
      return failed === AGAIN ? AGAIN : outcomes.map((outcome, i) => outcome ?? (failed[i] as Outcome));
    }
    return outcomes.map(
      (outcome, i) => outcome ?? { kind: 'applied', previous: live.has((puts[i] as Put).text) ? 'record' : 'absent' },
    );
  }

  #steps(
    puts: readonly Put[],
    stamps: ReadonlyMap<string, unknown>,
    live: ReadonlySet<string>,
    deadline: number,
  ): readonly Step[] {
    const { statements } = this.#place;
    const unknown = puts.filter(({ text }) => !stamps.has(text));
    const fresh = puts.flatMap(({ text, row }) => (row === null || live.has(text) ? [] : [row]));
    return [
      ...puts
        .filter(({ text }) => stamps.has(text))
        .map(({ key, row, stamp }): Step => ['restamp', statements.restamp(key, stamp, row === null, deadline, null)]),
      ...(unknown.length === 0
        ? []
        : ([
            [
              'stamp',
              statements.insertStamps(unknown.map(({ key, row, stamp }) => ({ key, stamp, deleted: row === null }))),
            ],
          ] satisfies Step[])),
      ...puts
        .filter(({ text }) => live.has(text))
        .map(
          ({ key, row }): Step =>
            row === null ? ['remove', statements.deleteRecord(key)] : ['update', statements.updateRecord(key, row)],
        ),
      ...(fresh.length === 0 ? [] : ([['insert', statements.insertRecords(fresh)]] satisfies Step[])),
      ['in time', statements.inTime(deadline)],
      COMMITS,
    ];
  }

  /** To be halved; alone it is looked at by itself. */
  #tooLarge(): never {
    throw new Refused({ kind: 'rejected', reason: 'limit', message: 'the records are larger than a packet may be' });
  }

  async #failed(
    connection: MysqlConnection,
    puts: readonly Put[],
    { failed, failure, error }: Extract<Answer, { readonly failed: string }>,
  ): Promise<readonly Outcome[] | typeof AGAIN> {
    await undo(connection);
    const { label } = this.#place;
    switch (failure.kind) {
      case 'asserted':
        if (failed !== 'in time') throw new Refused(failure.rejection);
        return puts.map(() => ({ kind: 'expired' }));
      case 'locked':
        return AGAIN;
      case 'duplicate':
        // Another writer made the stamp meanwhile; any other duplicate is a record's.
        if (failed === 'stamp') return AGAIN;
        throw new Refused(failure.rejection);
      case 'rejected':
        throw new Refused(failure.rejection);
      case 'no table':
        // Alone, a put finds out which one it is.
        throw new Refused({ kind: 'rejected', reason: 'limit', message: label });
      default: {
        const fault: PutFault = faultOf(label, storeFault(label, error, 'nothing-written'));
        return puts.map(() => fault);
      }
    }
  }
}

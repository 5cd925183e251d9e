import { RecordDigests } from '../../verify/record-digest.ts';
import { type Delivery, inSample, type ScanShare, type SharedScan, scanInChunks } from '../../verify/scan-share.ts';
import { sleep } from '../core/clock.ts';
import { ControlUnavailable, Interrupted } from '../core/errors.ts';
import { includes } from '../core/intervals.ts';
import { Ruleset } from '../core/ruleset.ts';
import type { Side } from '../core/stage.ts';
import type { ControllerParts } from './controller-parts.ts';
import type { ScanDesk, WaitingChunk } from './scan-desk.ts';
import type { OpenScanPartition, ScanLease, ScanOrder } from './scan-row.ts';

const SIDES = ['old', 'new'] as const;
const LOOK_MS = 200;
/** A control database that is away for a moment ends nothing; what it holds of the scan may be gone by then. */
const LOOKS = 20;
const AGAIN_MS = 500;
/** A partition that nobody has taken for so long is offered again: its job may be lost. */
const OFFER_AGAIN_MS = 5_000;
/** The holder of a partition says that it lives. */
const RENEW_MS = 3_000;
/** For how long a helper waits where too much waits for the verifier. */
const FULL_MS = 100;
/** Room is made whenever so much was taken over. */
const SWEEP_BYTES = 64 * 1024 * 1024;

/** The scan of a verification, shared with whoever has time: what they scan comes in chunks through the control database. */
export const shareScans =
  (parts: ControllerParts, order: Pick<ScanOrder, 'positions' | 'document'>): ScanShare =>
  async (scan) => {
    const { scans, migration, mapping } = parts;
    if (scans === null) return false;
    let id: number;
    try {
      id = await scans.begin(migration, mapping, parts.process, { ...scan.plan, ...order }, scan.partitions);
    } catch (error) {
      // Nothing needs a helper.
      if (error instanceof ControlUnavailable) return false;
      throw error;
    }
    try {
      await new ScanLead(parts, scans, id, scan).run();
      return true;
    } finally {
      // Whoever works on it hears of that, and what a killed verifier leaves, the next one removes.
      await scans.end(id).catch(() => {});
    }
  };

/** One run of a verifier that has helpers. */
class ScanLead {
  readonly #parts: ControllerParts;
  readonly #desk: ScanDesk;
  readonly #id: number;
  readonly #scan: SharedScan;
  readonly #running: Record<Side, Set<Promise<void>>> = { old: new Set(), new: new Set() };
  /** Partitions that were begun here. */
  readonly #own = new Set<number>();
  /** Chunks that were taken over and may still be there. */
  readonly #adopted = new Set<number>();
  #sinceSweep = 0;

  constructor(parts: ControllerParts, desk: ScanDesk, id: number, scan: SharedScan) {
    this.#parts = parts;
    this.#desk = desk;
    this.#id = id;
    this.#scan = scan;
  }

  async run(): Promise<void> {
    const { clock } = this.#parts;
    const stop = new AbortController();
    const signal = AbortSignal.any([this.#scan.signal, stop.signal]);
    let offered = Number.NEGATIVE_INFINITY;
    let offering: Promise<void> = Promise.resolve();
    try {
      for (;;) {
        const open = await this.#again(() => this.#desk.keep(this.#id), signal);
        if (open === null) throw gone(this.#parts.migration);
        const freed = await this.#freeEnded(open);
        await this.#begin(stop, signal);
        if (freed || clock.monotonic() - offered >= OFFER_AGAIN_MS) {
          offered = clock.monotonic();
          offering = this.#offer(open);
        }
        const some = await this.#collect(signal);
        const running = [...this.#running.old, ...this.#running.new];
        // `open` was seen before the chunks: a partition that was done by then has left no later ones.
        if (open.length === 0 && !some && running.length === 0) return;
        if (!some) await this.#something(running, signal);
      }
    } catch (error) {
      stop.abort(error);
      await Promise.all([...this.#running.old, ...this.#running.new]);
      throw this.#scan.signal.aborted ? error : stop.signal.reason;
    } finally {
      await offering;
    }
  }

  async #begin(stop: AbortController, signal: AbortSignal): Promise<void> {
    for (const side of SIDES) {
      const running = this.#running[side];
      while (running.size < this.#scan.concurrency) {
        const lease = await this.#again(
          () => this.#desk.takeOwn(this.#id, side, this.#parts.runner, this.#own),
          signal,
        );
        if (lease === null) break;
        this.#own.add(lease.id);
        const part: Promise<void> = this.#scanHere(lease, signal)
          .catch((error: unknown) => stop.abort(error))
          .finally(() => running.delete(part));
        running.add(part);
      }
    }
  }

  async #scanHere(lease: ScanLease, signal: AbortSignal): Promise<void> {
    await this.#scan.scanHere(lease.side, lease.partition, lease.cursor, signal);
    await this.#again(() => this.#desk.finishOwn(lease), signal);
  }

  /** Takes over some of what waits; false where nothing did. */
  async #collect(signal: AbortSignal): Promise<boolean> {
    const chunks = await this.#again(() => this.#desk.waiting(this.#id, this.#adopted), signal);
    for (const chunk of chunks) await this.#adopt(chunk);
    if (this.#adopted.size === 0) return false;
    const ids = [...this.#adopted];
    await this.#again(() => this.#desk.drop(ids), signal);
    for (const id of ids) this.#adopted.delete(id);
    if (this.#sinceSweep >= SWEEP_BYTES) {
      this.#sinceSweep = 0;
      await this.#desk.sweep().catch(() => {});
    }
    return chunks.length > 0;
  }

  async #adopt(chunk: WaitingChunk): Promise<void> {
    this.#adopted.add(chunk.id);
    this.#sinceSweep += chunk.data.length;
    await this.#scan.adopt(chunk.side, chunk);
  }

  async #freeEnded(open: readonly OpenScanPartition[]): Promise<boolean> {
    let freed = false;
    for (const { id, free, process, fence } of open) {
      if (free || process === null || this.#parts.probe(process) !== 'ended') continue;
      if (await this.#desk.free(id, fence)) freed = true;
    }
    return freed;
  }

  /** Never fails: workers offer them too. */
  async #offer(open: readonly OpenScanPartition[]): Promise<void> {
    const { carrier, migration, mapping } = this.#parts;
    const jobs = open
      .filter(({ free, failed }) => free && !failed)
      .map(({ id: partition }) => ({ migration, mapping, work: 'scan' as const, of: this.#id, partition }));
    await carrier?.offer(jobs).catch(() => {});
  }

  async #again<T>(call: () => Promise<T>, signal: AbortSignal): Promise<T> {
    for (let look = 1; ; look += 1) {
      signal.throwIfAborted();
      try {
        return await call();
      } catch (error) {
        if (!(error instanceof ControlUnavailable) || look >= LOOKS) throw error;
        await sleep(this.#parts.clock, AGAIN_MS, signal);
      }
    }
  }

  /** Until a partition has ended here, or for the next look. */
  async #something(running: readonly Promise<void>[], signal: AbortSignal): Promise<void> {
    const over = new AbortController();
    const next = sleep(this.#parts.clock, LOOK_MS, AbortSignal.any([signal, over.signal]));
    await Promise.race([next, ...running]).finally(() => over.abort());
    await next.catch(() => {});
    signal.throwIfAborted();
  }
}

const gone = (migration: string): Interrupted =>
  new Interrupted(`what others scanned for the verification of ${migration} is gone from the control database`, {
    expected: 'a control database that does not crash, and is not away for long',
    remedy: 'run it again: a verification starts from the beginning',
  });

/** Told of records that were scanned and delivered. */
export type OnScanned = (records: number) => void;

/**
 * Scans a partition for somebody else's verification until it is done, or lost to others.
 * @throws what stops it; the partition is given back, what was delivered of it stands
 */
export async function scanForOthers(
  parts: ControllerParts,
  lease: ScanLease,
  signal: AbortSignal,
  onScanned: OnScanned = () => {},
): Promise<{ readonly state: 'done' | 'lost'; readonly scanned: number }> {
  const { stores, keys, rules, clock, random } = parts;
  const desk = parts.scans as ScanDesk;
  const lost = new AbortController();
  const either = AbortSignal.any([signal, lost.signal]);
  let scanned = 0;
  let over = false;
  const renew = (): void => {
    if (over) return;
    void desk.renew(lease).then(
      (held) => {
        if (!held && !over) lost.abort();
      },
      () => {},
    );
    clock.after(RENEW_MS, renew, true);
  };
  clock.after(RENEW_MS, renew, true);
  const deliver = async (delivery: Delivery): Promise<void> => {
    for (;;) {
      either.throwIfAborted();
      const word = await desk.deliver(lease, delivery);
      if (word === 'lost') lost.abort();
      if (word === 'taken') {
        // Nothing may call it lost any more.
        if (delivery.done) over = true;
        scanned += delivery.records;
        onScanned(delivery.records);
        return;
      }
      await sleep(clock, FULL_MS, either);
    }
  };
  try {
    const order = await desk.order(lease.scan);
    if (order === null) return { state: 'lost', scanned };
    await scanInChunks(
      {
        side: lease.side,
        store: stores[lease.side],
        keys,
        includes: includesOf(order),
        digests: new RecordDigests(rules, order.seed),
        pageSize: order.pageSize,
        plan: order,
        clock,
        random,
        signal: either,
      },
      lease.partition,
      lease.cursor,
      deliver,
    );
    return { state: 'done', scanned };
  } catch (error) {
    if (lost.signal.aborted) return { state: 'lost', scanned };
    const failed = !signal.aborted && !(error instanceof ControlUnavailable);
    await desk.release(lease, failed).catch(() => {});
    throw error;
  } finally {
    over = true;
  }
}

/** The same records as the verifier takes. */
function includesOf({ positions, document, sample }: ScanOrder): ((unit: string) => boolean) | null {
  if (positions === null && sample === null) return null;
  const ruleset = new Ruleset(document);
  return (name) =>
    (positions === null || includes(positions, ruleset.position(name))) && (sample === null || inSample(name, sample));
}

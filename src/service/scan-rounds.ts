import type { Controller } from '../control/controller.ts';
import type { ProcessProbe } from '../control/controller-parts.ts';
import type { ScanDesk } from '../control/scan-desk.ts';
import type { OpenScan, ScanLease } from '../control/scan-row.ts';
import { otherThan } from '../control/verified.ts';
import type { Clock } from '../core/clock.ts';
import type { NodeInfo } from '../core/control-client.ts';
import type { PartitionJobs, TakenJob } from '../replay/partition-jobs.ts';
import type { OfPartition, WorkerEvent } from './worker.ts';

export interface ScanRoundsParts {
  readonly scans: ScanDesk;
  readonly jobs: PartitionJobs;
  readonly mappings: ReadonlyMap<string, string>;
  readonly controller: (migration: string) => Promise<Controller>;
  readonly probe: ProcessProbe;
  readonly process: NodeInfo;
  readonly runner: string;
  readonly clock: Clock;
  readonly onEvent: (event: WorkerEvent) => void;
  /** Told of each partition that is begun. */
  readonly onBegin: (work: Promise<void>) => void;
  readonly onScanned: (records: number) => void;
  readonly onEnd: (state: 'done' | 'lost' | 'failed') => void;
  readonly messageOf: (error: unknown) => string;
}

/** A partition that nobody has taken for so long is offered again: its job may be lost. */
const UNTAKEN_MS = 2_000;

/** The share that a worker has in verifications: it scans partitions for them and keeps nothing. */
export class ScanRounds {
  readonly #parts: ScanRoundsParts;
  readonly #refused = new Set<number>();
  /** When a free partition was seen or offered first, by its id. */
  readonly #untaken = new Map<number, number>();

  constructor(parts: ScanRoundsParts) {
    this.#parts = parts;
  }

  /** Begins up to `slots` partitions of what is under way. @throws ControlUnavailable */
  async round(slots: number, usable: (migration: string) => boolean, signal: AbortSignal): Promise<void> {
    const { scans, jobs, mappings, onBegin } = this.#parts;
    let left = slots;
    const open = await scans.open([...mappings.keys()]);
    if (open.length === 0) this.#untaken.clear();
    for (const one of open) {
      signal.throwIfAborted();
      if (this.#parts.probe(one.process) === 'ended') {
        await scans.end(one.id);
        continue;
      }
      if (!this.#mayWorkOn(one) || !usable(one.migration)) continue;
      const { id: of, migration, mapping, partitions } = one;
      const free = partitions.filter((partition) => partition.free && !partition.failed);
      const stale = free.filter(({ id }) => this.#isStale(id));
      const kind = { migration, mapping, work: 'scan' as const };
      if (stale.length > 0) await jobs.offer(stale.map(({ id: partition }) => ({ ...kind, of, partition })));
      if (free.length === 0 || left <= 0) continue;
      for (const job of await jobs.take(kind, left)) {
        onBegin(this.#work(job, signal));
        left -= 1;
      }
    }
  }

  #mayWorkOn({ id, migration, mapping }: OpenScan): boolean {
    const own = this.#parts.mappings.get(migration) ?? '';
    if (own === mapping) return true;
    if (!this.#refused.has(id)) {
      this.#refused.add(id);
      const message = `the verification of ${migration} was begun under another ${otherThan(mapping, own)} than this worker's`;
      this.#parts.onEvent({ event: 'refused', migration, message });
    }
    return false;
  }

  #isStale(partition: number): boolean {
    const now = this.#parts.clock.monotonic();
    const since = this.#untaken.get(partition);
    if (since !== undefined && now - since < UNTAKEN_MS) return false;
    this.#untaken.set(partition, now);
    return since !== undefined;
  }

  /** Never rejects: what goes wrong with a partition is told, and no reason to leave the others. */
  async #work(job: TakenJob, signal: AbortSignal): Promise<void> {
    const { scans, jobs, runner, process, onEvent, onEnd, messageOf } = this.#parts;
    const { migration, of: replay, partition } = job;
    const of: OfPartition = { migration, kind: 'verification', replay, partition };
    let lease: ScanLease | null = null;
    try {
      const controller = await this.#parts.controller(migration);
      signal.throwIfAborted();
      lease = await scans.take(replay, partition, runner, process);
      if (lease === null) return;
      onEvent({ event: 'taken', resumed: lease.cursor !== null, ...of });
      const { state } = await controller.scan(lease, signal, this.#parts.onScanned);
      onEnd(state);
      onEvent({ event: state, ...of });
    } catch (error) {
      if (!signal.aborted) {
        onEnd('failed');
        onEvent({ event: 'failed', message: messageOf(error), ...of });
      } else if (lease !== null) {
        onEvent({ event: 'given back', ...of });
      }
    } finally {
      await job.settle().catch(() => {});
      // A partition that is given back is for whoever has time, now.
      if (signal.aborted && lease !== null) await jobs.offer([job]).catch(() => {});
    }
  }
}

import { randomUUID } from 'node:crypto';
import type { TimerHandle } from '../core/clock.ts';
import { Busy } from '../core/errors.ts';
import type { ControllerParts } from './controller-parts.ts';
import type { ProofRow } from './storage.ts';

const LEASE_MS = 10_000;
const RENEW_MS = 3_000;

/**
 * One verification at a time plants records: each removes what it finds planted, and would miss its own. Where the
 * control plane is away for longer than the lease, another may begin, and both then say that they proved nothing.
 */
export class ProofLease {
  readonly #parts: ControllerParts;
  readonly #actor: string;
  readonly #runner = randomUUID();
  #timer: TimerHandle | undefined;
  #over = false;

  private constructor(parts: ControllerParts, actor: string) {
    this.#parts = parts;
    this.#actor = actor;
  }

  /** @throws Busy names who proves a verification now */
  static async take(parts: ControllerParts, actor: string): Promise<ProofLease> {
    const lease = new ProofLease(parts, actor);
    const first = await lease.#hold(null);
    const ended = first !== null && parts.probe(first.process) === 'ended';
    const holder = ended ? await lease.#hold(first.runner) : first;
    if (holder !== null) throw lease.#busy(holder);
    lease.#renew();
    return lease;
  }

  /** Somebody else may; never throws. */
  async release(): Promise<void> {
    this.#over = true;
    this.#timer?.cancel();
    await this.#parts.plane.releaseProof(this.#parts.migration, this.#runner).catch(() => {});
  }

  #hold(instead: string | null): Promise<ProofRow | null> {
    const { plane, migration, process } = this.#parts;
    return plane.holdProof({
      migration,
      runner: this.#runner,
      process,
      actor: this.#actor,
      leaseMs: LEASE_MS,
      instead,
    });
  }

  #renew(): void {
    this.#timer = this.#parts.clock.after(
      RENEW_MS,
      () => {
        void this.#hold(null)
          .catch(() => {})
          .then(() => {
            if (this.#over) return this.release();
            this.#renew();
          });
      },
      true,
    );
  }

  #busy({ actor, process: { pid, host }, since }: ProofRow): Busy {
    const { migration } = this.#parts;
    const at = new Date(since).toISOString();
    return new Busy(
      `a verification of ${migration} with planted records is under way: by ${actor}, process ${pid} on ${host}, since ${at}`,
      {
        expected: 'one verification with --prove at a time: each removes what it finds planted',
        remedy: `wait for its end, or verify without --prove; if its process was killed on another host, in ${LEASE_MS / 1_000} s`,
      },
    );
  }
}

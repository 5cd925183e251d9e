import type { Clock } from '../core/clock.ts';
import type { ControlPlaneApi } from './control-plane.ts';
import type { ControllerParts } from './controller-parts.ts';
import type { FleetMember } from './facts.ts';

/** Between two looks where no change was announced. */
const LOOK_MS = 25;

/**
 * Wakes who waits for changes of the control plane. It listens all the while, so a change that comes while somebody looks
 * at the one before is not waited for: the next wait ends at once.
 */
export class ChangeSignal implements Disposable {
  readonly #clock: Clock;
  readonly #unwatch: () => void;
  #changed = false;
  #wake: () => void = () => {};

  constructor(plane: Pick<ControlPlaneApi, 'watch'>, clock: Clock) {
    this.#clock = clock;
    this.#unwatch = plane.watch(
      () => {
        this.#changed = true;
        this.#wake();
      },
      { soon: true },
    );
  }

  /** Resolves when something has changed since the last wait, or after a short while. */
  async next(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    if (!this.#changed) {
      await new Promise<void>((resolve) => {
        const timer = this.#clock.after(LOOK_MS, () => this.#wake());
        this.#wake = () => {
          timer.cancel();
          resolve();
        };
      });
      this.#wake = () => {};
    }
    this.#changed = false;
  }

  [Symbol.dispose](): void {
    this.#unwatch();
  }
}

type Parts = Pick<ControllerParts, 'plane' | 'clock' | 'migration'>;

/** Who of some processes has not acknowledged a revision yet. */
export const stillBehind = (
  { plane, migration }: Parts,
  revision: number,
  members: readonly FleetMember[],
): Promise<readonly FleetMember[]> =>
  plane.behind(
    migration,
    revision,
    members.map(({ incarnation }) => incarnation),
  );

/** Waits until processes have acknowledged a revision, or the time is over. Looking takes no lock from who reports. */
export async function untilAcknowledged(
  parts: Parts,
  awaited: { readonly revision: number; readonly members: readonly FleetMember[]; readonly until: number },
  changes: ChangeSignal,
  signal: AbortSignal | undefined,
): Promise<void> {
  let { members } = awaited;
  while (members.length > 0 && parts.clock.monotonic() < awaited.until) {
    await changes.next(signal);
    members = await stillBehind(parts, awaited.revision, members);
  }
}

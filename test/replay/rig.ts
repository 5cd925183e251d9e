import { MemoryDatabase } from '../../adapters/memory/database.ts';
import type { FaultPlan } from '../../adapters/memory/fault.ts';
import { memory } from '../../adapters/memory/memory.ts';
import { KeySpec } from '../../src/core/record-key.ts';
import { DEFAULT_SETTINGS, type Settings } from '../../src/core/settings.ts';
import type { Side } from '../../src/core/stage.ts';
import { makeStamp } from '../../src/core/stamp.ts';
import { type Entry, identityCodec, type Store } from '../../src/core/store.ts';
import type { ReplayReceipt } from '../../src/replay/checkpoints.ts';
import { type ReplayOptions, replay } from '../../src/replay/replay.ts';
import { newShares, type ReplayShare } from '../../src/replay/replay-share.ts';
import { SeededRandom } from '../simulation/random.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

export const KEYS = new KeySpec(['unit', 'id'], ['unit']);

/** An entry of the source; every seventh a tombstone. */
export function entryOf(n: number, text = 'x'): Entry {
  const key = { unit: `u${n % 13}`, id: String(n).padStart(7, '0') };
  const value = n % 7 === 3 ? null : { ...key, text };
  return { id: KEYS.id(key), key, stamp: makeStamp(1_700_000_000_000 + n, 0, 7), value };
}

export interface RigOptions {
  readonly records: number;
  readonly partitions?: number;
  readonly faults?: FaultPlan;
  readonly settings?: Partial<Settings>;
  readonly text?: string;
}

/** Two stores, and a journal that remembers every checkpoint: the engine of a replay without a control plane. */
export class Rig {
  readonly clock = new VirtualClock();
  readonly databases: Readonly<Record<Side, MemoryDatabase>>;
  readonly stores: Readonly<Record<Side, Store>>;
  readonly shares: readonly ReplayShare[];
  /** What was made durable last, and when. */
  durable: ReplayShare[] = [];
  readonly checkpointsAt: number[] = [];
  /** What slows it down, by its last checkpoint. */
  eased: string | null = null;
  /** What the next receipts say. */
  receipt: ReplayReceipt;
  /** From now on nothing becomes durable: the process is as good as dead. */
  crashed = false;

  private constructor(
    databases: Readonly<Record<Side, MemoryDatabase>>,
    stores: Readonly<Record<Side, Store>>,
    shares: readonly ReplayShare[],
    clock: VirtualClock,
    settings: Settings,
  ) {
    this.databases = databases;
    this.stores = stores;
    this.shares = shares;
    this.clock = clock;
    this.receipt = { yours: true, settings };
  }

  static async create({ records, partitions = 4, faults, settings, text }: RigOptions): Promise<Rig> {
    const clock = new VirtualClock();
    const databases = {
      old: new MemoryDatabase({ clock, prepared: true }),
      new: new MemoryDatabase({ clock, prepared: true }),
    };
    databases.old.load(Array.from({ length: records }, (_, n) => entryOf(n, text)));
    let ready = false;
    const store = (side: Side): Promise<Store> =>
      memory({ database: databases[side], faults: (call) => (ready ? faults?.(call) : undefined) }).create({
        migration: 'rig',
        side,
        keys: KEYS,
        codec: identityCodec,
        clock,
      });
    const stores = { old: await store('old'), new: await store('new') };
    const shares = newShares(await stores.old.partitions(partitions));
    ready = true;
    return new Rig(databases, stores, shares, clock, { ...DEFAULT_SETTINGS, ...settings });
  }

  /** Runs the replay; the caller moves the clock. */
  run(options: Partial<ReplayOptions> = {}): Promise<void> {
    return replay({
      source: this.stores.old,
      target: this.stores.new,
      shares: this.shares,
      includes: null,
      journal: {
        checkpoint: async (shares, _deadlineLimit, eased) => {
          this.eased = eased;
          if (this.crashed) return this.receipt;
          for (const share of shares) this.durable[share.id] = { ...share };
          this.checkpointsAt.push(this.clock.monotonic());
          return this.receipt;
        },
      },
      settings: this.receipt.settings,
      clock: this.clock,
      random: new SeededRandom(1).next,
      onRejected: async () => {},
      ...options,
    });
  }

  change(settings: Partial<Settings>): void {
    this.receipt = { ...this.receipt, settings: { ...this.receipt.settings, ...settings } };
  }

  total(column: 'scanned' | 'applied' | 'skipped' | 'rejected'): number {
    return this.shares.reduce((sum, share) => sum + share[column], 0);
  }
}

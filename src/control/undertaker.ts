import type { Side } from '../core/stage.ts';
import type { Store } from '../core/store.ts';
import { settledAt } from '../core/store.ts';
import type { ControllerParts } from './controller-parts.ts';
import type { FleetMember } from './facts.ts';
import type { Authorship } from './publish.ts';
import type { NodeRow } from './storage.ts';

/** A process that reports this often is not looked at. */
const SILENT_MS = 2_500;

/**
 * Declares processes dead, in the order of R9: only when the process has surely ended (somebody who can tell says so,
 * or its durable limit has passed), and no lead put of it can be applied any more.
 */
export class Undertaker {
  readonly #parts: ControllerParts;
  /** When the end of an incarnation was first proven, wall time. */
  readonly #provenAt = new Map<number, number>();

  constructor(parts: ControllerParts) {
    this.#parts = parts;
  }

  /** Looks at every silent process once; buries those whose time has come. Returns how many. */
  async tend(authorship: Authorship): Promise<number> {
    const { plane, clock, stores } = this.#parts;
    let buried = 0;
    for (const { node } of await plane.fleet('alive')) {
      if (clock.now() - node.seenAt < SILENT_MS) continue;
      const facts = await plane.burialFacts(node.id);
      const led = facts.ledSides.map((side) => stores[side]);
      if (!this.#known(led)) continue;
      const limit = this.#latestDeadline(node, facts.longestPutMs, true);
      if (limit === null || led.some((store) => store.now() <= settledAt(store, limit))) continue;
      if (await plane.bury({ ...authorship, incarnation: node.id, deadlineLimit: limit, notBefore: null })) buried += 1;
      this.#provenAt.delete(node.id);
    }
    return buried;
  }

  /** R17: the dead among those waited for are buried now; replays wait for their deadlines instead. */
  async buryAtOnce(waitedFor: readonly FleetMember[], authorship: Authorship): Promise<void> {
    const { plane, stores } = this.#parts;
    const wanted = new Set(waitedFor.map((member) => member.incarnation));
    if (wanted.size === 0) return;
    const known = this.#known([stores.old, stores.new]);
    for (const { node } of await plane.fleet('alive')) {
      if (!wanted.has(node.id)) continue;
      const { longestPutMs } = await plane.burialFacts(node.id);
      const limit = this.#latestDeadline(node, longestPutMs, known);
      if (limit === null) continue;
      const settled = (store: Store): number => settledAt(store, limit);
      const notBefore: Record<Side, number> = { old: settled(stores.old), new: settled(stores.new) };
      await plane.bury({ ...authorship, incarnation: node.id, deadlineLimit: limit, notBefore });
    }
  }

  /** Whether the time of these stores is known. Those that are away are being connected then; writes may be held, so nobody waits. */
  #known(stores: readonly Store[]): boolean {
    const away = stores.filter((store) => store.away === true);
    for (const store of away) store.open().catch(() => {});
    return away.length === 0;
  }

  /**
   * The latest deadline that a process can have issued, or null while it may be running. A put is given at most its
   * time-out, so after a proven end that bound is as good as the durable limit, and nearer. Kept from when it was first
   * proven, if the time of the stores was `known` then.
   */
  #latestDeadline(node: NodeRow, longestPutMs: number, known: boolean): number | null {
    const { probe, clock, stores } = this.#parts;
    const verdict = probe(node.info);
    if (verdict === 'running') {
      this.#provenAt.delete(node.id);
      return null;
    }
    const times = [stores.old, stores.new].flatMap((store) => (store.away === true ? [] : [store.now()]));
    // This machine's clock is asked only where there is no other: if it is fast, it must not make somebody dead.
    const storeNow = times.length === 0 ? clock.now() : Math.max(...times);
    if (verdict === 'unknown') return storeNow > node.deadlineLimit ? node.deadlineLimit : null;
    const proven = this.#provenAt.get(node.id) ?? Math.max(storeNow, clock.now());
    if (known) this.#provenAt.set(node.id, proven);
    return Math.min(node.deadlineLimit, proven + longestPutMs);
  }
}

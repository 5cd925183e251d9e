import { GatesRefused, type GateVerdict } from '../core/errors.ts';
import type { Side } from '../core/stage.ts';
import type { Store } from '../core/store.ts';
import { settledAt } from '../core/store.ts';
import type { ControllerParts } from './controller-parts.ts';
import { type FleetMember, nameOf } from './facts.ts';
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
  /** When the end of an incarnation was first proven. */
  readonly #proven = new Map<number, { readonly monotonic: number; readonly storeTime: number }>();

  constructor(parts: ControllerParts) {
    this.#parts = parts;
  }

  /** Looks at every silent process once; buries those whose time has come. Returns how many. */
  async tend(authorship: Authorship): Promise<number> {
    const { plane, clock, stores } = this.#parts;
    let buried = 0;
    for (const { node } of await plane.fleet('alive')) {
      if (clock.now() - node.seenAt < SILENT_MS) continue;
      const { ledSides, longestPutMs } = await plane.burialFacts(node.id);
      const limit = this.#latestDeadline(node, longestPutMs);
      if (limit === null || !ledSides.every((side) => this.#isPast(stores[side], node, limit, longestPutMs))) continue;
      if (await plane.bury({ ...authorship, incarnation: node.id, deadlineLimit: limit, notBefore: null })) buried += 1;
      this.#proven.delete(node.id);
    }
    return buried;
  }

  /** R17: the dead among those waited for are buried now; replays wait for their deadlines instead. */
  async buryAtOnce(waitedFor: readonly FleetMember[], authorship: Authorship): Promise<void> {
    const { plane, stores } = this.#parts;
    const wanted = new Set(waitedFor.map((member) => member.incarnation));
    if (wanted.size === 0) return;
    for (const { node } of await plane.fleet('alive')) {
      if (!wanted.has(node.id)) continue;
      const { longestPutMs } = await plane.burialFacts(node.id);
      const limit = this.#latestDeadline(node, longestPutMs);
      if (limit === null) continue;
      const settled = (store: Store): number => settledAt(store, limit);
      const notBefore: Record<Side, number> = { old: settled(stores.old), new: settled(stores.new) };
      await plane.bury({ ...authorship, incarnation: node.id, deadlineLimit: limit, notBefore });
    }
  }

  /**
   * An emergency holds reads and writes until all have acknowledged it: no process may be silent of which nobody knows
   * whether it has ended. @throws GatesRefused names them; nothing changed
   */
  async refuseUnknown(migration: string): Promise<void> {
    const { plane } = this.#parts;
    // One that has begun holds already.
    if ((await plane.ruleset(migration)).handover?.kind === 'emergency') return;
    // By the control plane's clock, as this machine's may be any time.
    const { silentNodes } = await plane.emergencyOutlook(migration);
    if (silentNodes.length === 0) return;
    const fleet = (await plane.fleet('alive')).map(({ node }) => node);
    const unknown = fleet.filter((node) => silentNodes.includes(node.id) && this.#verdict(node) === 'unknown');
    if (unknown.length === 0) return;
    const evidence = `nobody knows whether ${unknown.map(nameOf).join(', ')} has ended: reads and writes would wait for it`;
    // Also in the error itself, as not everybody who is refused shows gates.
    const remedy = `if its container or machine is gone: changeover fleet ${migration} --ended ${unknown[0]?.id} --reason …; then again`;
    const gate: GateVerdict = { gate: 'fleet', passed: false, advice: true, evidence, remedy };
    throw new GatesRefused(`${evidence}; nothing changed`, [gate], { remedy });
  }

  /** By whoever can look, else by the word that somebody gave since it was heard last. */
  #verdict({ info, seenAt }: NodeRow): ReturnType<ControllerParts['probe']> {
    const verdict = this.#parts.probe(info);
    return verdict === 'unknown' && info.endedAt !== undefined && seenAt <= info.endedAt ? 'ended' : verdict;
  }

  /**
   * Whether no put of a silent process can be applied any more at a store that it led. By the store's clock; and of a
   * process that has surely ended its puts must have had their time since, whatever any clock says: so one that led a
   * store which stays away is not waited for for ever.
   */
  #isPast(store: Store, { id }: NodeRow, deadline: number, longestPutMs: number): boolean {
    const proof = this.#proven.get(id);
    const elapsed = proof === undefined ? null : this.#parts.clock.monotonic() - proof.monotonic;
    if (elapsed !== null && elapsed <= settledAt(store, longestPutMs)) return false;
    return store.away === true ? elapsed !== null : store.now() > settledAt(store, deadline);
  }

  /**
   * The latest deadline that a process can have issued, or null while it may be running. A put is given at most its
   * time-out, so after a proven end that bound is as good as the durable limit, and nearer.
   */
  #latestDeadline(node: NodeRow, longestPutMs: number): number | null {
    const { clock, stores } = this.#parts;
    const verdict = this.#verdict(node);
    if (verdict === 'running') {
      this.#proven.delete(node.id);
      return null;
    }
    const times: number[] = [];
    for (const store of [stores.old, stores.new]) {
      if (store.away !== true) times.push(store.now());
      // Writes may be held, so that nobody waits for it here.
      else store.open().catch(() => {});
    }
    // This machine's clock is asked only where there is no other: if it is fast, it must not make somebody dead.
    const storeNow = times.length === 0 ? clock.now() : Math.max(...times);
    if (verdict === 'unknown') return storeNow > node.deadlineLimit ? node.deadlineLimit : null;
    const now = { monotonic: clock.monotonic(), storeTime: Math.max(storeNow, clock.now()) };
    const proof = this.#proven.get(node.id) ?? now;
    this.#proven.set(node.id, proof);
    return Math.min(node.deadlineLimit, proof.storeTime + longestPutMs);
  }
}

/** A place is remembered where it comes so much of the lag after the last one: the longer the lag, the less finely it is told. */
const FINENESS = 1 / 256;

/**
 * How far replicas are behind their primary, from where each of them stands in its log: a replica that has not reached
 * a place yet is at least as late as the time since the primary was seen there. No clock but one's own has a say, and
 * neither a replica that stands still nor a primary that had nothing to do for a while looks like what it is not.
 */
export class ReplicaLag {
  /** Where the primary was seen that the slowest replica has not reached, and when; both ascend. */
  #seen: Seen[] = [];

  /** The lag of the slowest replica at a moment of a monotonic clock, ms; null without replicas. */
  measure(at: number, primary: bigint, replicas: readonly bigint[]): number | null {
    const [first, ...others] = replicas;
    if (first === undefined) {
      this.#seen = [];
      return null;
    }
    // After a failover places may be counted anew.
    if (primary < (this.#seen.at(-1)?.place ?? primary)) this.#seen = [];
    const slowest = others.reduce((least, place) => (place < least ? place : least), first);
    const reached = this.#seen.findIndex(({ place }) => place > slowest);
    this.#seen.splice(0, reached === -1 ? this.#seen.length : reached);
    const lag = at - (this.#seen[0]?.at ?? at);
    const last = this.#seen.at(-1);
    const isNew = primary > slowest && primary !== last?.place;
    if (isNew && (last === undefined || at - last.at >= lag * FINENESS)) this.#seen.push({ place: primary, at });
    return lag;
  }
}

interface Seen {
  readonly place: bigint;
  readonly at: number;
}

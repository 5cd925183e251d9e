/** So many places are remembered; then every second one is forgotten, which tells a long lag a little less finely. */
const MOST_SEEN = 512;

/**
 * How far replicas are behind their primary, from where each of them stands in its log: a replica that has not reached
 * a place yet is at least as late as the time since the primary was seen there. No clock but one's own has a say, and
 * neither a replica that stands still nor a primary that had nothing to do for a while looks like what it is not.
 */
export class ReplicaLag {
  /** Where the primary was seen that the slowest replica has not reached, and when; both ascend. */
  #seen: { readonly place: bigint; readonly at: number }[] = [];

  /** The lag of the slowest replica at a moment of a monotonic clock, ms; null without replicas. */
  measure(at: number, primary: bigint, replicas: readonly bigint[]): number | null {
    const [first, ...others] = replicas;
    if (first === undefined) {
      this.#seen = [];
      return null;
    }
    // After a failover places may be counted anew.
    if (primary < (this.#seen.at(-1)?.place ?? primary)) this.#seen = [];
    if (primary !== this.#seen.at(-1)?.place) this.#seen.push({ place: primary, at });
    const slowest = others.reduce((least, place) => (place < least ? place : least), first);
    this.#seen = this.#seen.filter(({ place }) => place > slowest);
    if (this.#seen.length > MOST_SEEN) this.#seen = this.#seen.filter((_, i) => i % 2 === 0);
    return at - (this.#seen[0]?.at ?? at);
  }
}

/** What a register held: a written value's id, or null for no record. */
export type Content = string | null;

/** One operation on one key, as its caller saw it. */
export interface Recorded {
  /** `occupied` is a create that met a record. */
  readonly kind: 'read' | 'write' | 'create' | 'occupied' | 'update' | 'delete';
  readonly invoked: number;
  /** When its answer came; Infinity where it never did, or did not say whether the operation took effect. */
  readonly answered: number;
  /** True: it may have taken effect or not, at any time from its invocation on. */
  readonly unknown: boolean;
  /** What it left behind. */
  readonly wrote: Content;
  /** What it saw: a read's answer, what an update was made of. Undefined where it says nothing. */
  readonly saw: Content | undefined;
}

/** The state after an operation, or undefined where the operation cannot stand there. */
function step(operation: Recorded, state: Content): Content | undefined {
  switch (operation.kind) {
    case 'read':
      return operation.saw === state ? state : undefined;
    case 'write':
      return operation.wrote;
    case 'create':
      return state === null ? operation.wrote : undefined;
    case 'occupied':
      return state === null ? undefined : state;
    case 'update':
      return operation.saw === state ? operation.wrote : undefined;
    case 'delete':
      return operation.saw === undefined || (operation.saw === null) === (state === null) ? null : undefined;
  }
}

/**
 * Whether the operations on one key can be put in an order that respects real time and the register with
 * compare-and-set (Wing & Gong 1993, with the memoization of Lowe 2017).
 */
export function linearizable(history: readonly Recorded[], initial: Content): boolean {
  const operations = [...history].sort((a, b) => a.invoked - b.invoked);
  const count = operations.length;
  const seen = new Set<string>();
  const done = new Uint8Array(count);
  let definite = operations.filter((operation) => !operation.unknown).length;

  const search = (state: Content, first: number): boolean => {
    if (definite === 0) return true;
    let start = first;
    while (start < count && done[start] === 1) start += 1;
    const memo = `${start}|${Buffer.from(done.subarray(start)).toString('latin1')}|${state}`;
    if (seen.has(memo)) return false;
    seen.add(memo);
    // An operation may come next if none that is still to come was answered before it was invoked.
    let bound = Number.POSITIVE_INFINITY;
    for (let i = start; i < count; i += 1) {
      const operation = operations[i] as Recorded;
      if (operation.invoked > bound) break;
      if (done[i] === 0 && !operation.unknown) bound = Math.min(bound, operation.answered);
    }
    for (let i = start; i < count; i += 1) {
      const operation = operations[i] as Recorded;
      if (operation.invoked > bound) break;
      if (done[i] === 1) continue;
      const after = step(operation, state);
      if (after === undefined) continue;
      done[i] = 1;
      if (!operation.unknown) definite -= 1;
      if (search(after, start)) return true;
      done[i] = 0;
      if (!operation.unknown) definite += 1;
    }
    return false;
  };
  return search(initial, 0);
}

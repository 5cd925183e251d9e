import type { Rejection } from '../../src/core/store.ts';

/** What the store cannot hold, and why; becomes a rejection. */
export class Unstorable extends Error {}

/** Tells a refusal from what it stands in place of: nothing else of this adapter has a `kind` and a `reason`. */
export function isRejection(value: object): value is Rejection {
  return 'kind' in value && value.kind === 'rejected' && 'reason' in value;
}

/** The store cannot represent the entry. */
export const limit = (message: string): Rejection => ({ kind: 'rejected', reason: 'limit', message });

/** A rule of the collection refuses the entry. */
export const constraint = (message: string): Rejection => ({ kind: 'rejected', reason: 'constraint', message });

import type { Rejection } from '../../src/core/store.ts';

/** Tells a refusal from what it stands in place of. An item may have a field `kind`, but only an attribute in it. */
export function isRejection(value: object): value is Rejection {
  return 'kind' in value && value.kind === 'rejected';
}

/** The store cannot represent the entry. */
export const limit = (message: string): Rejection => ({ kind: 'rejected', reason: 'limit', message });

/** A rule of the table refuses the entry. */
export const constraint = (message: string): Rejection => ({ kind: 'rejected', reason: 'constraint', message });

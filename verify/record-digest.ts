import { hash } from 'node:crypto';
import { inspect } from 'node:util';
import { canonicalBytes } from '../src/core/canonical.ts';
import { InvalidRecord } from '../src/core/errors.ts';
import type { StoredRecord } from '../src/core/value.ts';
import { type CompareRules, withoutIgnored } from './compare.ts';

/** The digest of a record under its key, and how many bytes were hashed. */
export interface RecordDigest {
  /** The first 16 bytes of SHA-256, as 32 hex digits. */
  readonly digest: string;
  readonly bytes: number;
}

/**
 * Hashes id and value together, so that the sum of a partition's digests tells which value belongs to which key. Two
 * records of one key with equal digests have no differences by `rules`.
 */
export function recordDigest(id: string, value: StoredRecord, rules: CompareRules): RecordDigest {
  const bytes = encoded(id, value, rules);
  return { digest: hash('sha256', bytes, 'hex').slice(0, 32), bytes: bytes.length };
}

/** What a store holds but no record may (a date out of range, say) has no encoding, and is told apart all the same. */
function encoded(id: string, value: StoredRecord, rules: CompareRules): Buffer {
  const compared = withoutIgnored(value, rules);
  try {
    return canonicalBytes([id, compared]);
  } catch (error) {
    if (!(error instanceof InvalidRecord)) throw error;
    const text = inspect(compared, { depth: null, maxArrayLength: null, maxStringLength: null, sorted: true });
    return canonicalBytes(['no value of records', id, text.toWellFormed()]);
  }
}

import { hash } from 'node:crypto';
import { canonicalBytes } from '../src/core/canonical.ts';
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
  const bytes = canonicalBytes([id, withoutIgnored(value, rules)]);
  return { digest: hash('sha256', bytes, 'hex').slice(0, 32), bytes: bytes.length };
}

import { inspect } from 'node:util';
import type { Random } from '../src/core/clock.ts';
import { InvalidRecord } from '../src/core/errors.ts';
import type { Side } from '../src/core/stage.ts';
import { StructuralHash } from '../src/core/structural-hash.ts';
import type { StoredRecord } from '../src/core/value.ts';
import { type CompareRules, withoutIgnored } from './compare.ts';

/** Three numbers that nobody outside knows. */
export type DigestSeed = readonly [number, number, number];

export function digestSeed(random: Random): DigestSeed {
  const word = (): number => Math.floor(random() * 2 ** 32);
  return [word(), word(), word()];
}

/**
 * The digests of one verification, 96 bits each, from a seed of its own that all share who take part. A record is hashed together with its id, so
 * that the sum of a partition's digests tells which value belongs to which key. Two records of one key with equal
 * digests have no differences by `rules`, but for one pair in 2^96.
 */
export class RecordDigests {
  /** The digest that was made last. */
  readonly lanes = new Int32Array(3);
  readonly #hash: StructuralHash;
  readonly #rules: CompareRules;

  constructor(rules: CompareRules, seed: DigestSeed) {
    this.#hash = new StructuralHash(seed);
    this.#rules = rules;
  }

  /**
   * Makes the digest of a record, in `lanes`; gives the hash of its id alone. `unread` names the side of a record that cannot
   * be read exactly: what stands for it equals nothing of the other side.
   */
  make(id: string, value: StoredRecord, unread?: Side): number {
    if (unread !== undefined)
      return this.#hash.record(id, [`what the ${unread} store cannot tell`, textOf(value)], this.lanes);
    const compared = withoutIgnored(value, this.#rules);
    try {
      return this.#hash.record(id, compared, this.lanes);
    } catch (error) {
      if (!(error instanceof InvalidRecord)) throw error;
      // What a store holds but no record may (a date out of range, say) is told apart all the same.
      return this.#hash.record(id, ['no value of records', textOf(compared)], this.lanes);
    }
  }

  /** The digest of a record as text. */
  text(id: string, value: StoredRecord, unread?: Side): string {
    this.make(id, value, unread);
    return digestText(this.lanes[0] as number, this.lanes[1] as number, this.lanes[2] as number);
  }
}

const textOf = (value: unknown): string =>
  inspect(value, { depth: null, maxArrayLength: null, maxStringLength: null, sorted: true });

const hex = (lane: number): string => (lane >>> 0).toString(16).padStart(8, '0');

/** A digest as text, by its lanes. */
export const digestText = (a: number, b: number, c: number): string => hex(a) + hex(b) + hex(c);

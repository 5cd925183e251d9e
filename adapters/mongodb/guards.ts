import { type Stamp, stampToBytes } from '../../src/core/stamp.ts';
import type { DriverModule } from './bson-reader.ts';
import type { NativeKey } from './document-layout.ts';
import type { ReservedFields } from './options.ts';

/** An expression of the aggregation language. */
export type Expression =
  | boolean
  | string
  | number
  | Date
  | null
  | { readonly [operator: string]: unknown }
  | readonly Expression[];

/** What {@link Guards.inTime} fails with on the server: "$range requires a non-zero step value". */
export const EXPIRED_CODE = 34449;

const literal = (value: unknown): Expression => ({ $literal: value });

/**
 * The conditions of writes, as expressions that the server evaluates in the same command that writes. Whatever comes
 * from a record is a literal, so that no name or text of it is ever taken for an operator.
 */
export class Guards {
  readonly #driver: DriverModule;
  readonly #reserved: ReservedFields;

  constructor(driver: DriverModule, reserved: ReservedFields) {
    this.#driver = driver;
    this.#reserved = reserved;
  }

  stampBytes(stamp: Stamp): unknown {
    return new this.#driver.Binary(stampToBytes(stamp), 0);
  }

  /**
   * True until `latest` by the server's clock; from then on the whole command fails. A pipeline that merely kept what
   * is there would still insert a bare `_id` when an upsert finds nothing. The step depends on the document, because
   * the server evaluates constant expressions while it still reads the command.
   */
  inTime(latest: Date): Expression {
    const zeroOfDocument = { $cond: [{ $eq: [{ $type: '$_id' }, ''] }, 1, 0] };
    return { $cond: [{ $lt: ['$$NOW', latest] }, true, { $range: [0, 1, zeroOfDocument] }] };
  }

  /** The document is one of this very key. Where an upsert finds nothing, it is nothing but the `_id`. */
  ofKey({ fields, beside, kinds }: NativeKey): Expression[] {
    const terms: Expression[] = kinds.map(([path, types]) => ({ $in: [{ $type: `$${path}` }, types] }));
    if (beside.length === 0) return terms;
    const same = beside.map((value, i) => ({ $eq: [`$${fields[i]}`, literal(value)] }));
    const ofId = terms.filter((_, i) => kinds[i]?.[0].startsWith('_id'));
    const whole: Expression = { $and: [...same, ...terms.filter((term) => !ofId.includes(term))] };
    return [...ofId, { $or: [{ $eq: ['$$ROOT', { _id: '$_id' }] }, whole] }];
  }

  /** No stamp, or a lower one. What is no stamp at all is never written over. */
  older(stamp: Stamp): Expression {
    const path = `$${this.#reserved.stamp}`;
    const lower = { $and: [{ $eq: [{ $type: path }, 'binData'] }, { $lt: [path, this.stampBytes(stamp)] }] };
    return { $or: [this.unstamped(), lower] };
  }

  unstamped(): Expression {
    return { $eq: [{ $type: `$${this.#reserved.stamp}` }, 'missing'] };
  }

  stampIs(stamp: Stamp): Expression {
    return { $eq: [`$${this.#reserved.stamp}`, this.stampBytes(stamp)] };
  }

  isTombstone(): Expression {
    return { $eq: [`$${this.#reserved.tombstone}`, true] };
  }

  /** Matches tombstones; an upsert makes a document of it. */
  get tombstoneQuery(): Record<string, object> {
    return { [this.#reserved.tombstone]: { $eq: true } };
  }

  /** The document is exactly this one, field for field. */
  documentIs(document: object): Expression {
    return { $eq: ['$$ROOT', literal(document)] };
  }

  /** A pipeline that replaces the document by `document` if all terms hold, and keeps it otherwise. */
  replaceIf(terms: readonly Expression[], document: object): object[] {
    return [{ $replaceWith: { $cond: [{ $and: terms }, literal(document), '$$ROOT'] } }];
  }

  /** A pipeline that replaces the document whatever it is. */
  replace(document: object): object[] {
    return [{ $replaceWith: literal(document) }];
  }
}

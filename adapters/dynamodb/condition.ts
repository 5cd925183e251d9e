import type { Stamp } from '../../src/core/stamp.ts';
import { stampToBytes } from '../../src/core/stamp.ts';
import type { Attribute, Item } from './attribute.ts';
import type { ReservedAttributes } from './options.ts';

/** A condition as DynamoDB takes it. */
export interface Condition {
  readonly ConditionExpression: string;
  readonly ExpressionAttributeNames: Record<string, string>;
  readonly ExpressionAttributeValues?: Record<string, Attribute>;
}

/** The terms that this adapter's conditions are made of; names and values are gathered as terms are used. */
export class ConditionBuilder {
  readonly #names: Record<string, string> = {};
  readonly #values: Record<string, Attribute> = {};
  readonly #reserved: ReservedAttributes;
  readonly #partition: string;
  #others = 0;

  constructor(reserved: ReservedAttributes, partition: string) {
    this.#reserved = reserved;
    this.#partition = partition;
  }

  #name(alias: string, attribute: string): string {
    this.#names[alias] = attribute;
    return alias;
  }

  #value(alias: string, value: Attribute): string {
    this.#values[alias] = value;
    return alias;
  }

  readonly absent = (): string => `attribute_not_exists(${this.#name('#p', this.#partition)})`;
  readonly present = (): string => `attribute_exists(${this.#name('#p', this.#partition)})`;
  readonly unstamped = (): string => `attribute_not_exists(${this.#name('#s', this.#reserved.stamp)})`;

  tombstone(): string {
    return `${this.#name('#d', this.#reserved.tombstone)} = ${this.#value(':d', { BOOL: true })}`;
  }

  older(stamp: Stamp): string {
    return `${this.#name('#s', this.#reserved.stamp)} < ${this.#value(':s', { B: stampToBytes(stamp) })}`;
  }

  stampIs(stamp: Stamp): string {
    return `${this.#name('#s', this.#reserved.stamp)} = ${this.#value(':e', { B: stampToBytes(stamp) })}`;
  }

  /** The item's numeric key is of the kind that this key has. */
  kindsAre(kinds: string | null): string {
    const name = this.#name('#k', this.#reserved.keyKinds);
    return kinds === null ? `attribute_not_exists(${name})` : `${name} = ${this.#value(':k', { S: kinds })}`;
  }

  marked(nonce: Uint8Array): string {
    return `${this.#name('#m', this.#reserved.mark)} = ${this.#value(':m', { B: nonce })}`;
  }

  has(attribute: string, value: Attribute): string {
    this.#others += 1;
    return `${this.#name(`#a${this.#others}`, attribute)} = ${this.#value(`:a${this.#others}`, value)}`;
  }

  lacks(attribute: string): string {
    this.#others += 1;
    return `attribute_not_exists(${this.#name(`#a${this.#others}`, attribute)})`;
  }

  build(expression: string): Condition {
    return {
      ConditionExpression: expression,
      ExpressionAttributeNames: this.#names,
      ...(Object.keys(this.#values).length === 0 ? {} : { ExpressionAttributeValues: this.#values }),
    };
  }
}

const MAX_TERMS = 60;
const MAX_TERM_BYTES = 4_096;

/**
 * Terms that hold as long as the plain attributes of `item` are what they are and the fields that `next` would add
 * are not there: what changed in place between two steps is noticed. Lists, maps, sets and long values are left out
 * (not every server compares them, and expressions are bounded).
 */
export function unchanged(builder: ConditionBuilder, item: Item, next: Item, except: ReadonlySet<string>): string[] {
  const terms: string[] = [];
  for (const [attribute, value] of Object.entries(item)) {
    if (terms.length >= MAX_TERMS) return terms;
    if (except.has(attribute)) continue;
    if ('S' in value ? value.S.length <= MAX_TERM_BYTES : 'N' in value || 'BOOL' in value) {
      terms.push(builder.has(attribute, value));
    }
  }
  for (const attribute of Object.keys(next)) {
    if (terms.length >= MAX_TERMS) return terms;
    if (!except.has(attribute) && !Object.hasOwn(item, attribute)) terms.push(builder.lacks(attribute));
  }
  return terms;
}

/**
 * DynamoDB's attribute values as the SDK passes them: one member each, numbers as text, binary as bytes. Structural,
 * so that the pure parts of this adapter need no driver.
 */
export type Attribute =
  | { readonly S: string }
  | { readonly N: string }
  | { readonly B: Uint8Array }
  | { readonly BOOL: boolean }
  | { readonly NULL: true }
  | { readonly SS: string[] }
  | { readonly NS: string[] }
  | { readonly BS: Uint8Array[] }
  | { readonly L: Attribute[] }
  | { readonly M: Item };

/** An item, or a nested map: attributes by name. */
export type Item = { [name: string]: Attribute };

/** The type of a key attribute, as the table's schema declares it. */
export type KeyType = 'S' | 'N' | 'B';

/**
 * What a natural attribute cannot tell, held as JSON in one attribute beside the values (`_t`), only where needed.
 * A leaf is a code; lists and maps mirror the value's tree by index and field; `$` of a list says that it is a set.
 *
 * | code | held as | is |
 * | --- | --- | --- |
 * | `i` | N | a bigint within ±(2^53−1) |
 * | `n` | N | a number that is an integer beyond ±(2^53−1) |
 * | `-` | N 0 | −0 |
 * | `m` | N | a Decimal that would read as a number or a bigint |
 * | `f` | S | NaN, Infinity, -Infinity |
 * | `d` | S (ISO 8601) | a Date |
 * | `u` | NULL | undefined in an array or set |
 * | `w` | B (UTF-16LE) | a string with a lone surrogate |
 * | `o` | S (24 hex digits) | an ObjectId |
 * | `b4` | B | a Binary of subtype 4 (a UUID); any subtype but 0 |
 * | `Timestamp` | S `seconds:counter` | a Timestamp |
 * | `BSONRegExp` | S `["pattern","options"]` | a regular expression |
 * | `Code`, `BSONSymbol` | S | its text |
 * | `Decimal128` | S | NaN or an infinity of this type |
 * | `MinKey`, `MaxKey` | S, empty | itself |
 * | `j` | S `[attribute, tag]` in DynamoDB's JSON | a list, set or map below level 32, or with a field name that DynamoDB refuses |
 * | `{"$":"s"}` | L | a set that is empty or mixed |
 *
 * A table's key has no room in this tree: see {@link NativeKey.kinds}.
 */
export type Tag = string | TagNode;
export interface TagNode {
  [step: string]: Tag;
}

/** A node whose fields may have any name, `__proto__` included. */
export const tagNode = (): TagNode => Object.create(null) as TagNode;

/** Sets a field of any name as an own property. */
export function setOwn<T>(target: { [name: string]: T }, name: string, value: T): void {
  if (name === '__proto__') {
    Object.defineProperty(target, name, { value, enumerable: true, configurable: true, writable: true });
  } else {
    target[name] = value;
  }
}

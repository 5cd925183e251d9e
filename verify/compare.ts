import { equalValues } from '../src/core/canonical.ts';
import { InvalidConfiguration } from '../src/core/errors.ts';
import { cloneValue, Decimal, isPlainObject, type Value } from '../src/core/value.ts';
import { below, fieldPath, newPathNode, nodeAt, type PathNode } from './field-path.ts';

/**
 * When two values count as equal although they are not the same.
 *
 * Paths name fields and indexes: `payload.items[2].id`, `payload["a.b"]`; `*` stands for any one of them. A rule holds
 * for the place and everything below it.
 */
export interface CompareRules {
  /** Places that are not compared. */
  readonly ignore?: readonly string[];
  /** How far two numbers at a place may be apart, exactly, whatever their types: 1.1 and 1.0 are 0.1 apart. */
  readonly numericTolerance?: Readonly<Record<string, number>>;
  /**
   * Asked only about values that differ after the other rules, with a copy of each: true says that they count as
   * equal. Synchronous; anything but a boolean is refused.
   */
  readonly custom?: (old: Value, fresh: Value) => boolean;
}

/** One place at which two values differ; a place that one side lacks is undefined there. */
export interface FieldDifference {
  /** Such as `payload.items[2].id`; empty for the whole value. */
  readonly path: string;
  readonly old: Value;
  readonly new: Value;
  /** Types and lengths stand for the values. */
  readonly masked?: true;
}

/** The most differences that are listed for one pair of values. */
export const MAX_FIELD_DIFFERENCES = 50;

/** No rules: equal is what `equalValues` says. */
export const NO_RULES: CompareRules = Object.freeze({});

interface CompiledRules {
  readonly roots: readonly PathNode[];
  readonly ignores: boolean;
  readonly custom: ((old: Value, fresh: Value) => boolean) | null;
}

const compiled = new WeakMap<CompareRules, CompiledRules>();

function compile(rules: CompareRules): CompiledRules {
  const known = compiled.get(rules);
  if (known !== undefined) return known;
  const root = newPathNode();
  const ignore = rules.ignore ?? [];
  for (const path of ignore) nodeAt(root, path).ignored = true;
  const tolerances = Object.entries(rules.numericTolerance ?? {});
  for (const [path, tolerance] of tolerances) {
    if (typeof tolerance !== 'number' || !(tolerance >= 0)) {
      throw new InvalidConfiguration(`the numeric tolerance of ${path} is not a number`, { expected: '0 or more' });
    }
    nodeAt(root, path).tolerance = tolerance;
  }
  if (rules.custom !== undefined && typeof rules.custom !== 'function') {
    throw new InvalidConfiguration('the custom compare rule is not a function', { expected: '(old, new) => boolean' });
  }
  if (rules.custom?.constructor.name === 'AsyncFunction') throw notBoolean('a promise');
  const result: CompiledRules = Object.freeze({
    roots: ignore.length + tolerances.length === 0 ? [] : [root],
    ignores: ignore.length > 0,
    custom: rules.custom ?? null,
  });
  compiled.set(rules, result);
  return result;
}

const notBoolean = (what: string): InvalidConfiguration =>
  new InvalidConfiguration(`the custom compare rule returned ${what}`, {
    expected: 'true or false, synchronously',
    remedy: 'make the rule an ordinary function that returns a boolean',
  });

/** Refuses rules that cannot be followed. @throws InvalidConfiguration */
export function validateRules(rules: CompareRules): void {
  compile(rules);
}

const NONE: readonly FieldDifference[] = Object.freeze([]);

/**
 * Where two values differ by the equality of the canonical encoding, softened by `rules`; empty when they are equal.
 * At most `most` are listed.
 *
 * @throws InvalidConfiguration for rules that cannot be followed, or a custom rule that returns no boolean.
 * @example compareRecords({ n: 1, at: a }, { n: 2, at: b }, { ignore: ['at'] });   // [{ path: 'n', old: 1, new: 2 }]
 */
export function compareRecords(
  a: unknown,
  b: unknown,
  rules: CompareRules = NO_RULES,
  most: number = MAX_FIELD_DIFFERENCES,
): readonly FieldDifference[] {
  if (equalValues(a, b)) return NONE;
  const { roots, custom } = compile(rules);
  const found: FieldDifference[] = [];
  walk(found, a, b, '', roots, most);
  if (found.length === 0) return NONE;
  if (custom !== null) {
    const answer: unknown = custom(cloneValue(a) as Value, cloneValue(b) as Value);
    if (typeof answer !== 'boolean') {
      const promise = typeof answer === 'object' && answer !== null && 'then' in answer;
      // A rejection of a promise that nobody awaits would end the process.
      if (promise) void Promise.resolve(answer).catch(() => undefined);
      throw notBoolean(promise ? 'a promise' : answer === null ? 'null' : `a value of type ${typeof answer}`);
    }
    if (answer) return NONE;
  }
  return found;
}

function walk(
  found: FieldDifference[],
  a: unknown,
  b: unknown,
  path: string,
  nodes: readonly PathNode[],
  most: number,
): void {
  if (found.length >= most || nodes.some((node) => node.ignored)) return;
  if (Array.isArray(a) && Array.isArray(b)) {
    const common = Math.min(a.length, b.length);
    for (let i = 0; i < common; i += 1) walk(found, a[i], b[i], `${path}[${i}]`, below(nodes, String(i)), most);
    for (let i = common; i < Math.max(a.length, b.length); i += 1) {
      if (found.length >= most) return;
      if (!below(nodes, String(i)).some((node) => node.ignored)) push(found, `${path}[${i}]`, a[i], b[i]);
    }
    return;
  }
  if (isPlainObject(a) && isPlainObject(b)) {
    for (const field of Object.keys(a)) {
      const other = Object.hasOwn(b, field) ? b[field] : undefined;
      walk(found, a[field], other, fieldPath(path, field), below(nodes, field), most);
    }
    for (const field of Object.keys(b)) {
      if (!Object.hasOwn(a, field)) walk(found, undefined, b[field], fieldPath(path, field), below(nodes, field), most);
    }
    return;
  }
  if (equalValues(a, b) || nodes.some((node) => node.tolerance !== null && close(a, b, node.tolerance))) return;
  push(found, path, a, b);
}

function push(found: FieldDifference[], path: string, a: unknown, b: unknown): void {
  found.push({ path, old: a as Value, new: b as Value });
}

/** Numbers whose digits reach further apart are not aligned, but different. */
const MOST_DIGITS = 200_000;

interface Exact {
  readonly digits: bigint;
  readonly exponent: number;
}

/** Whether two numbers of any kinds are at most so far apart, exactly, as they are written in decimal. */
function close(a: unknown, b: unknown, tolerance: number): boolean {
  const x = exactOf(a);
  const y = exactOf(b);
  if (x === null || y === null) return false;
  const limit = exactOf(tolerance);
  // Without a limit.
  if (limit === null) return true;
  const exponents = [x.exponent, y.exponent, limit.exponent];
  const low = Math.min(...exponents);
  if (Math.max(...exponents) - low > MOST_DIGITS) return false;
  const aligned = ({ digits, exponent }: Exact): bigint => digits * 10n ** BigInt(exponent - low);
  const apart = aligned(x) - aligned(y);
  return (apart < 0n ? -apart : apart) <= aligned(limit);
}

/** Null for what is no number, or not finite. */
function exactOf(value: unknown): Exact | null {
  if (typeof value === 'bigint') return { digits: value, exponent: 0 };
  const decimal = typeof value === 'number' && Number.isFinite(value) ? new Decimal(String(value)) : value;
  if (!(decimal instanceof Decimal)) return null;
  const [digits = '0', exponent = '0'] = decimal.text.split('e');
  return { digits: BigInt(digits), exponent: Number(exponent) };
}

/**
 * The value without the places that `rules` ignores, for hashing: two values whose projections are equal have no
 * differences. (The reverse does not hold: tolerance and custom rules need both sides.)
 */
export function withoutIgnored(value: unknown, rules: CompareRules): unknown {
  const { roots, ignores } = compile(rules);
  return ignores ? prune(value, roots) : value;
}

function prune(value: unknown, nodes: readonly PathNode[]): unknown {
  if (nodes.length === 0) return value;
  if (nodes.some((node) => node.ignored)) return undefined;
  if (Array.isArray(value)) return value.map((item, i) => prune(item, below(nodes, String(i))));
  if (!isPlainObject(value)) return value;
  // Without a prototype, a field called __proto__ is a field like any other.
  const result: Record<string, unknown> = Object.create(null);
  for (const field of Object.keys(value)) result[field] = prune(value[field], below(nodes, field));
  return result;
}

/** A difference without the values: their types and lengths stand for them. */
export function maskDifference(difference: FieldDifference): FieldDifference {
  if (difference.masked === true) return difference;
  const mask = (value: Value): Value => (value === undefined ? undefined : maskValue(value));
  return { path: difference.path, old: mask(difference.old), new: mask(difference.new), masked: true };
}

/** What may be shown of a value to everybody: its type and, where it has one, its length. */
export function maskValue(value: unknown): string {
  if (value === null) return 'null';
  if (typeof value === 'string') return `string(${value.length})`;
  if (typeof value !== 'object') return typeof value;
  if (Array.isArray(value)) return `array(${value.length})`;
  if (value instanceof Date) return 'date';
  if (value instanceof Decimal) return 'decimal';
  if (value instanceof Uint8Array) return `bytes(${value.byteLength})`;
  if (value instanceof Set) return `set(${value.size})`;
  return `object(${Object.keys(value).length})`;
}

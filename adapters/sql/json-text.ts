import { Decimal, isPlainObject, type Value } from '../../src/core/value.ts';

const MAX_DEPTH = 500;

const at = (path: string): string => (path === '' ? '' : ` at ${path}`);

/** Why JSON would not give a value back equal, as a phrase, or null. */
export function whyNotJson(value: unknown, path = '', depth = 0): string | null {
  switch (typeof value) {
    case 'string':
      return value.isWellFormed() ? null : `has half a character (a lone surrogate)${at(path)}`;
    case 'boolean':
      return null;
    case 'number':
      if (Number.isFinite(value) && !Object.is(value, -0)) return null;
      return `has ${Object.is(value, -0) ? '-0' : Number.isNaN(value) ? 'NaN' : 'an infinite number'}${at(path)}, which JSON does not know`;
    case 'object':
      break;
    default:
      return `has ${value === undefined ? 'undefined in a list' : `a ${typeof value}`}${at(path)}, which JSON does not know`;
  }
  if (value === null) return null;
  if (depth > MAX_DEPTH) return 'is nested too deeply, or in itself';
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i += 1) {
      const why = whyNotJson(value[i], `${path}[${i}]`, depth + 1);
      if (why !== null) return why;
    }
    return null;
  }
  if (!isPlainObject(value))
    return `has a ${value.constructor?.name ?? 'class instance'}${at(path)}, which JSON does not know`;
  for (const field of Object.keys(value)) {
    if (value[field] === undefined) continue;
    const why = field.isWellFormed()
      ? whyNotJson(value[field], path === '' ? field : `${path}.${field}`, depth + 1)
      : `has a field name with half a character${at(path)}`;
    if (why !== null) return why;
  }
  return null;
}

/** How values are written as JSON text, and read. */
export interface JsonNotation {
  /** Why it would not give a value back equal, as a phrase, or null. */
  why(value: unknown): string | null;
  /** The text of a value that nothing speaks against. */
  write(value: Value): string;
  /** The value of a text; undefined where a number of it has more digits than a number holds. @throws SyntaxError */
  read(text: string): Value;
}

/** Text without a number that JSON.parse could round. */
const FEW_DIGITS = /^(?!.*[\d.]{16})(?!.*\d[eE][+-]?\d)/s;

/** `JSON.parse` that rounds nothing: undefined where it would. @throws SyntaxError */
export function parseExactly(text: string): Value {
  if (FEW_DIGITS.test(text)) return JSON.parse(text) as Value;
  let exact = true;
  const value: unknown = JSON.parse(text, (_field, item: unknown, context?: { readonly source?: string }) => {
    const source = context?.source;
    if (typeof item === 'number' && source !== undefined && source !== String(item)) {
      exact &&= Number.isFinite(item) && new Decimal(source).text === new Decimal(String(item)).text;
    }
    return item;
  });
  return exact ? (value as Value) : undefined;
}

/**
 * JSON as it is, of values that it gives back equal. (A field that is undefined equals an absent one.) Half characters
 * are refused although JSON can escape them: databases with a JSON type of their own cannot.
 */
export const PLAIN_JSON: JsonNotation = Object.freeze({
  why: (value: unknown) => whyNotJson(value),
  write: (value: Value) => JSON.stringify(value),
  read: parseExactly,
});

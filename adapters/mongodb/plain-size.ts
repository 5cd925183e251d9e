import { isPlainObject } from '../../src/core/value.ts';

const MOST_DEPTH = 20;

/**
 * At most so many bytes a value takes in BSON, where it is surely read back as it is: text, numbers, truth values, dates,
 * and what is made of them. NaN for all others, of which nothing is said.
 */
export function plainSize(value: unknown, depth = 0): number {
  switch (typeof value) {
    case 'string':
      return value.isWellFormed() ? 5 + value.length * 3 : Number.NaN;
    case 'number':
    case 'boolean':
      return 8;
    case 'object':
      return value === null ? 0 : objectSize(value, depth);
    default:
      return Number.NaN;
  }
}

function objectSize(value: object, depth: number): number {
  if (depth > MOST_DEPTH) return Number.NaN;
  let size = 5;
  if (Array.isArray(value)) {
    for (const item of value) size += 12 + plainSize(item, depth + 1);
    return size;
  }
  if (!isPlainObject(value)) return value instanceof Date && !Number.isNaN(value.getTime()) ? 8 : Number.NaN;
  for (const field of Object.keys(value)) {
    const item = value[field];
    if (item === undefined) continue;
    if (!isPlainName(field)) return Number.NaN;
    size += 2 + field.length * 3 + plainSize(item, depth + 1);
  }
  return size;
}

const PLAIN_NAME = /^[A-Za-z][\w-]*$/;
/** What a driver takes for a mark of its own classes. */
const isPlainName = (field: string): boolean => PLAIN_NAME.test(field) && field !== 'toBSON';

import { BUCKETS } from '../core/bucket.ts';
import { CANARY_POSITION, DIALS } from '../core/dial.ts';
import { DEFAULT_SETTINGS } from '../core/settings.ts';
import { STAGES } from '../core/stage.ts';

/** A JSON Schema, as far as it is written here: what validates is what the OpenAPI document shows. */
export type Schema = Readonly<Record<string, unknown>>;

/** An object of exactly these properties; those with a `?` may be left out. */
export function object(properties: Readonly<Record<string, Schema>>, extra: Schema = {}): Schema {
  const entries = Object.entries(properties);
  return {
    type: 'object',
    properties: Object.fromEntries(entries.map(([name, schema]) => [name.replace('?', ''), schema])),
    required: entries.filter(([name]) => !name.endsWith('?')).map(([name]) => name),
    additionalProperties: false,
    ...extra,
  };
}

export const array = (items: Schema, maxItems = 10_000): Schema => ({ type: 'array', items, maxItems });
export const oneOf = (...words: readonly string[]): Schema => ({ type: 'string', enum: words });
export const nullable = (schema: Schema): Schema => ({ anyOf: [schema, { type: 'null' }] });
export const whole = (minimum: number, maximum: number = Number.MAX_SAFE_INTEGER): Schema => ({
  type: 'integer',
  minimum,
  maximum,
});

/** Text that every control plane can hold; some databases refuse NUL. */
export const text = (maxLength: number, minLength = 0): Schema => ({
  type: 'string',
  minLength,
  maxLength,
  pattern: '^[^\\u0000]*$',
});

export const ANY: Schema = {};
export const BOOLEAN: Schema = { type: 'boolean' };
export const COUNT = whole(0);
export const ID = whole(1);
export const REVISION = whole(1);
/** Milliseconds, perhaps with a fraction; what a Date can hold. */
export const MS: Schema = { type: 'number', minimum: 0, maximum: 8.64e15 };
export const NAME: Schema = { type: 'string', pattern: '^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$' };
export const SIDE = oneOf('old', 'new');
export const STAGE = oneOf(...STAGES);
export const COHORT = oneOf('canary', 'kept-back');
export const DIAL = oneOf(...DIALS);
export const REASON: Schema = {
  ...text(2_000, 1),
  pattern: '^[^\\u0000]*[^\\s\\u0000][^\\u0000]*$',
  description: 'for the history',
};
export const POSITION = whole(CANARY_POSITION, BUCKETS);
export const THRESHOLD = whole(CANARY_POSITION, BUCKETS + 1);
/** Every other position. */
const MOST_RANGES = 50_002;
/** Half-open ranges of positions: those of a repair may be that many. */
export const POSITIONS: Schema = array({ type: 'array', items: THRESHOLD, minItems: 2, maxItems: 2 }, MOST_RANGES);
export const STAMP: Schema = { type: 'string', pattern: '^[0-9a-f]{24}$' };

/** A dial's value: a percentage, `canary` or `all`; of retire-old a boolean. */
export const DIAL_VALUE: Schema = {
  anyOf: [{ type: 'number', minimum: 0, maximum: 100 }, oneOf('canary', 'all'), BOOLEAN],
};

/** What a setting may be is decided by the settings themselves; here only their names and rough types. */
export const SETTINGS: Schema = {
  ...object(
    Object.fromEntries(
      Object.entries(DEFAULT_SETTINGS).map(([name, value]) => [
        `${name}?`,
        Array.isArray(value) ? array(MS, 10) : value === null ? nullable({ type: 'number' }) : { type: typeof value },
      ]),
    ),
  ),
  minProperties: 1,
};

export const PROBLEM: Schema = {
  description: 'Problem details (RFC 9457); `code` is one of docs/errors.md',
  type: 'object',
  properties: {
    type: { type: 'string' },
    title: { type: 'string' },
    status: { type: 'integer' },
    detail: { type: 'string' },
    code: { type: 'string' },
    expected: { type: 'string' },
    remedy: { type: 'string' },
    retryable: BOOLEAN,
    details: { type: 'object', additionalProperties: true },
    gates: { type: 'array', items: { type: 'object', additionalProperties: true } },
  },
  required: ['type', 'title', 'status', 'detail', 'code'],
};

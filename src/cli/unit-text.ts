import { InvalidArgument } from '../core/errors.ts';
import { type KeyJson, keyFromJson } from '../core/key-json.ts';
import type { KeySpec } from '../core/record-key.ts';
import type { Key } from '../core/value.ts';
import { didYouMean } from './nearest.ts';

/** How a unit of some fields is written, for help and errors. */
export const unitForm = ({ unitFields }: KeySpec): string =>
  unitFields.length === 1
    ? `text, or JSON for other types: {"${unitFields[0]}": 7}`
    : `JSON: {${unitFields.map((field) => `"${field}": …`).join(', ')}}`;

/**
 * A unit as a command line names it: plain text is the one string field; JSON gives each field its type, with
 * `{"type": "bigint", "text": "7"}` (also date, bytes) for what JSON lacks.
 *
 * @throws InvalidArgument, InvalidRecord names the field that is missing, unknown or of a wrong form
 */
export function parseUnit(keys: KeySpec, text: string): Key {
  const [only] = keys.unitFields;
  const expected = unitForm(keys);
  if (keys.unitFields.length === 1 && only !== undefined && !text.trimStart().startsWith('{')) {
    // A variable of the shell that is not set, more often than a user without a name.
    if (text === '') throw new InvalidArgument('the unit is empty', { expected, remedy: `{"${only}": ""} names it` });
    return keys.unitKeyOf({ [only]: text });
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new InvalidArgument('the unit is neither plain text nor JSON', { expected, cause: error });
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw new InvalidArgument('the unit is no JSON object', { expected });
  }
  for (const [field, value] of Object.entries(parsed)) {
    if (!keys.unitFields.includes(field)) {
      throw new InvalidArgument(`"${field}" is no field of the unit`, {
        expected: keys.unitFields.join(', '),
        ...didYouMean(field, keys.unitFields),
      });
    }
    if (typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value)) {
      throw new InvalidArgument(`the number of the unit field "${field}" is too large to be exact`, {
        expected: `{"${field}": {"type": "bigint", "text": "…"}}`,
      });
    }
  }
  return keys.unitKeyOf(decoded(parsed as KeyJson, expected));
}

function decoded(json: KeyJson, expected: string): Key {
  try {
    return keyFromJson(json);
  } catch (error) {
    throw new InvalidArgument('the unit has a value that cannot be read', {
      expected: `${expected}, with {"type": "bigint" | "date" | "bytes", "text": "…"} for what JSON lacks`,
      cause: error,
    });
  }
}

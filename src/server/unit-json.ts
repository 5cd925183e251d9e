import { ChangeoverError, InvalidArgument } from '../core/errors.ts';
import { type KeyJson, keyFromJson } from '../core/key-json.ts';
import { ANY, type Schema } from './schemas.ts';

const EXPECTED = '"ada", 7, or {"tenant": {"type": "bigint", "text": "7"}}';

/** A unit in a request's body. */
export const UNIT: Schema = { ...ANY, description: `its one field, or an object of its fields: ${EXPECTED}` };

/** The unit of its JSON form: fields that JSON lacks are written as `{ type, text }`. @throws InvalidArgument */
export function unitOf(json: unknown): unknown {
  if (typeof json === 'string' || typeof json === 'number' || typeof json === 'boolean') return json;
  try {
    if (typeof json === 'object' && json !== null && !Array.isArray(json)) return keyFromJson(json as KeyJson);
  } catch (error) {
    if (error instanceof ChangeoverError) throw error;
    throw new InvalidArgument('a field of the unit cannot be read', { expected: EXPECTED, cause: error });
  }
  throw new InvalidArgument('this is no unit', { expected: EXPECTED });
}

/** The same from text. @throws InvalidArgument */
export function parseUnit(text: string): unknown {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new InvalidArgument('the unit is no JSON', { expected: EXPECTED, cause: error });
  }
  return unitOf(json);
}

import { isBsonType, reviveBson } from '../src/core/bson.ts';
import { InvalidRecord } from '../src/core/errors.ts';
import type { Key, KeyPart } from '../src/core/value.ts';

const PART =
  /(?:"(?:[^"\\]|\\.)*")|(?:d'([^']*)')|(?:x'([0-9a-f]*)')|(?:true|false)|(?:-?\d+n)|([A-Z][A-Za-z0-9]*)\(("(?:[^"\\]|\\.)*")\)|(?:-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)/y;

/**
 * The key that `KeySpec.id` wrote as this text: the text is injective, so the verifier keeps it alone.
 *
 * @throws InvalidRecord when the text is no id of a key with these fields.
 */
export function keyFromId(id: string, fields: readonly string[]): Key {
  const key: Record<string, KeyPart> = {};
  let at = 1;
  for (const [i, field] of fields.entries()) {
    if (i > 0 && id[at - 1] !== ',') throw notAnId(id);
    PART.lastIndex = at;
    const match = PART.exec(id);
    if (match === null) throw notAnId(id);
    key[field] = part(match);
    at = PART.lastIndex + 1;
  }
  if (id[0] !== '[' || id[at - 1] !== ']' || at !== id.length) throw notAnId(id);
  return key;
}

function part([text, date, bytes, type, payload]: RegExpExecArray): KeyPart {
  if (type !== undefined) {
    if (!isBsonType(type)) throw notAnId(text);
    return reviveBson(type, JSON.parse(payload as string) as string) as KeyPart;
  }
  if (date !== undefined) return new Date(date);
  if (bytes !== undefined) return new Uint8Array(Buffer.from(bytes, 'hex'));
  if (text.startsWith('"')) return JSON.parse(text) as string;
  if (text === 'true' || text === 'false') return text === 'true';
  return text.endsWith('n') ? BigInt(text.slice(0, -1)) : Number(text);
}

const notAnId = (id: string): InvalidRecord =>
  new InvalidRecord('the id of an entry is not the canonical text of its key', {
    expected: 'what KeySpec.id gives',
    details: { length: id.length },
  });

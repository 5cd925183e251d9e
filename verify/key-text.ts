import { isBsonType, reviveBson } from '../src/core/bson.ts';
import { InvalidRecord } from '../src/core/errors.ts';
import { Decimal, type Key, type KeyPart, NoName } from '../src/core/value.ts';

const PART =
  /(?:"(?:[^"\\]|\\.)*")|(?:d'([^']*)')|(?:x'([0-9a-f]*)')|(?:true|false)|(?:-?\d+n)|([A-Z][A-Za-z0-9]*)\(("(?:[^"\\]|\\.)*")\)|(?:m'([^']*)')|(?:-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)/y;

/**
 * The key that `KeySpec.id` wrote as this text: the text is injective, so the verifier keeps it alone. What names no record
 * is a {@link NoName}.
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
    const end = match === null ? endOfPart(id, at) : PART.lastIndex;
    if (end === at) throw notAnId(id);
    key[field] = match === null ? (new NoName(id.slice(at, end)) as unknown as KeyPart) : part(match);
    at = end + 1;
  }
  if (id[0] !== '[' || id[at - 1] !== ']' || at !== id.length) throw notAnId(id);
  return key;
}

/** Texts in quotes, which may hold anything. */
const QUOTED = /"(?:[^"\\]|\\.)*"|'[^']*'/y;

/** Where a part ends that is no plain one: at the comma or bracket that is not within it. */
function endOfPart(id: string, from: number): number {
  let depth = 0;
  for (let at = from; at < id.length; at += 1) {
    QUOTED.lastIndex = at;
    if (QUOTED.test(id)) at = QUOTED.lastIndex - 1;
    else if (depth === 0 && (id[at] === ',' || id[at] === ']')) return at;
    else if ('[{('.includes(id[at] as string)) depth += 1;
    else if (']})'.includes(id[at] as string)) depth -= 1;
  }
  return from;
}

function part([text, date, bytes, type, payload, decimal]: RegExpExecArray): KeyPart {
  if (type !== undefined) {
    if (!isBsonType(type)) throw notAnId(text);
    return reviveBson(type, JSON.parse(payload as string) as string) as KeyPart;
  }
  if (decimal !== undefined) return new Decimal(decimal) as unknown as KeyPart;
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

import { CursorExpired } from '../../src/core/errors.ts';
import type { Bound } from './column-codec.ts';

/** Bound key columns as text, exactly: a JSON list of text, `{i}` integers, `{r}` doubles and `{b}` bytes in hex. */
export function keyToText(key: readonly Bound[]): string {
  if (key.every((part) => typeof part === 'string')) return JSON.stringify(key);
  return JSON.stringify(
    key.map((part) => {
      if (typeof part === 'bigint') return { i: part.toString() };
      if (typeof part === 'number') return { r: part };
      return part instanceof Uint8Array ? { b: Buffer.from(part).toString('hex') } : part;
    }),
  );
}

/** The same back. @throws CursorExpired for text that was made otherwise. */
export function keyFromText(text: string, parts: number): readonly Bound[] {
  const key = read(text);
  if (key === null || key.length !== parts) {
    throw new CursorExpired('the cursor does not fit the key of the table', { remedy: 'begin the scan again' });
  }
  return key;
}

function read(text: string): readonly Bound[] | null {
  try {
    const list: unknown = JSON.parse(text);
    return Array.isArray(list) ? list.map(part) : null;
  } catch {
    return null;
  }
}

function part(json: unknown): Bound {
  if (typeof json === 'string') return json;
  const { i, r, b } = json as { readonly i?: unknown; readonly r?: unknown; readonly b?: unknown };
  if (typeof i === 'string') return BigInt(i);
  if (typeof r === 'number') return r;
  if (typeof b === 'string') return new Uint8Array(Buffer.from(b, 'hex'));
  throw new SyntaxError('not a part of a key');
}

import { ObjectId, Timestamp, UUID } from 'bson';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { equalValues } from '../../src/core/canonical.ts';
import { InvalidRecord } from '../../src/core/errors.ts';
import { type KeyJson, keyFromJson, keyToJson } from '../../src/core/key-json.ts';
import { KeySpec } from '../../src/core/record-key.ts';
import { Decimal, type Key } from '../../src/core/value.ts';
import { keyFromId } from '../../verify/key-text.ts';

test('a key comes back from its id as it was', () => {
  const part = fc.oneof(
    fc.string({ unit: 'grapheme' }),
    fc.string({ unit: 'binary' }).filter((text) => text.isWellFormed()),
    fc.constantFrom('"', '\\', "d'x'", '],[', '\u2028', 'null', '1n'),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.integer(),
    fc.bigInt(),
    fc.boolean(),
    fc.date({ noInvalidDate: true }),
    fc.uint8Array(),
  );
  fc.assert(
    fc.property(fc.array(part, { minLength: 1, maxLength: 4 }), (parts) => {
      const fields = parts.map((_, i) => `f${i}`);
      const spec = new KeySpec(fields, ['f0']);
      const key = spec.keyOf(Object.fromEntries(parts.map((value, i) => [`f${i}`, value])));
      expect(keyFromId(spec.id(key), fields)).toEqual(key);
    }),
    { numRuns: 1_000 },
  );
});

test('ObjectIds and UUIDs come back too', () => {
  const spec = new KeySpec(['a', 'b', 'c'], ['a']);
  const key = spec.keyOf({
    a: new ObjectId('a1'.repeat(12)),
    b: new UUID('0b7f8f1e-6f3c-4f0e-9d55-000000000001'),
    c: ')"',
  });
  const id = spec.id(key);
  const read = spec.keyOf(keyFromId(id, spec.fields));
  expect(spec.id(read)).toBe(id);
  expect(equalValues(read, key)).toBe(true);
  expect(() => keyFromId('[Function("x")]', ['a'])).toThrow(InvalidRecord);
});

test('what names no record comes back as its text, whatever it holds', () => {
  const spec = new KeySpec(['a', 'b'], ['a']);
  const parts = [
    null,
    undefined,
    Number.NaN,
    [1, 'a,b]"', [null]],
    { 'a,"]': "'" },
    new Set([1, ',']),
    new Date(Number.NaN),
  ];
  for (const a of [...parts, 'x']) {
    for (const b of [...parts, new Decimal('7.5'), new Timestamp({ t: 1, i: 2 }), 1n]) {
      const id = spec.id({ a, b } as unknown as Key);
      const key = keyFromId(id, spec.fields);
      expect(spec.id(key)).toBe(id);
      expect(spec.unit(key)).toBe(spec.unit({ a, b } as unknown as Key));
      const json = JSON.parse(JSON.stringify(keyToJson({ a, b } as unknown as Key))) as KeyJson;
      expect(spec.id(keyFromJson(json))).toBe(id);
      if (a !== 'x') expect(() => spec.keyOf(key)).toThrow(InvalidRecord);
    }
  }
});

test('text that is no id of such a key is refused', () => {
  for (const id of [
    '',
    '[',
    '[]',
    '["a"',
    '["a",1,2]',
    '["a"]',
    '["a";1]',
    '["a",1] ',
    '["a",]',
    '["a",[1]',
    'x["a",1]',
  ]) {
    expect(() => keyFromId(id, ['user', 'id']), id).toThrow(InvalidRecord);
  }
});

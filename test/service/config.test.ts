import { expect, test } from 'vitest';
import { memory } from '../../adapters/memory/index.ts';
import type { Codec, StoredRecord } from '../../src/index.ts';
import { migration } from '../../src/index.ts';

const mappingOf = (codec?: Codec): string =>
  migration({
    key: ['id'],
    unit: 'id',
    old: memory(),
    new: memory(),
    ...(codec === undefined ? {} : { codecs: { new: codec } }),
  }).mapping;

test('a mapping is bound to the text of its codecs, or to the version that they name', () => {
  const one: Codec = { encode: (record: StoredRecord) => ({ ...record, a: 1 }), decode: (stored) => stored };
  const other: Codec = { encode: (record: StoredRecord) => ({ ...record, a: 2 }), decode: (stored) => stored };
  expect(mappingOf(one)).toBe(mappingOf({ ...one }));
  expect(mappingOf(one)).not.toBe(mappingOf(other));
  expect(mappingOf(one)).not.toBe(mappingOf());
  expect(mappingOf({ ...one, version: '2' })).toBe(mappingOf({ ...other, version: '2' }));
  expect(mappingOf({ ...one, version: '2' })).not.toBe(mappingOf({ ...one, version: '3' }));
});

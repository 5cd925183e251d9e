import { expect, test } from 'vitest';
import { memory } from '../../adapters/memory/index.ts';
import type { Codec, StoredRecord } from '../../src/index.ts';
import { defineConfig, InvalidConfiguration, migration } from '../../src/index.ts';
import type { StandardSchema } from '../../src/repository/schema.ts';

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

test('a mapping is bound to its schema: by version, by JSON Schema, or by the text of its check', () => {
  const schema = (validate: (value: unknown) => { value: unknown }, json?: object): StandardSchema =>
    ({
      '~standard': {
        version: 1,
        vendor: 'test',
        validate,
        ...(json === undefined ? {} : { jsonSchema: { input: () => json } }),
      },
    }) as StandardSchema;
  const of = (given: StandardSchema | null, schemaVersion?: string): string =>
    migration({
      key: ['id'],
      unit: 'id',
      old: memory(),
      new: memory(),
      ...(given === null ? {} : { schema: given }),
      ...(schemaVersion === undefined ? {} : { schemaVersion }),
    }).mapping;
  const one = (value: unknown) => ({ value });
  const other = (value: unknown) => ({ value: structuredClone(value) });
  expect(of(schema(one)).split('.')[0]).toBe(mappingOf());
  expect(of(schema(one))).toBe(of(schema(one)));
  expect(of(schema(one))).not.toBe(of(schema(other)));
  expect(of(schema(one))).not.toBe(mappingOf());
  expect(of(schema(one, { type: 'object' }))).toBe(of(schema(other, { type: 'object' })));
  expect(of(schema(one, { type: 'object' }))).not.toBe(of(schema(one, { type: 'array' })));
  expect(of(schema(one), '1')).toBe(of(schema(other), '1'));
  expect(of(schema(one), '1')).not.toBe(of(schema(one), '2'));
  expect(of(null), 'no schema, no version').toBe(mappingOf());
  expect(of(null, '1').split('.')[0]).toBe(mappingOf());
  expect(of(null, '1')).not.toBe(of(null, '2'));
});

test.each([
  'hooks.example.com/services/s3cret',
  'ftp://hooks.example.com/s3cret',
  'https://bot:s3cret@hooks.example.com/',
])('a webhook that nothing could be sent to (%s) is refused, and not told', (address) => {
  const migrations = { items: migration({ key: ['id'], unit: 'id', old: memory(), new: memory() }) };
  const make = () => defineConfig({ control: 'memory', webhooks: [address], migrations });
  expect(make).toThrow(InvalidConfiguration);
  expect(make).toThrow(expect.objectContaining({ message: expect.not.stringContaining('s3cret') }));
});

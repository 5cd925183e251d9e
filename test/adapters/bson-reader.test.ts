import * as driver from 'mongodb';
import { BSON, BSONRegExp, BSONSymbol, Code } from 'mongodb';
import { expect, test } from 'vitest';
import { BsonReader } from '../../adapters/mongodb/bson-reader.ts';
import { Unreadable } from '../../src/core/value.ts';

/** BSON of a document in which the bytes of "QQ" are those of no text. */
function spoilt(document: object, bytes: readonly [number, number] = [0xff, 0xfe]): Uint8Array {
  const raw = Buffer.from(BSON.serialize(document));
  for (let at = raw.indexOf('QQ'); at >= 0; at = raw.indexOf('QQ')) raw.set(bytes, at);
  return raw;
}

/** A DBRef as servers of old wrote it, of a collection whose name is no text. */
function spoiltReference(): Uint8Array {
  const head = Buffer.from(BSON.serialize({ _id: 1 })).subarray(4, -1);
  const reference = [0x0c, ...Buffer.from('v\0'), 3, 0, 0, 0, 0xff, 0xfe, 0, ...new Array<number>(12).fill(1)];
  const tail = Buffer.from(BSON.serialize({ after: 1 })).subarray(4);
  const raw = Buffer.concat([Buffer.alloc(4), head, Buffer.from(reference), tail]);
  raw.writeInt32LE(raw.length, 0);
  return raw;
}

const reader = new BsonReader(driver, 'bigint');

test.each<[string, Uint8Array]>([
  ['text', spoilt({ v: 'QQ', after: 1 })],
  ['text within others', spoilt({ v: { a: ['x', { b: 'QQ' }] }, after: 1 })],
  ['a symbol', spoilt({ v: new BSONSymbol('QQ'), after: 1 })],
  ['code', spoilt({ v: new Code('QQ'), after: 1 })],
  ['code with a scope', spoilt({ v: new Code('QQ', { a: 1, b: 'x' }), after: 1 })],
  ['a pattern', spoilt({ v: new BSONRegExp('QQ', 'i'), after: 1 })],
  ['the name of a field', spoilt({ v: 1, QQ: 1, after: 1 })],
  ['a reference', spoiltReference()],
])('%s that is no UTF-8 is told, and what stands behind it is read', (_, raw) => {
  expect(reader.record(raw)).toMatchObject({ after: 1 });
  expect(reader.unreadable).toMatch(/not UTF-8/);
  // What stands for bytes that are none is text like any other where somebody wrote it.
  expect(reader.record(BSON.serialize({ '\ufffd': '\ufffd', pattern: new BSONRegExp('\ufffd') }))).toMatchObject({
    '\ufffd': '\ufffd',
  });
  expect(reader.unreadable).toBeNull();
});

test('two names of fields that are no UTF-8 do not become one', () => {
  const [first, second] = [spoilt({ QQ: 1 }), spoilt({ QQ: 1 }, [0xfe, 0xff])].map((raw) => reader.record(raw));
  expect(Object.keys(first ?? {})).not.toEqual(Object.keys(second ?? {}));
});

test('values that cannot be read are told apart', () => {
  const [first, second] = [spoilt({ v: 'QQ' }), spoilt({ v: 'QQ' }, [0xfe, 0xff])].map(
    (raw) => reader.record(raw)['v'],
  );
  expect(first).toBeInstanceOf(Unreadable);
  expect(first).not.toEqual(second);
});

import type { Stamp } from '../../../src/core/stamp.ts';
import type { Bound } from '../column-codec.ts';
import type { Value } from './pipeline.ts';

/** Object ids of built-in types, which never change, by the name that they are cast to. */
const OIDS: Readonly<Record<string, number>> = {
  bytea: 17,
  bigint: 20,
  smallint: 21,
  integer: 23,
  text: 25,
  json: 114,
  'double precision': 701,
  'character varying': 1043,
};
const INTEGER_BYTES: Readonly<Record<string, number>> = { smallint: 2, integer: 4, bigint: 8 };

/** Dimensions, whether there are NULLs, the type, the length and the first index: four bytes each. */
const HEADER_BYTES = 20;
const LENGTH_BYTES = 4;
const STAMP_BYTES = 12;
const NULL = -1;

/** A list for `unnest` in the server's own form, which it reads several times faster than text; as it is where there is none. */
export function arrayOf(cast: string, values: readonly Bound[]): Value {
  const oid = OIDS[cast];
  if (oid === undefined) return values;
  const integer = INTEGER_BYTES[cast] ?? 0;
  let bytes = HEADER_BYTES;
  for (const value of values) bytes += LENGTH_BYTES + (value === null ? 0 : bytesOf(value, integer));
  const array = Buffer.allocUnsafe(bytes);
  writeHeader(array, oid, values.length, values.includes(null));
  let at = HEADER_BYTES;
  for (const value of values) {
    const length = value === null ? NULL : write(array, at + LENGTH_BYTES, value, integer);
    array.writeInt32BE(length, at);
    at += LENGTH_BYTES + Math.max(0, length);
  }
  return array;
}

/** The same of stamps, without bytes of their own for each. */
export function stampArray(stamps: readonly Stamp[]): Buffer {
  const array = Buffer.allocUnsafe(HEADER_BYTES + stamps.length * (LENGTH_BYTES + STAMP_BYTES));
  writeHeader(array, OIDS['bytea'] as number, stamps.length, false);
  let at = HEADER_BYTES;
  for (const stamp of stamps) {
    array.writeInt32BE(STAMP_BYTES, at);
    array.write(stamp, at + LENGTH_BYTES, STAMP_BYTES, 'hex');
    at += LENGTH_BYTES + STAMP_BYTES;
  }
  return array;
}

function writeHeader(array: Buffer, oid: number, length: number, nulls: boolean): void {
  array.writeInt32BE(1, 0);
  array.writeInt32BE(nulls ? 1 : 0, 4);
  array.writeInt32BE(oid, 8);
  array.writeInt32BE(length, 12);
  array.writeInt32BE(1, 16);
}

function bytesOf(value: Exclude<Bound, null>, integer: number): number {
  if (typeof value === 'string') return Buffer.byteLength(value);
  if (typeof value === 'bigint') return integer;
  return typeof value === 'number' ? 8 : value.byteLength;
}

/** How many bytes it has written. */
function write(array: Buffer, at: number, value: Exclude<Bound, null>, integer: number): number {
  if (typeof value === 'string') return array.write(value, at);
  if (value instanceof Uint8Array) {
    array.set(value, at);
    return value.byteLength;
  }
  if (typeof value === 'number') array.writeDoubleBE(value, at);
  else if (integer === 8) array.writeBigInt64BE(value, at);
  else array.writeIntBE(Number(value), at, integer);
  return typeof value === 'number' ? 8 : integer;
}

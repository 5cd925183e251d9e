import type { MongoClient } from 'mongodb';
import type { Random } from '../../src/core/clock.ts';
import { InvalidConfiguration } from '../../src/core/errors.ts';
import type { KeySpec } from '../../src/core/record-key.ts';

/** What {@link mongodb} takes. */
export interface MongoDbOptions {
  /** Where the server is: `mongodb://…` or `mongodb+srv://…`. Needed unless `client` is given. */
  readonly url?: string;
  /** A ready client. It is not closed by us. */
  readonly client?: MongoClient;
  /** @default the database that `url` names */
  readonly database?: string;
  readonly collection: string;
  /**
   * The field of the key that is the `_id`; a list of fields makes the `_id` a document of these, in this order. Fields
   * of the key that are not in the `_id` stand beside it and never change: two records whose keys differ only in them
   * would be one document, and the second is rejected.
   */
  readonly id: string | readonly string[];
  /** Whether documents hold the field(s) of the `_id` a second time under their own names. @default false */
  readonly repeatId?: boolean;
  /** Holds the stamp, 12 bytes. @default '_s' */
  readonly stampField?: string;
  /** Marks tombstones. @default `${stampField}_deleted` */
  readonly tombstoneField?: string;
  /**
   * What 64-bit integers become. `number` for collections whose application knows no bigint: those within 2^53 are then
   * numbers, and a small bigint is refused because it could not come back as one. @default 'bigint'
   */
  readonly int64?: 'bigint' | 'number';
  /** A view of the collection without tombstones and stamps, for others to read; `prepare` makes it. @default none */
  readonly view?: string;
  /** How strong single reads are. `linearizable` waits for a majority on every read. @default 'majority' */
  readonly readConcern?: 'majority' | 'linearizable';
  /** How many requests of batches are under way at a time. @default 16 */
  readonly maxInFlight?: number;
  /** How long a read may take before it fails. @default 10_000 */
  readonly readTimeoutMs?: number;
  /** How often a write is sent while the server surely did not carry it out. @default 4 */
  readonly maxAttempts?: number;
  /** @default Math.random */
  readonly random?: Random;
}

/** The names of the fields that are not fields of the record. */
export interface ReservedFields {
  readonly stamp: string;
  readonly tombstone: string;
}

/** Options, checked, with every default in place. */
export interface ResolvedOptions {
  readonly url: string | null;
  readonly client: MongoClient | null;
  readonly database: string;
  readonly collection: string;
  /** The fields of the `_id`. */
  readonly idFields: readonly string[];
  /** Whether the `_id` is a document of these fields, and not the value of the only one. */
  readonly compoundId: boolean;
  readonly repeatId: boolean;
  readonly reserved: ReservedFields;
  readonly int64: 'bigint' | 'number';
  readonly view: string | null;
  readonly readConcern: 'majority' | 'linearizable';
  readonly maxInFlight: number;
  readonly readTimeoutMs: number;
  readonly maxAttempts: number;
  readonly random: Random;
}

const URL_FORM = /^mongodb(?:\+srv)?:\/\/[^/]+(?:\/([^?]*))?/;
/** What may stand in paths and indexes without being mistaken for something else. */
const PLAIN_NAME = /^(?![$\d])[^.\0]+$/;

function wrong(what: string, expected: string): never {
  throw new InvalidConfiguration(`mongodb: ${what}`, { expected });
}

function integer(name: string, value: number | undefined, fallback: number): number {
  const result = value ?? fallback;
  if (!Number.isInteger(result) || result < 1) wrong(`"${name}" is ${String(result)}`, 'an integer from 1');
  return result;
}

function fieldName(option: string, value: unknown): string {
  if (typeof value !== 'string' || !PLAIN_NAME.test(value) || value === '__proto__' || value === '_bsontype') {
    const what = value === undefined ? `"${option}" is missing` : `"${option}" names no field`;
    wrong(what, 'a name without dots that begins with neither $ nor a digit');
  }
  return value;
}

function oneOf<T extends string>(name: string, value: T | undefined, choices: readonly [T, ...T[]]): T {
  const result = value ?? choices[0];
  if (!choices.includes(result)) wrong(`"${name}" is none that is known`, choices.join(' or '));
  return result;
}

function databaseOf({ url, client, database }: MongoDbOptions): string {
  if ((url === undefined) === (client === undefined)) wrong('it is not clear how to connect', '"url" or "client"');
  const form = url === undefined ? null : URL_FORM.exec(url);
  if (url !== undefined && form === null) wrong('"url" is no MongoDB URL', 'mongodb://host/database');
  const name = database ?? decodeURIComponent(form?.[1] ?? '');
  if (typeof name !== 'string' || name === '' || /[/\\. "$\0]/.test(name)) {
    wrong('no database is named', '"database", or a URL that names one: mongodb://host/database');
  }
  return name;
}

function collectionName(option: string, name: unknown): string {
  if (typeof name !== 'string' || name === '' || /[$\0]/.test(name) || name.startsWith('system.')) {
    wrong(`"${option}" is no name of a collection`, 'text without $ that does not begin with "system."');
  }
  return name;
}

/** @throws InvalidConfiguration */
export function resolveOptions(options: MongoDbOptions): ResolvedOptions {
  const idFields = [options.id].flat().map((field) => fieldName('id', field));
  if (idFields.length === 0 || new Set(idFields).size !== idFields.length) {
    wrong('"id" names no field, or one twice', 'a field of the key, or several');
  }
  const stamp = fieldName('stampField', options.stampField ?? '_s');
  const tombstone = fieldName('tombstoneField', options.tombstoneField ?? `${stamp}_deleted`);
  if (
    stamp === tombstone ||
    stamp === '_id' ||
    tombstone === '_id' ||
    [stamp, tombstone].some((f) => idFields.includes(f))
  ) {
    wrong('two fields have the same name', 'different names for keys, stamps and tombstones');
  }
  const collection = collectionName('collection', options.collection);
  const view = options.view === undefined ? null : collectionName('view', options.view);
  if (view === collection) wrong('"view" is the collection itself', 'another name');
  return Object.freeze({
    url: options.url ?? null,
    client: options.client ?? null,
    database: databaseOf(options),
    collection,
    idFields: Object.freeze(idFields),
    compoundId: typeof options.id !== 'string',
    repeatId: options.repeatId ?? false,
    reserved: Object.freeze({ stamp, tombstone }),
    int64: oneOf('int64', options.int64, ['bigint', 'number']),
    view,
    readConcern: oneOf('readConcern', options.readConcern, ['majority', 'linearizable']),
    maxInFlight: integer('maxInFlight', options.maxInFlight, 16),
    readTimeoutMs: integer('readTimeoutMs', options.readTimeoutMs, 10_000),
    maxAttempts: integer('maxAttempts', options.maxAttempts, 4),
    random: options.random ?? Math.random,
  });
}

/** Checks that the `_id` is made of fields of the key. @throws InvalidConfiguration */
export function checkKeyFields(options: ResolvedOptions, keys: KeySpec): void {
  const { idFields, reserved } = options;
  for (const field of idFields) {
    if (!keys.fields.includes(field)) {
      wrong(`"id" names "${field}", which is not part of the key`, `one or more of: ${keys.fields.join(', ')}`);
    }
  }
  for (const field of keys.fields) {
    fieldName('key', field);
    if (field === reserved.stamp || field === reserved.tombstone) {
      wrong(`the key field "${field}" has the name of a reserved field`, 'another "stampField"');
    }
    if (field === '_id' && (options.compoundId || idFields[0] !== '_id')) {
      wrong('a key field is named "_id" and is not the _id', "id: '_id'");
    }
  }
}

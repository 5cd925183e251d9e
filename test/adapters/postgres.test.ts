import {
  describeStore,
  UNUSUAL_KEYS,
  UNUSUAL_VALUES,
  type UnusualKey,
  type UnusualValue,
} from '../../adapters/conformance/index.ts';
import { KeySpec } from '../../src/core/record-key.ts';
import { testServer } from '../support/servers.ts';
import { type PostgresTableCase, postgresHarness } from './postgres-harness.ts';

/** What Extended JSON does not say either. */
const UNSAYABLE: readonly UnusualValue[] = [
  'lone surrogate',
  'bigint',
  'invalid date',
  'decimal of 60 digits',
  'set of text',
  'set of numbers',
  'empty set',
  'mixed set',
  'nested everything',
];
/** What JSON cannot say. */
const NOT_JSON: readonly UnusualValue[] = [
  ...UNSAYABLE,
  'undefined in an array',
  'zero and minus zero',
  'minus zero',
  'NaN',
  'infinities',
  'small bigint',
  'number and bigint apart',
  'date',
  'dates far away',
  'date and its text apart',
  'bytes',
  'no bytes',
  'decimal',
  'decimal and number apart',
];
const NUL = 'NUL in text';
const values = (but: readonly UnusualValue[]): readonly UnusualValue[] =>
  (Object.keys(UNUSUAL_VALUES) as UnusualValue[]).filter((name) => !but.includes(name));
const keys = (but: readonly UnusualKey[]): readonly UnusualKey[] =>
  (Object.keys(UNUSUAL_KEYS) as UnusualKey[]).filter((name) => !but.includes(name));

const withColumns: PostgresTableCase = {
  ddl: `CREATE TABLE "things" ("Id" varchar(4000) COLLATE "en-x-icu", tenant int4 NOT NULL, "the count" int8
        CONSTRAINT "things positive" CHECK ("the count" >= 0), slug text, note text, payload json, "not ours" text DEFAULT 'kept',
        CONSTRAINT "things key" UNIQUE ("Id", tenant), CONSTRAINT "things slug" UNIQUE (slug));
        ALTER TABLE "things" ALTER COLUMN "Id" SET NOT NULL`,
  options: {
    columns: {
      id: 'Id',
      tenant: 'tenant',
      count: { column: 'the count', type: 'integer' },
      slug: 'slug',
      note: 'note',
      any: 'payload',
    },
    nulls: 'absent',
  },
  keys: new KeySpec(['tenant', 'id'], ['tenant']),
  any: 'any',
  holdsValues: values([...NOT_JSON, 'null']),
  holdsKeys: keys(['NUL inside']),
  record: (n, extra) => ({ tenant: n % 3, id: `id ${n}`, slug: `slug ${n}`, ...extra }),
  recordNamed: (text, extra) => ({ tenant: -7, id: text, ...extra }),
  breaksLimit: (record) => ({ ...record, note: 'a\0b' }),
};

const withDocument: PostgresTableCase = {
  ddl: `CREATE TABLE "things" (owner text COLLATE "C" NOT NULL, id text COLLATE "C", count int8 CHECK (count >= 0),
        slug text UNIQUE, body jsonb, PRIMARY KEY (owner, id))`,
  options: {
    columns: { owner: 'owner', id: 'id', count: { type: 'integer' }, slug: 'slug' },
    document: 'body',
    json: 'extended',
  },
  keys: new KeySpec(['owner', 'id'], ['owner']),
  any: 'any',
  holdsValues: values([...UNSAYABLE, NUL]),
  holdsKeys: keys(['NUL inside']),
  record: (n, extra) => ({ owner: `owner ${Math.floor(n / 10)}`, id: `id ${n}`, slug: `slug ${n}`, ...extra }),
  recordNamed: (text, extra) => ({ owner: 'named', id: text, ...extra }),
  breaksLimit: (record) => ({ ...record, count: 2 ** 63 }),
};

const uuid = (n: number): string => `00000000-0000-4000-8000-${n.toString(16).padStart(12, '0')}`;

/** The unique index is in another order than the key, over partitions, and rules come from a domain and at COMMIT. */
const withRules: PostgresTableCase = {
  ddl: `CREATE DOMAIN "things amount" AS numeric(12, 2) CHECK (VALUE >= 0);
        CREATE TABLE "things owners" (tenant numeric(12) PRIMARY KEY);
        INSERT INTO "things owners" SELECT generate_series(0, 2000);
        CREATE TABLE "things" (id uuid, tenant numeric(12) REFERENCES "things owners" DEFERRABLE INITIALLY DEFERRED,
          count "things amount", slug varchar(40), note text, any_ jsonb, PRIMARY KEY (id, tenant)) PARTITION BY HASH (id);
        CREATE TABLE "things 0" PARTITION OF "things" FOR VALUES WITH (MODULUS 2, REMAINDER 0);
        CREATE TABLE "things 1" PARTITION OF "things" FOR VALUES WITH (MODULUS 2, REMAINDER 1)`,
  options: {
    columns: { tenant: { type: 'integer' }, count: { type: 'integer' }, slug: 'slug', note: 'note', any: 'any_' },
    nulls: 'absent',
    pool: 4,
  },
  keys: new KeySpec(['tenant', 'id'], ['tenant']),
  any: 'any',
  holdsValues: values([...NOT_JSON, NUL, 'null']),
  holdsKeys: [],
  record: (n, extra) => ({ tenant: Math.floor(n / 7), id: uuid((n * 7919) % 100_003), ...extra }),
  recordNamed: null,
  breaksUnique: false,
  breaksLimit: (record) => ({ ...record, count: 2 ** 40 }),
};

/** A record must be there already under a part of its key; the whole key is not what is unique. */
const withPartOfKey: PostgresTableCase = {
  ...withDocument,
  ddl: `CREATE TABLE "things" (owner text, id text PRIMARY KEY, count int8 CHECK (count >= 0), slug text UNIQUE, body json)`,
  options: { ...withDocument.options, json: 'plain' },
  holdsValues: values(NOT_JSON),
};

const { missing } = testServer('postgres');
const options = missing === undefined ? {} : { skip: missing };
describeStore('PostgreSQL with a column for each field', () => postgresHarness(withColumns), options);
describeStore('PostgreSQL with a document', () => postgresHarness(withDocument), options);
describeStore('PostgreSQL with partitions and late rules', () => postgresHarness(withRules), options);
describeStore('PostgreSQL, the new store, with partitions and late rules', () => postgresHarness(withRules, 'new'), {
  ...options,
  scale: 0.3,
});
describeStore('PostgreSQL with a part of the key unique', () => postgresHarness(withPartOfKey), {
  ...options,
  scale: 0.5,
});

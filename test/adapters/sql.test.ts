import { describeStore, UNUSUAL_VALUES, type UnusualValue } from '../../adapters/conformance/index.ts';
import { KeySpec } from '../../src/core/record-key.ts';
import { type SqliteTableCase, sqliteHarness } from './sql-harness.ts';

/** What JSON cannot say. */
const NOT_JSON: readonly UnusualValue[] = [
  'undefined in an array',
  'lone surrogate',
  'zero and minus zero',
  'minus zero',
  'NaN',
  'infinities',
  'bigint',
  'small bigint',
  'number and bigint apart',
  'date',
  'dates far away',
  'invalid date',
  'date and its text apart',
  'bytes',
  'no bytes',
  'decimal',
  'decimal and number apart',
  'decimal of 60 digits',
  'set of text',
  'set of numbers',
  'empty set',
  'mixed set',
  'nested everything',
];
const JSON_VALUES = (Object.keys(UNUSUAL_VALUES) as UnusualValue[]).filter((name) => !NOT_JSON.includes(name));

const withDocument: SqliteTableCase = {
  ddl: `CREATE TABLE things (owner TEXT NOT NULL, id TEXT NOT NULL, count INTEGER CHECK (count >= 0), slug TEXT UNIQUE,
        body TEXT, PRIMARY KEY (owner, id))`,
  options: { document: 'body' },
  keys: new KeySpec(['owner', 'id'], ['owner']),
  any: 'any',
  holdsValues: JSON_VALUES,
  record: (n, extra) => ({ owner: `owner ${Math.floor(n / 10)}`, id: `id ${n}`, slug: `slug ${n}`, ...extra }),
  recordNamed: (text, extra) => ({ owner: 'named', id: text, ...extra }),
};

// No WAL: readers and writers exclude each other, and COMMIT itself may find the file busy.
const withColumns: SqliteTableCase = {
  ddl: `CREATE TABLE things (Id VARCHAR(20) COLLATE NOCASE NOT NULL, tenant INTEGER NOT NULL, "the count" INTEGER
        CHECK ("the count" >= 0), slug TEXT, note TEXT, payload JSON, "not ours" TEXT DEFAULT 'kept');
        CREATE UNIQUE INDEX by_key ON things (tenant, Id COLLATE BINARY); CREATE UNIQUE INDEX by_slug ON things (slug)`,
  options: {
    columns: {
      id: 'Id',
      tenant: 'tenant',
      count: 'the count',
      slug: 'slug',
      note: 'note',
      any: { column: 'payload', type: 'json' },
    },
    nulls: 'absent',
    wal: false,
  },
  keys: new KeySpec(['tenant', 'id'], ['tenant']),
  any: 'any',
  holdsValues: JSON_VALUES.filter((name) => name !== 'null'),
  record: (n, extra) => ({ tenant: n % 3, id: `id ${n}`, slug: `slug ${n}`, ...extra }),
  recordNamed: (text, extra) => ({ tenant: -7, id: text, ...extra }),
};

describeStore('SQLite with a document column', () => sqliteHarness(withDocument));
describeStore('SQLite with a column for each field, without WAL', () => sqliteHarness(withColumns));

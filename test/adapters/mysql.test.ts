import {
  describeStore,
  UNUSUAL_KEYS,
  UNUSUAL_VALUES,
  type UnusualKey,
  type UnusualValue,
} from '../../adapters/conformance/index.ts';
import { KeySpec } from '../../src/core/record-key.ts';
import { testServer } from '../support/servers.ts';
import { type MysqlTableCase, mysqlHarness } from './mysql-harness.ts';

const { missing: skip } = testServer('mysql');

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
/** MariaDB's check of JSON columns goes 32 levels deep. */
const NOT_IN_JSON_COLUMNS: readonly UnusualValue[] = [...NOT_JSON, 'deep nesting'];
const valuesBut = (names: readonly UnusualValue[]): readonly UnusualValue[] =>
  (Object.keys(UNUSUAL_VALUES) as UnusualValue[]).filter((name) => !names.includes(name));
const keysOf = (fits: (text: string) => boolean): readonly UnusualKey[] =>
  (Object.keys(UNUSUAL_KEYS) as UnusualKey[]).filter((name) => fits(UNUSUAL_KEYS[name]));

const ALL_KEYS_BUT_LONGEST = keysOf((text) => text.length <= 200);

const breaks: MysqlTableCase['breaks'] = {
  breaksConstraint: null,
  breaksUnique: null,
  breaksLimit: null,
};

/** Text that differs for a collation wherever it differs at all. */
const apart = (text: string): string => `${text}|${Buffer.from(text).toString('hex')}`;

/** The table that most people have: with a collation which takes 'a' and 'A ' for equal. */
const withColumns: MysqlTableCase = {
  ddl: [
    `CREATE TABLE \`things\` (id VARCHAR(700) NOT NULL PRIMARY KEY, \`the count\` INT UNSIGNED, note VARCHAR(300), payload JSON,
     \`not ours\` VARCHAR(10) DEFAULT 'kept', CHECK (note <> 'refused')) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci`,
  ],
  options: {
    columns: { id: 'id', count: 'the count', note: 'note', any: { column: 'payload', type: 'json' } },
    nulls: 'absent',
  },
  keys: new KeySpec(['id'], ['id']),
  any: 'any',
  holdsValues: valuesBut([...NOT_IN_JSON_COLUMNS, 'null']),
  holdsKeys: ALL_KEYS_BUT_LONGEST,
  record: (n, extra) => ({ id: `id ${n}`, ...extra }),
  recordNamed: (text, extra) => ({ id: apart(text), ...extra }),
  breaks: {
    ...breaks,
    breaksConstraint: (n) => ({ id: `id ${n}`, note: 'refused' }),
    breaksLimit: (n) => ({ id: `id ${n}`, count: 2 ** 32 }),
  },
};

const withDocument: MysqlTableCase = {
  ddl: [
    `CREATE TABLE \`things\` (owner BIGINT UNSIGNED NOT NULL, id VARCHAR(250) CHARACTER SET utf8mb4 COLLATE BYTEWISE NOT NULL,
     count INT UNSIGNED CHECK (count <> 7000000), slug VARCHAR(50) CHARACTER SET ascii UNIQUE, body LONGTEXT CHARACTER SET utf8mb4,
     PRIMARY KEY (owner, id))`,
  ],
  options: { document: 'body', json: 'extended' },
  keys: new KeySpec(['owner', 'id'], ['owner']),
  any: 'any',
  holdsValues: valuesBut(UNSAYABLE),
  holdsKeys: ALL_KEYS_BUT_LONGEST,
  record: (n, extra) => ({ owner: BigInt(Math.floor(n / 10)), id: `id ${n}`, slug: `slug ${n}`, ...extra }),
  recordNamed: (text, extra) => ({ owner: 2n ** 63n, id: text, ...extra }),
  breaks: {
    breaksConstraint: (n) => ({ owner: BigInt(Math.floor(n / 10)), id: `id ${n}`, count: 7_000_000 }),
    breaksUnique: (n, other) => ({ owner: BigInt(Math.floor(n / 10)), id: `id ${n}`, slug: other['slug'] }),
    breaksLimit: (n) => ({ owner: BigInt(Math.floor(n / 10)), id: `id ${n}`, count: 2 ** 32 }),
  },
};

/** Every rule at once; and text in other character sets. */
const withRules: MysqlTableCase = {
  ddl: [
    'CREATE TABLE IF NOT EXISTS kinds (kind VARCHAR(10) CHARACTER SET latin1 PRIMARY KEY)',
    "INSERT IGNORE INTO kinds VALUES ('plain')",
    `CREATE TABLE \`things\` (tenant VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_swedish_ci, Id VARCHAR(700) CHARACTER SET utf8mb3 COLLATE utf8mb3_general_ci,
     day DATE NOT NULL, count INT UNSIGNED, note TEXT CHARACTER SET ascii, slug VARBINARY(60), kind VARCHAR(10) CHARACTER SET latin1, PRIMARY KEY (day, Id, tenant), UNIQUE (slug),
     FOREIGN KEY (kind) REFERENCES kinds (kind), CONSTRAINT positive CHECK (count >= 0))`,
  ],
  options: {
    columns: {
      tenant: 'tenant',
      id: 'Id',
      day: 'day',
      count: 'count',
      note: 'note',
      slug: { type: 'bytes' },
      kind: 'kind',
    },
    nulls: 'absent',
  },
  keys: new KeySpec(['tenant', 'day', 'id'], ['tenant', 'day']),
  any: null,
  holdsValues: [],
  holdsKeys: keysOf((text) => text.length <= 200 && !/[\u{10000}-\u{10ffff}]/u.test(text)),
  record: (n, extra) => ({ ...ruleKey(n), slug: new Uint8Array(Buffer.from(`slug ${n}`)), kind: 'plain', ...extra }),
  recordNamed: (text, extra) => ({ tenant: 'é', day: new Date('2026-02-28'), id: apart(text), ...extra }),
  breaks: {
    breaksConstraint: (n) => ({ ...ruleKey(n), kind: 'none' }),
    breaksUnique: (n, other) => ({ ...ruleKey(n), slug: other['slug'] }),
    breaksLimit: (n) => ({ ...ruleKey(n), note: 'naïve' }),
  },
};
const ruleKey = (n: number) => ({
  tenant: `Tenant ${Math.floor(n / 10)}`,
  day: new Date(Date.UTC(2026, 0, 1 + (Math.floor(n / 10) % 50))),
  id: `id ${n}`,
});

describeStore('MySQL with a column for each field', () => mysqlHarness(withColumns), { skip });
describeStore('MySQL with a document column', () => mysqlHarness(withDocument), { skip });
describeStore('MySQL with rules and other character sets', () => mysqlHarness(withRules), { skip });

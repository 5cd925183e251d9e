import type { Knex } from 'knex';
import pg from 'pg';
import { describe, expect, it, onTestFinished } from 'vitest';
import { storeFault } from '../../../adapters/sql/postgres/faults.ts';
import { Closed, InvalidConfiguration, NotPrepared } from '../../../src/core/errors.ts';
import { KeySpec } from '../../../src/core/record-key.ts';
import { makeStamp } from '../../../src/core/stamp.ts';
import type { Entry, Store } from '../../../src/core/store.ts';
import type { StoredRecord } from '../../../src/core/value.ts';
import { testServer } from '../../support/servers.ts';
import { onPostgres } from '../postgres-harness.ts';

const describePostgres = describe.skipIf(testServer('postgres').missing !== undefined);
const keys = new KeySpec(['id'], ['id']);
const pairs = new KeySpec(['unit', 'id'], ['unit']);
const SIMPLE = 'CREATE TABLE things (id text PRIMARY KEY, n int4)';
const later = (store: Store): number => store.now() + 60_000;
const entry = (id: string, ms: number, value: StoredRecord | null = {}): Entry => {
  const key = { id };
  return { id: keys.id(key), key, stamp: makeStamp(ms, 0, 1), value: value === null ? null : { id, ...value } };
};

async function scanned(store: Store, count = 1, pageSize = 100): Promise<Entry[]> {
  const entries: Entry[] = [];
  for (const partition of await store.partitions(count)) {
    for await (const page of store.scan(partition, { pageSize })) entries.push(...page.entries);
  }
  return entries;
}

describePostgres('the stamp table', () => {
  it('is all that prepare makes, and what a dry run prints', async () => {
    await using place = await onPostgres(
      `CREATE TABLE things (unit numeric(12), id varchar(40) COLLATE "en-x-icu", n int4, PRIMARY KEY (id, unit))`,
    );
    const store = await place.open({ columns: { unit: { type: 'integer' }, id: 'id', n: 'n' } }, pairs);
    const columns = "SELECT column_name FROM information_schema.columns WHERE table_name = 'things'";
    const before = await place.rows(columns);
    const { actions } = await store.prepare({ dryRun: true });
    expect(actions).toEqual([
      'CREATE TABLE "public"."things_changeover" ("unit" numeric(12,0) NOT NULL, "id" character varying(40) COLLATE pg_catalog."en-x-icu" NOT NULL, ' +
        '"stamp" bytea NOT NULL, "deleted" boolean NOT NULL, PRIMARY KEY ("id", "unit")) WITH (fillfactor = 85)',
    ]);
    expect(await place.rows("SELECT to_regclass('things_changeover')")).toEqual([[null]]);
    expect(await store.prepare()).toEqual({ actions });
    expect(await place.rows(columns)).toEqual(before);
    const key = { unit: 1, id: 'a' };
    await store.putIfNewer(
      { id: pairs.id(key), key, stamp: makeStamp(1, 0, 1), value: { ...key, n: 1 } },
      later(store),
    );
    expect(await place.rows("SELECT unit, id, encode(stamp, 'hex'), deleted FROM things_changeover")).toEqual([
      ['1', 'a', makeStamp(1, 0, 1), 'f'],
    ]);
    await store.finish({});
    expect(await place.rows("SELECT to_regclass('things_changeover')")).toEqual([[null]]);
  });

  it('may be used by every role that may use the records, whoever prepares them', async () => {
    await using place = await onPostgres(SIMPLE);
    const [service, owner] = ['Service of', 'owner of'].map(
      (name) => `${name} ${new URL(place.url).pathname.slice(1)}`,
    );
    await place.rows(`CREATE ROLE "${service}" LOGIN PASSWORD 'service'`);
    await place.rows(`CREATE ROLE "${owner}"`);
    onTestFinished(async () => {
      const admin = new pg.Client(testServer('postgres').url);
      await admin.connect();
      for (const role of [service, owner]) await admin.query(`DROP ROLE "${role}"`);
      await admin.end();
    });
    await place.rows(`ALTER TABLE things OWNER TO "${owner}"`);
    await place.rows(`GRANT SELECT, INSERT, UPDATE, DELETE, TRIGGER ON things TO "${service}"`);
    await place.rows('GRANT SELECT ON things TO PUBLIC');
    const url = Object.assign(new URL(place.url), { username: service, password: 'service' });
    const store = await place.open({ connection: url.href }, keys);
    const plain = { ...entry('a', 1, { n: 1 }), stamp: null };
    await store.putPlain(plain, later(store));
    const administrator = await place.open({}, keys);
    const { actions } = await administrator.prepare({ dryRun: true });
    expect(actions.slice(1)).toEqual(
      [
        `GRANT DELETE, INSERT, SELECT, UPDATE ON "public"."things_changeover" TO "${owner}"`,
        'GRANT SELECT ON "public"."things_changeover" TO PUBLIC',
        `GRANT DELETE, INSERT, SELECT, UPDATE ON "public"."things_changeover" TO "${service}"`,
      ].toSorted(),
    );
    expect(await administrator.prepare()).toEqual({ actions });
    expect((await store.get('["a"]', { id: 'a' }))?.value).toEqual({ id: 'a', n: 1 });
    await store.putPlain(plain, later(store));
    expect((await store.putIfNewer(entry('b', 2, { n: 2 }), later(store))).kind).toBe('applied');
    expect((await store.putIfNewer(entry('a', 2, null), later(store))).kind).toBe('applied');
    const { findings } = await store.inspect();
    expect(findings.filter(({ kind }) => kind === 'permission')).toEqual([]);
  });

  it('lies beside its table, in whatever schema that is', async () => {
    await using place = await onPostgres(`CREATE SCHEMA "other place"; CREATE TABLE "other place"."my.things"
      (id text PRIMARY KEY, n int4); CREATE TABLE public."other place" (id text PRIMARY KEY)`);
    const store = await place.open({ table: 'other place.my.things' }, keys);
    await store.prepare();
    expect((await store.putIfNewer(entry('a', 1, { n: 1 }), later(store))).kind).toBe('applied');
    expect(await scanned(store)).toEqual([entry('a', 1, { n: 1 })]);
    expect(await place.rows('SELECT count(*) FROM "other place"."my.things_changeover"')).toEqual([['1']]);
  });

  it('that another process drops or makes is noticed', async () => {
    await using place = await onPostgres(SIMPLE);
    const store = await place.open({}, keys);
    const other = await place.open({}, keys);
    await expect(store.putIfNewer(entry('a', 5, { n: 1 }), later(store))).rejects.toBeInstanceOf(NotPrepared);
    await expect(store.putManyIfNewer([entry('a', 5), entry('b', 5)], later(store))).rejects.toBeInstanceOf(
      NotPrepared,
    );
    await other.prepare();
    expect((await store.putIfNewer(entry('a', 5, { n: 1 }), later(store))).kind).toBe('applied');
    await other.finish({});
    expect(await store.get('["a"]', { id: 'a' })).toMatchObject({ stamp: null, value: { n: 1 } });
    await expect(store.putIfNewer(entry('a', 6, { n: 2 }), later(store))).rejects.toBeInstanceOf(NotPrepared);
    expect((await store.putPlain({ ...entry('a', 0, { n: 3 }), stamp: null }, later(store))).kind).toBe('applied');
    await other.prepare();
    expect((await other.putIfNewer(entry('a', 7, { n: 4 }), later(store))).kind).toBe('applied');
    // The plain write takes the stamp away, which it has not seen coming.
    expect((await store.putPlain({ ...entry('a', 0, { n: 5 }), stamp: null }, later(store))).kind).toBe('applied');
    expect(await place.rows('SELECT * FROM things_changeover')).toEqual([]);
    expect((await store.putIfNewer(entry('a', 1, { n: 6 }), later(store))).kind).toBe('applied');
  });

  it('is not taken from a table of somebody else', async () => {
    await using place = await onPostgres(`${SIMPLE}; CREATE TABLE things_changeover (x int)`);
    const store = await place.open({}, keys);
    expect(await store.prepared()).toBe(false);
    await expect(store.prepare()).rejects.toBeInstanceOf(InvalidConfiguration);
  });

  it('has the types of the key that the table has by now, or says how to change them', async () => {
    await using place = await onPostgres(
      'CREATE TABLE things (unit int4, id varchar(10) COLLATE "en-x-icu", n int4, PRIMARY KEY (unit, id))',
    );
    const store = await place.open({}, pairs);
    await store.prepare();
    await place.rows('ALTER TABLE things ALTER n TYPE int8');
    expect(await store.prepared()).toBe(true);
    await place.rows('ALTER TABLE things ALTER unit TYPE int8, ALTER id TYPE varchar(40) COLLATE "en-x-icu"');
    const remedy =
      'ALTER TABLE "public"."things_changeover" ALTER COLUMN "unit" TYPE bigint, ' +
      'ALTER COLUMN "id" TYPE character varying(40) COLLATE pg_catalog."en-x-icu";';
    for (const each of [store, await place.open({}, pairs)]) {
      expect(await each.prepared()).toBe(false);
      await expect(each.prepare({ dryRun: true })).rejects.toMatchObject({ code: 'INVALID_CONFIGURATION', remedy });
    }
    await place.rows(remedy);
    const after = await place.open({}, pairs);
    expect([await store.prepared(), await after.prepared(), await after.prepare()]).toEqual([
      true,
      true,
      { actions: [] },
    ]);
    const key = { unit: 3_000_000_000n, id: 'longer than before' };
    const wide = { id: pairs.id(key), key, stamp: makeStamp(1, 0, 1), value: { ...key, n: 1n } };
    expect(await after.putIfNewer(wide, later(after))).toMatchObject({ kind: 'applied' });
  });

  it('goes on when the table gets another column, or one gets another type', async () => {
    await using place = await onPostgres(SIMPLE);
    const store = await place.open({}, keys);
    await store.prepare();
    for (let n = 0; n < 8; n += 1) await store.putIfNewer(entry('a', n + 1, { n }), later(store));
    expect((await store.get('["a"]', { id: 'a' }))?.value).toEqual({ id: 'a', n: 7 });
    await place.rows('ALTER TABLE things ADD more text');
    await place.rows('ALTER TABLE things ALTER n TYPE int8');
    expect((await store.putIfNewer(entry('a', 10, { n: 10 }), later(store))).kind).toBe('applied');
    expect((await store.get('["a"]', { id: 'a' }))?.value).toEqual({ id: 'a', n: 10 });
  });
});

describePostgres('opening', () => {
  it('says what is missing or does not fit', async () => {
    await using place =
      await onPostgres(`CREATE TABLE things (id text, n int4 GENERATED ALWAYS AS IDENTITY, s int UNIQUE DEFERRABLE);
      CREATE UNIQUE INDEX few ON things (id) WHERE n > 0; CREATE VIEW seen AS SELECT * FROM things`);
    await expect(place.open({ table: 'nothing' }, keys)).rejects.toBeInstanceOf(NotPrepared);
    await expect(place.open({ table: 'seen' }, keys)).rejects.toBeInstanceOf(NotPrepared);
    await expect(place.open({}, keys)).rejects.toThrow(/unique/);
    await expect(place.open({}, new KeySpec(['s'], ['s']))).rejects.toThrow(/unique/);
    await expect(place.open({}, new KeySpec(['n'], ['n']))).rejects.toThrow(/computed/);
    // The rows of its heir show in it, with keys of its own.
    await place.rows('CREATE TABLE parent (id text PRIMARY KEY); CREATE TABLE heir () INHERITS (parent)');
    await expect(place.open({ table: 'parent' }, keys)).rejects.toThrow(/unique/);
    await expect(place.open({ table: 'heir' }, keys)).rejects.toThrow(/unique/);
    await expect(place.open({ connection: 'mysql://x:sesame@y/z' }, keys)).rejects.not.toThrow(/sesame/);
  });

  it('is what every call needs, and nothing works after closing', async () => {
    await using place = await onPostgres(SIMPLE);
    const store = await place.open({}, keys);
    await store.prepare();
    const puts = [1, 2, 3].map((n) => store.putIfNewer(entry(`k${n}`, 1, { n }), later(store)));
    await store.close();
    expect((await Promise.all(puts)).map(({ kind }) => kind)).toEqual(['applied', 'applied', 'applied']);
    await expect(store.get('["k1"]', { id: 'k1' })).rejects.toBeInstanceOf(Closed);
    await expect(store.putIfNewer(entry('k1', 2, { n: 2 }), 9e15)).rejects.toBeInstanceOf(Closed);
  });
});

describePostgres("the table's own rules", () => {
  it.for([
    ['a check', `${SIMPLE}; ALTER TABLE things ADD CONSTRAINT small CHECK (n < 7)`, 'constraint'],
    ['a division in a check', `${SIMPLE}; ALTER TABLE things ADD CONSTRAINT odd CHECK (10 / (7 - n) > 0)`, 'limit'],
    ['a foreign key', `${SIMPLE}; ALTER TABLE things ADD FOREIGN KEY (n) REFERENCES numbers`, 'constraint'],
    [
      'a foreign key that is looked at on COMMIT',
      `${SIMPLE}; ALTER TABLE things ADD FOREIGN KEY (n) REFERENCES numbers DEFERRABLE INITIALLY DEFERRED`,
      'constraint',
    ],
    [
      'a unique constraint',
      `${SIMPLE}; ALTER TABLE things ADD u int4 GENERATED ALWAYS AS (nullif(n, 1)) STORED UNIQUE; INSERT INTO things VALUES ('taken', 7)`,
      'constraint',
    ],
    [
      'a trigger',
      `${SIMPLE}; CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.n = 7 THEN RAISE EXCEPTION 'no'; END IF; RETURN NEW; END $$;
       CREATE TRIGGER t BEFORE INSERT OR UPDATE ON things FOR EACH ROW EXECUTE FUNCTION no()`,
      'constraint',
    ],
    ['an enum', `CREATE TYPE few AS ENUM ('1'); CREATE TABLE things (id text PRIMARY KEY, n few)`, 'constraint'],
  ] as const)('reject exactly the entries of a batch that break them: %s', async ([what, ddl, reason]) => {
    await using place = await onPostgres(
      `CREATE TABLE numbers (n int4 PRIMARY KEY); INSERT INTO numbers VALUES (1); ${ddl}`,
    );
    const store = await place.open({ columns: { n: 'n' } }, keys);
    await store.prepare();
    const value = (n: number) => (what === 'an enum' ? String(n) : n);
    const batch = Array.from({ length: 60 }, (_, i) => entry(`k${10 + i}`, 5, { n: value(i % 19 === 4 ? 7 : 1) }));
    const bad = (one: Entry): boolean => one.value?.['n'] === value(7);
    const outcomes = await store.putManyIfNewer(batch, later(store));
    expect(outcomes.map(({ kind }) => kind)).toEqual(batch.map((one) => (bad(one) ? 'rejected' : 'applied')));
    const [first] = outcomes.filter(({ kind }) => kind === 'rejected');
    expect(first).toMatchObject({ reason });
    expect(await store.putIfNewer(entry('k99', 5, { n: value(7) }), later(store))).toMatchObject({
      kind: 'rejected',
      reason,
    });
    // What is refused must be what would have been applied: an older put is superseded.
    expect(await store.putIfNewer(entry('k10', 4, { n: value(7) }), later(store))).toEqual({
      kind: 'superseded',
      stamp: makeStamp(5, 0, 1),
    });
    const seen = (await scanned(store)).filter(({ stamp }) => stamp !== null);
    expect(seen).toEqual(batch.filter((one) => !bad(one)));
    expect(await place.rows('SELECT count(*) FROM things_changeover')).toEqual([[String(seen.length)]]);
  });

  it('name the constraint, and no value', async () => {
    await using place = await onPostgres(`${SIMPLE}; ALTER TABLE things ADD CONSTRAINT "n is taken" UNIQUE (n)`);
    const store = await place.open({}, keys);
    await store.prepare();
    await store.putIfNewer(entry('a', 1, { n: 4711 }), later(store));
    const outcome = await store.putIfNewer(entry('b', 1, { n: 4711 }), later(store));
    expect(outcome).toMatchObject({ kind: 'rejected', message: expect.stringContaining('"n is taken"') });
    expect(JSON.stringify(outcome)).not.toContain('4711');
  });

  it('that refuse a delete reject it, in a batch too', async () => {
    await using place = await onPostgres(
      `${SIMPLE}; CREATE TABLE children (of text REFERENCES things); INSERT INTO things VALUES ('a', 1), ('b', 1), ('c', 1); INSERT INTO children VALUES ('b')`,
    );
    const store = await place.open({}, keys);
    await store.prepare();
    const outcomes = await store.putManyIfNewer(
      ['a', 'b', 'c'].map((id) => entry(id, 5, null)),
      later(store),
    );
    expect(outcomes.map(({ kind }) => kind)).toEqual(['applied', 'rejected', 'applied']);
    expect(await store.putIfNewer(entry('b', 6, null), later(store))).toMatchObject({ reason: 'constraint' });
    expect(await scanned(store)).toEqual([
      entry('a', 5, null),
      { ...entry('b', 0, { n: 1 }), stamp: null },
      entry('c', 5, null),
    ]);
  });
});

describePostgres('a trigger that keeps a record from being written', () => {
  it('rejects the put, and leaves no stamp that says it was written', async () => {
    await using place = await onPostgres(`${SIMPLE};
      CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF NEW.n < 0 THEN RETURN NULL; END IF; RETURN NEW; END';
      CREATE TRIGGER skip BEFORE INSERT OR UPDATE ON things FOR EACH ROW EXECUTE FUNCTION skip()`);
    const store = await place.open({}, keys);
    await store.prepare();
    const refused = { kind: 'rejected', reason: 'constraint', message: expect.stringContaining('trigger') };
    const batch = [1, -1, 2, -2].map((n, i) => entry(`k${i}`, 5, { n }));
    const kinds = (await store.putManyIfNewer(batch, later(store))).map(({ kind }) => kind);
    expect(kinds).toEqual(['applied', 'rejected', 'applied', 'rejected']);
    const bad = batch.filter(({ value }) => Number(value?.['n']) < 0);
    expect((await store.putManyIfNewer(bad, later(store))).map(({ kind }) => kind)).toEqual(['rejected', 'rejected']);
    expect(await store.putIfNewer(entry('k9', 5, { n: -3 }), later(store))).toMatchObject(refused);
    const stamp = makeStamp(5, 0, 1);
    const over = entry('k0', 6, { n: -4 });
    for (const value of [undefined, { id: 'k0', n: 1 }]) {
      const expected = { kind: 'version', stamp, ...(value && { value }) } as const;
      expect(await store.compareAndSet(over, expected, later(store))).toMatchObject(refused);
    }
    expect(await scanned(store)).toEqual([batch[0], batch[2]]);
  });
});

describePostgres('a connection', () => {
  it('holds each statement once, however often it fails or has to be parsed anew', async () => {
    await using place = await onPostgres(SIMPLE);
    const store = await place.open({ pool: 1 }, keys);
    await store.prepare();
    await store.putIfNewer(entry('a', 5, { n: 1 }), later(store));
    const held = async (): Promise<number> => {
      const { rows } = await (store.native as Knex).raw('SELECT count(*) FROM pg_prepared_statements');
      return Number(rows[0].count);
    };
    const conflict = async (ms: number): Promise<void> => {
      const taken = entry('a', ms, { n: 2 });
      expect(await store.compareAndSet(taken, { kind: 'absent' }, later(store))).toEqual({ kind: 'conflict' });
    };
    const read = async (): Promise<void> => {
      expect(await store.get(entry('a', 5).id, { id: 'a' })).toMatchObject({ stamp: makeStamp(5, 0, 1) });
    };
    await read();
    await conflict(6);
    const before = await held();
    for (let ms = 7; ms < 20; ms += 1) await conflict(ms);
    expect(await held()).toBe(before);
    for (let n = 0; n < 4; n += 1) {
      await place.rows(`ALTER TABLE things ALTER n TYPE ${n % 2 === 0 ? 'int8' : 'int4'}`);
      await read();
    }
    await conflict(30);
    expect(await held()).toBe(before);
    expect(await store.compareAndSet(entry('b', 5, { n: 3 }), { kind: 'absent' }, later(store))).toEqual({
      kind: 'applied',
      previous: 'absent',
    });
  });
});

describe('an error of a server', () => {
  it.each(['FATAL', 'PANIC', 'PANIK', 'ВАЖНО'])(
    'that is a %s and ends the connection leaves the outcome unknown',
    (severity) => {
      for (const code of ['57P01', '58030', '53100', 'XX000']) {
        expect(storeFault('store', { code, severity }, true)).toMatchObject({ outcome: 'unknown' });
      }
    },
  );

  it.each(['ERROR', 'FEHLER'])('that is a %s of one transaction has surely undone it', (severity) => {
    for (const code of ['40P01', '40001', '42501', '25006']) {
      expect(storeFault('store', { code, severity }, true)).toMatchObject({ outcome: 'nothing-written' });
    }
  });
});

describePostgres('outside writers', () => {
  it('show in the value, beside the stamp that was there', async () => {
    await using place = await onPostgres(SIMPLE);
    const store = await place.open({}, keys);
    await store.prepare();
    await store.putManyIfNewer([entry('deleted', 5, { n: 1 }), entry('inserted', 5, null)], later(store));
    await place.rows("DELETE FROM things WHERE id = 'deleted'");
    await place.rows("INSERT INTO things VALUES ('inserted', 9), ('new', 1)");
    const expected = [
      entry('deleted', 5, null),
      entry('inserted', 5, { n: 9 }),
      { ...entry('new', 0, { n: 1 }), stamp: null },
    ];
    expect(await scanned(store)).toEqual(expected);
    expect(await store.getMany(expected)).toEqual(expected);
  });
});

describePostgres('large tables', () => {
  const FILL = `CREATE TABLE things (unit int4, id text COLLATE "en-x-icu", n int4, PRIMARY KEY (id, unit));
    INSERT INTO things SELECT i % 50, 'Key ' || (i * 7919) % 60000, i FROM generate_series(1, 60000) AS i`;

  it.for([true, false])(
    'are divided into shares that hold everything, none of them most of it (analyzed: %s)',
    async (analyzed) => {
      await using place = await onPostgres(FILL);
      if (analyzed) await place.rows('ANALYZE things');
      const store = await place.open({}, pairs);
      await store.prepare();
      const partitions = await store.partitions(6);
      expect(partitions).toHaveLength(6);
      const outside = ['', '~', 'zzz'].map((id): Entry => {
        const key = { unit: 1, id };
        return { id: pairs.id(key), key, stamp: makeStamp(1, 0, 1), value: null };
      });
      await store.putManyIfNewer(outside, later(store));
      const counts: number[] = [];
      for (const partition of partitions) {
        let count = 0;
        for await (const page of store.scan(partition, { pageSize: 1_000, stampsOnly: true }))
          count += page.entries.length;
        counts.push(count);
      }
      expect(counts.reduce((a, b) => a + b)).toBe(60_003);
      expect(Math.max(...counts)).toBeLessThan(20_000);
      const estimate = await store.estimate();
      if (analyzed) expect(Math.abs((estimate ?? 0) - 60_000)).toBeLessThan(1_000);
    },
  );

  it('are scanned by their index, whatever its order and collation, without sorting them', async () => {
    await using place = await onPostgres(FILL);
    await place.rows('ANALYZE things');
    const store = await place.open({}, pairs);
    await store.prepare();
    await place.rows(`INSERT INTO things_changeover SELECT unit, id, '\\x000000000001000000000001', false FROM things`);
    await place.rows('ANALYZE things_changeover');
    await place.rows('SELECT pg_stat_force_next_flush()');
    await place.rows('SELECT pg_stat_reset()');
    const [partition] = await store.partitions(1);
    if (partition === undefined) throw new Error('no partition');
    let pages = 0;
    for await (const page of store.scan(partition, { pageSize: 500 })) {
      expect(page.entries).toHaveLength(500);
      pages += 1;
      if (pages === 5) break;
    }
    await store.list({ unit: 7 }, { unit: 7, id: 'Key 3' }, 20);
    await store.close();
    const [[sequential, byIndex] = []] = await place.rows(
      'SELECT sum(seq_tup_read), sum(idx_tup_fetch) FROM pg_stat_user_tables',
    );
    // No index begins with the unit, so that the list looks through all of it once.
    expect(Number(sequential)).toBeLessThanOrEqual(60_000);
    expect(Number(byIndex)).toBeLessThan(6_000);
  });
});

describePostgres('an inspection', () => {
  it('finds what may refuse or change a mirrored write, each by its name and with a remedy that works', async () => {
    await using place = await onPostgres(`CREATE TABLE parents (id text PRIMARY KEY);
      CREATE TABLE things (id text COLLATE "en-x-icu" PRIMARY KEY, n int4 CONSTRAINT positive CHECK (n > 0), slug text,
        parent text CONSTRAINT of_parent REFERENCES parents ON DELETE CASCADE, late text CONSTRAINT late_one UNIQUE DEFERRABLE,
        span int4range, EXCLUDE USING gist (span WITH &&), twice int GENERATED ALWAYS AS (n * 2) STORED);
      CREATE UNIQUE INDEX by_slug ON things (lower(slug)) WHERE n > 3;
      CREATE TABLE children (of text CONSTRAINT child REFERENCES things ON DELETE SET NULL, old text CONSTRAINT held REFERENCES things);
      CREATE FUNCTION same() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
      CREATE TRIGGER audit BEFORE UPDATE ON things FOR EACH ROW EXECUTE FUNCTION same();
      CREATE RULE keep AS ON DELETE TO things DO INSTEAD NOTHING;
      CREATE PUBLICATION everything FOR TABLE things`);
    const columns = { n: 'n', slug: 'slug', parent: 'parent', late: 'late' };
    const store = await place.open({ columns }, keys);
    const { server, findings } = (await store.inspect?.()) ?? { server: '', findings: [] };
    expect(server).toMatch(/^PostgreSQL \d+/);
    const levels = Object.fromEntries(findings.map(({ name, level }) => [name, level]));
    expect(levels).toMatchObject({
      'check:positive': 'risk',
      'foreign-key:of_parent': 'risk',
      'cascade:of_parent': 'risk',
      'unique:late_one': 'risk',
      'unique:things_span_excl': 'risk',
      'unique:by_slug': 'risk',
      'cascade:children.child': 'risk',
      'foreign-key:children.held': 'risk',
      'trigger:audit': 'risk',
      'trigger:rule.keep': 'risk',
      'check:generated.twice': 'info',
      'topology:published': 'info',
    });
    expect(Object.keys(levels)).not.toContain('unique:things_pkey');
    for (const { level, remedy } of findings)
      if (level === 'risk')
        await place.rows(remedy).catch((error: { code: string }) => expect(error.code).toBe('42704'));
    const after = await store.inspect?.();
    expect(after?.findings.filter(({ level }) => level !== 'info')).toEqual([]);
  });

  it('finds what cannot work at all', async () => {
    await using place = await onPostgres(`CREATE TABLE things (id text PRIMARY KEY, n int4, must text NOT NULL);
      CREATE RULE r AS ON INSERT TO things DO ALSO NOTHING; CREATE PUBLICATION p FOR TABLE things;
      ALTER TABLE things REPLICA IDENTITY NOTHING; ALTER TABLE things ENABLE ROW LEVEL SECURITY;
      ALTER TABLE things FORCE ROW LEVEL SECURITY`);
    const role = `reader_${Math.random().toString(36).slice(2)}`;
    const password = Math.random().toString(36).slice(2);
    await place.rows(`CREATE ROLE ${role} LOGIN PASSWORD '${password}'`);
    await place.rows(`GRANT SELECT ON things TO ${role}`);
    const url = new URL(place.url);
    url.username = role;
    url.password = password;
    const connection = { connectionString: url.href, options: '-c default_transaction_read_only=on' };
    const store = await place.open({ connection, columns: { n: 'n' } }, keys);
    const inspection = await store.inspect?.();
    const problems = inspection?.findings.filter(({ level }) => level === 'problem').map(({ name }) => name);
    await store.close();
    await place.rows(`DROP OWNED BY ${role}`);
    await place.rows(`DROP ROLE ${role}`);
    expect(problems?.toSorted()).toEqual(
      [
        'check:not-null.must',
        'permission:create',
        'permission:delete."public"."things"',
        'permission:insert."public"."things"',
        'permission:row-security',
        'permission:update."public"."things"',
        'topology:read-only',
        'topology:replica-identity',
        'trigger:rule.r',
      ].toSorted(),
    );
  });
});

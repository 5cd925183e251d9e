import { describe, expect, it, vi } from 'vitest';
import { type DynamoDbOptions, dynamodb } from '../../../adapters/dynamodb/index.ts';
import { systemClock } from '../../../src/core/clock.ts';
import { InvalidConfiguration, NotPrepared, NotSupported } from '../../../src/core/errors.ts';
import { KeySpec } from '../../../src/core/record-key.ts';
import { identityCodec } from '../../../src/core/store.ts';
import { entry, entryOf, KEYS, later, onEveryServer } from '../../support/dynamodb-fixture.ts';
import { CREDENTIALS } from '../../support/dynamodb-server.ts';

onEveryServer((t) => {
  describe('configuration', () => {
    it.for<[string, Partial<DynamoDbOptions>]>([
      ['a table without a name', { table: 'x' }],
      ['reserved names that collide', { stampAttribute: '_t' }],
      ['a key in a reserved name', { attributes: { id: '_s' } }],
      ['two fields in one attribute', { attributes: { a: 'x', b: 'x' } }],
      ['no width', { maxInFlight: 0 }],
      ['a kind of insert that there is not', { inserts: 'batches' as 'statements' }],
      ['a negative bound', { lateBoundMs: -1 }],
    ])('%s is refused', ([, options]) => {
      expect(() => dynamodb({ table: 'events', partitionKey: 'userKey', sortKey: 'id', ...options })).toThrow(
        InvalidConfiguration,
      );
    });

    it('of a key that is not the key of the migration is refused', async () => {
      await expect(t.create({}, new KeySpec(['userKey', 'other'], ['userKey']))).rejects.toThrow(InvalidConfiguration);
      await expect(t.create({}, new KeySpec(['userKey'], ['userKey']))).rejects.toThrow(InvalidConfiguration);
    });

    it('of a key that is not the key of the table is refused when it is opened', async () => {
      t.table = await t.server.table(['userKey', 'text'], ['other', 'text']);
      await expect(t.open()).rejects.toThrow(InvalidConfiguration);
    });

    it('without a region is refused when it is opened, by that name', async () => {
      for (const name of ['AWS_REGION', 'AWS_DEFAULT_REGION', 'AWS_PROFILE']) vi.stubEnv(name, undefined);
      for (const name of ['AWS_CONFIG_FILE', 'AWS_SHARED_CREDENTIALS_FILE']) vi.stubEnv(name, '/there/is/none');
      try {
        const definition = dynamodb({
          table: 'events',
          partitionKey: 'userKey',
          sortKey: 'id',
          credentials: CREDENTIALS,
        });
        const store = await definition.create({
          migration: 'm',
          side: 'new',
          keys: KEYS,
          codec: identityCodec,
          clock: systemClock,
        });
        await expect(store.open()).rejects.toThrow(
          expect.objectContaining({ code: 'INVALID_CONFIGURATION', message: expect.stringContaining('no region') }),
        );
        await store.close();
      } finally {
        vi.unstubAllEnvs();
      }
    });

    it('carries no secrets and no place in the mapping', () => {
      const { mapping } = dynamodb({
        table: 'events',
        partitionKey: 'id',
        endpoint: 'http://x',
        credentials: CREDENTIALS,
      });
      expect(JSON.stringify(mapping)).not.toMatch(/local|http/);
    });

    it('lists only by the partition key', async () => {
      await t.fresh();
      const store = await t.open({}, new KeySpec(['userKey', 'id'], ['id']));
      expect(store.capabilities.list).toBe(false);
      await expect(store.list({ id: 'e1' }, null, 1)).rejects.toThrow(NotSupported);
    });

    it('uses a client of others and leaves it open', async () => {
      await t.fresh();
      const store = await t.open({ client: t.server.client });
      expect(store.native).toBe(t.server.client);
      await store.close();
      expect(await t.raw()).toBeUndefined();
    });
  });

  describe('a table that is not there', () => {
    it('is missed when the store is opened', async () => {
      t.table = t.server.freshName();
      const error = await t.open().catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(NotPrepared);
      expect((error as NotPrepared).remedy).toContain(`aws dynamodb create-table --table-name ${t.table}`);
      const store = await t.create();
      expect(await store.prepared()).toBe(false);
      await expect(store.prepare()).rejects.toThrow(NotPrepared);
    });

    it('is made by prepare where that is allowed, and only once', async () => {
      t.table = t.server.freshName();
      const store = await t.open({ createTable: true });
      const second = await t.open({ createTable: true });
      expect(await store.prepared()).toBe(false);
      const { actions } = await store.prepare({ dryRun: true });
      expect(actions).toEqual([`CreateTable ${t.table} (partition key userKey, sort key id, on demand)`]);
      expect(await store.prepared()).toBe(false);
      await Promise.all([store.prepare(), second.prepare()]);
      expect(await store.prepared()).toBe(true);
      expect(await store.prepare()).toEqual({ actions: [] });
      expect((await second.putIfNewer(entry(10), later(second))).kind).toBe('applied');
    });

    it('is waited for until it can be used, and given up when it will not be', async () => {
      t.table = t.server.freshName();
      const clock = {
        ...systemClock,
        after: (ms: number, fn: () => void) => systemClock.after(ms === 500 ? 5 : ms, fn),
      };
      const store = await t.create({ createTable: { sortKeyType: 'N' } }, KEYS, { clock });
      let status = 'CREATING';
      let asked = 0;
      t.proxy.plan = ({ operation }) => {
        if (operation !== 'DescribeTable' || t.proxy.count('CreateTable') === 0) return { kind: 'pass' };
        asked += 1;
        if (asked > 3 && status === 'CREATING') return { kind: 'pass' };
        const KeySchema = ['userKey', 'id'].map((AttributeName) => ({ AttributeName }));
        return { kind: 'answer', status: 200, body: { Table: { TableStatus: status, KeySchema } } };
      };
      expect((await store.prepare()).actions).toHaveLength(1);
      expect(asked).toBe(4);
      t.proxy.heal();
      expect(store.check(entryOf({ userKey: 'ada', id: 'text' }, 1))?.message).toMatch(/another type/);
      expect(store.check(entryOf({ userKey: 'ada', id: 5 }, 1))).toBeNull();
      status = 'ARCHIVED';
      t.proxy.plan = () => ({
        kind: 'answer',
        status: 200,
        body: { Table: { TableStatus: status, KeySchema: [{ AttributeName: 'userKey' }, { AttributeName: 'id' }] } },
      });
      expect(await store.prepared()).toBe(false);
      await expect(store.prepare()).rejects.toThrow(/the table is ARCHIVED/);
    });
  });
});

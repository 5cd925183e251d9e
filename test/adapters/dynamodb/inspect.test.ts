import { DynamoDBClient, UpdateTableCommand, UpdateTimeToLiveCommand } from '@aws-sdk/client-dynamodb';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/core/clock.ts';
import { StoreFault } from '../../../src/core/errors.ts';
import type { Finding, Store } from '../../../src/core/store.ts';
import { entry, KEYS, later, natural, onEveryServer } from '../../support/dynamodb-fixture.ts';
import { CREDENTIALS } from '../../support/dynamodb-server.ts';
import { FaultyHttpProxy } from '../../support/faulty-http-proxy.ts';

const inspect = async (store: Store): Promise<readonly Finding[]> => (await store.inspect()).findings;
const named = (findings: readonly Finding[], name: string): Finding | undefined =>
  findings.find((finding) => finding.name === name);
/** What stands in the way, or may. */
const grave = (findings: readonly Finding[]) =>
  findings.filter(({ level }) => level !== 'info').map(({ name }) => name);

const DENIED = {
  kind: 'answer',
  status: 400,
  body: { __type: 'com.amazon.coral.service#AccessDeniedException', Message: 'User: arn:aws:iam::1:user/u is not …' },
} as const;

onEveryServer((t, server) => {
  const local = server === 'DynamoDB Local';

  describe('a preflight', () => {
    it('finds nothing in the way of a plain table, and changes nothing', async () => {
      const store = await t.fresh();
      await t.write({ ...natural, a: { N: '1' } });
      const before = await t.items();
      const inspection = await store.inspect();
      expect(inspection.server).toBe(local ? 'DynamoDB Local' : "a server with DynamoDB's interface");
      expect(grave(inspection.findings)).toEqual([]);
      expect(await t.items()).toEqual(before);
      // dynalite has to be asked for what a condition met; neither tells of backups.
      expect(named(inspection.findings, 'version:return-values')?.level).toBe(local ? undefined : 'info');
      expect(named(inspection.findings, 'topology:backups')?.message).toMatch(/does not tell/);
    });

    it('names a missing table and gives a command that makes it', async () => {
      t.table = t.server.freshName();
      expect(await inspect(await t.create())).toEqual([
        {
          name: 'missing:table',
          kind: 'missing',
          level: 'problem',
          message: `there is no table "${t.table}"`,
          remedy: `aws dynamodb create-table --table-name ${t.table} --attribute-definitions AttributeName=userKey,AttributeType=S AttributeName=id,AttributeType=S --key-schema AttributeName=userKey,KeyType=HASH AttributeName=id,KeyType=RANGE --billing-mode PAY_PER_REQUEST --region local --endpoint-url ${t.proxy.endpoint}`,
        },
      ]);
      const [finding] = await inspect(await t.create({ createTable: true }));
      expect(finding?.remedy).toBe('changeover prepare');
    });

    it('names a table that has another key', async () => {
      t.table = await t.server.table(['PK', 'text'], ['SK', 'number']);
      const finding = named(await inspect(await t.create()), 'missing:key-schema');
      expect(finding).toMatchObject({
        level: 'problem',
        message: 'the key of the table is PK (S), SK (N), not userKey, id',
      });
    });

    it('names capacity, indexes and what indexes ask for', async () => {
      const throughput = { ReadCapacityUnits: 10, WriteCapacityUnits: 8 };
      t.table = await t.server.table(['userKey', 'text'], ['id', 'text'], {
        BillingMode: 'PROVISIONED',
        ProvisionedThroughput: throughput,
        indexKeys: [['email', 'text']],
        GlobalSecondaryIndexes: [
          {
            IndexName: 'by-email',
            KeySchema: [{ AttributeName: 'email', KeyType: 'HASH' }],
            Projection: { ProjectionType: 'ALL' },
            ProvisionedThroughput: { ReadCapacityUnits: 3, WriteCapacityUnits: 2 },
          },
          {
            IndexName: 'by-id',
            KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }],
            Projection: { ProjectionType: 'KEYS_ONLY' },
            ProvisionedThroughput: throughput,
          },
        ],
      });
      const findings = await inspect(await t.open());
      expect(grave(findings).sort()).toEqual(['capacity:index:by-email', 'capacity:table', 'index:by-email']);
      expect(named(findings, 'capacity:table')?.message).toMatch(
        /provisioned for 8 write units and 10 read units a second/,
      );
      expect(named(findings, 'capacity:table')?.remedy).toMatch(
        /aws dynamodb update-table .*--billing-mode PAY_PER_REQUEST/,
      );
      expect(named(findings, 'index:by-email')).toMatchObject({
        kind: 'index',
        level: 'risk',
        message: expect.stringMatching(/asks "email" to have 1 to 2048 bytes \(S\)/),
        remedy: expect.stringContaining(`'[{"Delete":{"IndexName":"by-email"}}]'`),
      });
    });

    it.runIf(local)('names time to live, streams and missing protection', async () => {
      const store = await t.fresh();
      await t.server.client.send(
        new UpdateTimeToLiveCommand({
          TableName: t.table,
          TimeToLiveSpecification: { AttributeName: 'expires at', Enabled: true },
        }),
      );
      await t.server.client.send(
        new UpdateTableCommand({
          TableName: t.table,
          StreamSpecification: { StreamEnabled: true, StreamViewType: 'NEW_IMAGE' },
        }),
      );
      const findings = await inspect(store);
      expect(grave(findings)).toEqual(['ttl:expires at']);
      expect(named(findings, 'ttl:expires at')).toMatchObject({
        kind: 'ttl',
        level: 'risk',
        remedy: expect.stringContaining(`'Enabled=false,AttributeName=expires at'`),
      });
      expect(named(findings, 'trigger:stream')).toMatchObject({ kind: 'trigger', level: 'info', remedy: '' });
      expect(named(findings, 'topology:deletion-protection')?.level).toBe('info');
    });

    it('names attributes that items have of their own', async () => {
      const store = await t.fresh();
      await t.write({ ...natural, _t: { S: 'User' } });
      await t.write({ ...natural, id: { S: 'e2' }, _s: { N: '1' } });
      const findings = await inspect(store);
      expect(grave(findings).sort()).toEqual(['check:_s', 'check:_t']);
      expect(named(findings, 'check:_t')?.remedy).toMatch(/"typesAttribute"/);
      const renamed = await t.open({ typesAttribute: 'co_types', stampAttribute: 'co_stamp' });
      expect(grave(await inspect(renamed))).toEqual([]);
      expect((await renamed.get(entry(1).id, entry(1).key))?.value).toMatchObject({ _t: 'User' });
    });

    it.for(['PutItem', 'UpdateItem', 'DeleteItem', 'GetItem', 'BatchGetItem', 'Query', 'Scan', 'DescribeTable'])(
      'names a permission that is missing: %s',
      async (operation) => {
        const store = await t.fresh();
        t.proxy.plan = (seen) => (seen.operation === operation ? DENIED : { kind: 'pass' });
        const findings = await inspect(store);
        expect(grave(findings)).toEqual([`permission:${operation}`]);
        expect(named(findings, `permission:${operation}`)).toMatchObject({ kind: 'permission', level: 'problem' });
        expect(JSON.stringify(findings)).not.toContain('arn:');
      },
    );

    it('tries permissions on keys of every type without writing anything', async () => {
      for (const type of ['text', 'number', 'bytes'] as const) {
        t.table = await t.server.table(['userKey', type], ['id', type]);
        expect(grave(await inspect(await t.open())), type).toEqual([]);
        expect(await t.items()).toEqual([]);
      }
    });

    it.runIf(local)(
      'says that inserts by PartiQL are denied, as a request or as a statement; backfills do without',
      async () => {
        const store = await t.fresh();
        expect(named(await inspect(store), 'permission:PartiQLInsert')).toBeUndefined();
        const statement = {
          Responses: [{ Error: { Code: 'AccessDenied', Message: 'User: arn:aws:iam::1:user/u is not …' } }],
        };
        for (const fault of [DENIED, { kind: 'answer', status: 200, body: statement } as const]) {
          t.proxy.plan = ({ operation }) => (operation === 'BatchExecuteStatement' ? fault : { kind: 'pass' });
          const findings = await inspect(store);
          expect(grave(findings)).toEqual([]);
          expect(named(findings, 'permission:PartiQLInsert')).toMatchObject({
            level: 'info',
            message: expect.stringMatching(/dynamodb:PartiQLInsert.*one by one/),
          });
          expect(JSON.stringify(findings)).not.toContain('arn:');
        }
      },
    );

    it.runIf(local)('says that transactions are denied, where batches are to be put so', async () => {
      const store = await t.fresh({ inserts: 'transactions' });
      t.proxy.plan = ({ operation }) => (operation === 'BatchExecuteStatement' ? DENIED : { kind: 'pass' });
      expect(await inspect(store)).toEqual(await inspect(await t.open({ endpoint: t.server.endpoint })));
      t.proxy.plan = ({ operation }) => (operation === 'TransactWriteItems' ? DENIED : { kind: 'pass' });
      const findings = await inspect(store);
      expect(grave(findings)).toEqual([]);
      expect(named(findings, 'permission:TransactWriteItems')).toMatchObject({
        level: 'info',
        message: expect.stringMatching(/dynamodb:PutItem.*one by one/),
      });
      expect(await t.items()).toEqual([]);
    });

    it.runIf(!local)('says that there is no PartiQL, and that there are no transactions', async () => {
      expect(named(await inspect(await t.fresh()), 'version:PartiQLInsert')?.level).toBe('info');
      const store = await t.fresh({ inserts: 'transactions' });
      expect(named(await inspect(store), 'version:TransactWriteItems')?.level).toBe('info');
    });

    it('says that time to live cannot be seen, as a risk', async () => {
      const store = await t.fresh();
      t.proxy.plan = ({ operation }) => (operation === 'DescribeTimeToLive' ? DENIED : { kind: 'pass' });
      expect(grave(await inspect(store))).toEqual(['permission:DescribeTimeToLive']);
    });

    it('says that clocks differ', async () => {
      await t.fresh();
      const clock = { ...systemClock, now: () => systemClock.now() + 60_000 };
      const store = await t.open({}, KEYS, { clock });
      expect(named(await inspect(store), 'clock:host')?.message).toMatch(/(?:59|60) s ahead of the server's/);
    });

    it('says that a client which was given sends again by itself', async () => {
      await t.fresh();
      const { endpoint } = t.server;
      const client = new DynamoDBClient({ endpoint, region: 'local', credentials: CREDENTIALS, maxAttempts: 4 });
      expect(grave(await inspect(await t.open({ client })))).toEqual(['version:client-retries']);
      client.destroy();
    });

    it('of a server that does not answer is a fault', async () => {
      const proxy = await FaultyHttpProxy.start(t.server.port);
      const store = await t.create({ endpoint: proxy.endpoint, maxAttempts: 1 });
      await proxy.stop();
      await expect(store.inspect()).rejects.toThrow(StoreFault);
    });
  });

  describe('secrets', () => {
    it('are in nothing that a fault carries, whatever its cause', async () => {
      await t.fresh();
      const secrets = { accessKeyId: 'AKIASEEKRETID', secretAccessKey: 'seekretKEY', sessionToken: 'seekretTOKEN' };
      const store = await t.open({ credentials: secrets, maxAttempts: 1 });
      const faults: unknown[] = [];
      const keep = async (call: Promise<unknown>) => faults.push(await call.catch((error: unknown) => error));
      for (const plan of [
        DENIED,
        { kind: 'cut' },
        { kind: 'answer', status: 500, body: { __type: 'InternalServerError' } },
        { kind: 'answer', status: 400, body: { __type: 'x#ValidationException', message: 'bad' } },
        { kind: 'answer', status: 200, body: 'no object' },
      ] as const) {
        t.proxy.plan = () => plan;
        await keep(store.putIfNewer(entry(10), later(store)));
        await keep(store.get(entry(10).id, entry(10).key));
        await keep(store.inspect());
      }
      t.proxy.heal();
      const { inspect: print } = await import('node:util');
      const seen = faults.map((fault) => print(fault, { depth: 12, showHidden: true, getters: true })).join('\n');
      expect(faults.filter((fault) => fault instanceof StoreFault).length).toBeGreaterThan(8);
      for (const text of [seen, JSON.stringify(faults), print(store, { depth: 3 })])
        expect(text).not.toMatch(/seekret/i);
    });
  });
});

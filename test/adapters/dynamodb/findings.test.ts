import type { TableDescription } from '@aws-sdk/client-dynamodb';
import { describe, expect, it } from 'vitest';
import { awsCommand } from '../../../adapters/dynamodb/aws-command.ts';
import { classify } from '../../../adapters/dynamodb/faults.ts';
import { findingsOf, type Seen } from '../../../adapters/dynamodb/findings.ts';
import { type DynamoDbOptions, resolveOptions } from '../../../adapters/dynamodb/options.ts';

const OPTIONS: DynamoDbOptions = { table: 'events', partitionKey: 'userKey', region: 'eu-west-1' };
const TABLE: TableDescription = {
  TableStatus: 'ACTIVE',
  KeySchema: [{ AttributeName: 'userKey', KeyType: 'HASH' }],
  AttributeDefinitions: [{ AttributeName: 'userKey', AttributeType: 'S' }],
  BillingModeSummary: { BillingMode: 'PAY_PER_REQUEST' },
  DeletionProtectionEnabled: true,
};
const SEEN: Seen = {
  timeToLive: { TimeToLiveStatus: 'DISABLED' },
  pointInTimeRecovery: true,
  clockOffsetMs: 0,
  foreign: [],
  denied: [],
  inserts: { what: 'inserts', finding: 'Insert', permission: 'the action Insert', are: 'allowed' },
  tellsWhatItMet: true,
  attempts: 1,
};

const find = (table: TableDescription = {}, seen: Partial<Seen> = {}) =>
  findingsOf({ ...TABLE, ...table }, { ...SEEN, ...seen }, resolveOptions(OPTIONS), ['userKey']);

// What the servers of the tests cannot be brought to say.
describe('findings', () => {
  it('of a table in order are none', () => {
    expect(find()).toEqual([]);
  });

  it.for<[string, TableDescription, Partial<Seen>, object]>([
    [
      'a global table in which the last writer wins',
      { Replicas: [{ RegionName: 'eu-west-1' }, { RegionName: 'us-east-1' }], MultiRegionConsistency: 'EVENTUAL' },
      {},
      { name: 'topology:global-table', level: 'risk', message: expect.stringContaining('eu-west-1, us-east-1') },
    ],
    [
      'a global table of the time before there was a choice',
      { Replicas: [{ RegionName: 'eu-west-1' }] },
      {},
      { name: 'topology:global-table', level: 'risk' },
    ],
    [
      'a global table with strong consistency',
      { Replicas: [{ RegionName: 'eu-west-1' }], MultiRegionConsistency: 'STRONG' },
      {},
      { name: 'topology:global-table', level: 'info', remedy: '' },
    ],
    [
      'a ceiling on demand',
      { OnDemandThroughput: { MaxWriteRequestUnits: 100, MaxReadRequestUnits: -1 } },
      {},
      { name: 'capacity:table', level: 'risk', message: expect.stringContaining('at most 100 write units') },
    ],
    [
      'a table that is going',
      { TableStatus: 'DELETING' },
      {},
      {
        name: 'topology:status',
        level: 'problem',
        remedy: 'aws dynamodb wait table-exists --table-name events --region eu-west-1',
      },
    ],
    ['no recovery', {}, { pointInTimeRecovery: false }, { name: 'topology:backups', level: 'info' }],
    [
      'time to live that is being switched on',
      {},
      { timeToLive: { TimeToLiveStatus: 'ENABLING', AttributeName: 'exp' } },
      { name: 'ttl:exp', level: 'risk' },
    ],
    [
      'a clock ahead',
      {},
      { clockOffsetMs: -7_400 },
      { name: 'clock:host', message: expect.stringContaining('7 s ahead of') },
    ],
    [
      'a clock behind',
      {},
      { clockOffsetMs: 2_000 },
      { name: 'clock:host', message: expect.stringContaining('2 s behind') },
    ],
    [
      'a local index',
      {
        AttributeDefinitions: [{ AttributeName: 'at', AttributeType: 'N' }],
        LocalSecondaryIndexes: [
          {
            IndexName: 'by-time',
            KeySchema: [
              { AttributeName: 'userKey', KeyType: 'HASH' },
              { AttributeName: 'at', KeyType: 'RANGE' },
            ],
          },
        ],
      },
      {},
      { name: 'index:by-time', level: 'risk', message: expect.stringContaining('"at" to be a number') },
    ],
  ])('name %s', ([, table, seen, expected]) => {
    expect(find(table, seen)).toEqual([expect.objectContaining(expected)]);
  });

  it('have names of their own, a remedy where something is to be done, and no place of a secret', () => {
    const findings = find(
      { Replicas: [{ RegionName: 'r' }], TableStatus: 'ARCHIVED', KeySchema: [], DeletionProtectionEnabled: false },
      { denied: ['PutItem', 'Scan'], foreign: [{ attribute: '_t', option: 'typesAttribute' }], attempts: 3 },
    );
    expect(new Set(findings.map(({ name }) => name)).size).toBe(findings.length);
    for (const { level, remedy, name } of findings) expect(remedy === '', name).toBe(level === 'info');
  });

  it('give commands that a shell takes as they are, without what an endpoint carries besides its place', () => {
    const options = resolveOptions({ ...OPTIONS, endpoint: 'http://user:seekret@127.0.0.1:8000/x?token=seekret' });
    expect(awsCommand(options, 'scan', ["it's", 'a b', ''])).toBe(
      "aws dynamodb scan --table-name events 'it'\\''s' 'a b' '' --region eu-west-1 --endpoint-url http://127.0.0.1:8000",
    );
  });
});

describe('errors of the driver', () => {
  it.for<[string, object, object]>([
    ['throttling', { name: 'ThrottlingException' }, { outcome: 'nothing-written', pressure: true, passing: true }],
    ['too many requests', { name: 'X', $metadata: { httpStatusCode: 429 } }, { pressure: true, passing: true }],
    [
      'a signature refused for our clock, which the driver has put right',
      { name: 'InvalidSignatureException', $metadata: { httpStatusCode: 403, clockSkewCorrected: true } },
      { outcome: 'nothing-written', pressure: false, passing: true },
    ],
    [
      'a signature refused for good',
      { name: 'InvalidSignatureException', $metadata: { httpStatusCode: 403 } },
      { outcome: 'nothing-written', passing: false },
    ],
    ['no connection', { name: 'Error', code: 'ECONNREFUSED' }, { outcome: 'nothing-written', passing: false }],
    ['a connection cut', { name: 'Error', code: 'ECONNRESET' }, { outcome: 'unknown', passing: false }],
    ['a server in trouble', { name: 'X', $metadata: { httpStatusCode: 503 } }, { outcome: 'unknown', pressure: true }],
    ['what nobody knows', {}, { outcome: 'unknown', passing: false }],
  ])('%s', ([, error, verdict]) => {
    expect(classify(error)).toMatchObject(verdict);
  });
});

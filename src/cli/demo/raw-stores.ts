import { isDeepStrictEqual } from 'node:util';
import { type AttributeValue, DynamoDBClient, ScanCommand } from '@aws-sdk/client-dynamodb';
import Database from 'better-sqlite3';
import type { FinalRecord } from './audit.ts';
import { LOCAL_DYNAMODB, TABLE } from './demo-config.ts';
import { type EventKey, eventOf } from './events.ts';
import { keyText } from './journal.ts';

/*
 * What the stores hold, read with their drivers alone: the audit must not believe the adapters that it audits.
 */

/** Every record of the old store. */
export function readOldStore(path: string): ReadonlyMap<string, FinalRecord> {
  const database = new Database(path, { readonly: true });
  try {
    const rows = database.prepare(`SELECT * FROM ${TABLE}`).iterate() as Iterable<Record<string, unknown>>;
    const records = new Map<string, FinalRecord>();
    for (const row of rows) {
      const { user_key, received_at, last_write, document, action, ...rest } = row;
      const fields = JSON.parse(String(document)) as Record<string, unknown>;
      add(records, {
        userKey: user_key,
        receivedAt: received_at,
        lastWrite: last_write,
        ...(action === null ? {} : { action }),
        ...rest,
        ...fields,
      });
    }
    return records;
  } finally {
    database.close();
  }
}

/** Every record of the new store; what changeover marked as deleted is none. */
export async function readNewStore(endpoint: string): Promise<ReadonlyMap<string, FinalRecord>> {
  const client = new DynamoDBClient({ ...LOCAL_DYNAMODB, endpoint });
  try {
    const records = new Map<string, FinalRecord>();
    let start: Record<string, AttributeValue> | undefined;
    do {
      const page = await client.send(
        new ScanCommand({ TableName: TABLE, ConsistentRead: true, ...(start && { ExclusiveStartKey: start }) }),
      );
      for (const item of page.Items ?? []) {
        const { _s, _s_deleted, ...attributes } = item;
        if (_s_deleted === undefined) add(records, plainMap(attributes));
      }
      start = page.LastEvaluatedKey;
    } while (start !== undefined);
    return records;
  } finally {
    client.destroy();
  }
}

function add(records: Map<string, FinalRecord>, record: Readonly<Record<string, unknown>>): void {
  const { lastWrite, deliveries, receivedAt } = record;
  const key: EventKey = { userKey: String(record['userKey']), id: String(record['id']) };
  const write = { lastWrite: String(lastWrite), deliveries: Number(deliveries), receivedAt: String(receivedAt) };
  const expected = eventOf(key, write);
  records.set(keyText(key), {
    write: write.lastWrite,
    count: write.deliveries,
    fault: isDeepStrictEqual(record, expected)
      ? null
      : `the record is not what was written: ${wrongFields(record, expected ?? {})}`,
  });
}

const wrongFields = (record: object, expected: object): string => {
  const fields = new Set([...Object.keys(record), ...Object.keys(expected)]);
  const at = (from: object, field: string): unknown => (from as Record<string, unknown>)[field];
  return [...fields].filter((field) => !isDeepStrictEqual(at(record, field), at(expected, field))).join(', ');
};

const plainMap = (map: Readonly<Record<string, AttributeValue>>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(map).map(([name, value]) => [name, plain(value)]));

/** The attribute types that JSON needs; any other is none of ours. */
function plain(value: AttributeValue): unknown {
  if (value.S !== undefined) return value.S;
  if (value.N !== undefined) return Number(value.N);
  if (value.BOOL !== undefined) return value.BOOL;
  if (value.NULL !== undefined) return null;
  if (value.L !== undefined) return value.L.map(plain);
  if (value.M !== undefined) return plainMap(value.M);
  return `an attribute of type ${Object.keys(value).join()}`;
}

import type { TableDescription, TimeToLiveDescription } from '@aws-sdk/client-dynamodb';
import type { Finding } from '../../src/core/store.ts';
import { awsCommand, createTable } from './aws-command.ts';
import type { InsertWay } from './insert-way.ts';
import type { ResolvedOptions } from './options.ts';
import { indexKeysOf, keySchemaOf, USABLE } from './table.ts';

/** What a preflight saw of a table, beside its description. `unknown`: this server does not tell. */
export interface Seen {
  readonly timeToLive: TimeToLiveDescription | 'unknown';
  readonly pointInTimeRecovery: boolean | 'unknown';
  readonly clockOffsetMs: number;
  /** Reserved attributes that items of others have: each with the option that gives it another name. */
  readonly foreign: readonly { readonly attribute: string; readonly option: string }[];
  /** Operations of which the credentials may not do what changeover has to. */
  readonly denied: readonly string[];
  /** Whether batches can be inserted in the way that was chosen, or why not. */
  readonly inserts: Pick<InsertWay, 'what' | 'finding' | 'permission'> & {
    readonly are: 'allowed' | 'denied' | 'unsupported';
  };
  /** Whether the server says what a failed condition met; null: there was no item to ask with. */
  readonly tellsWhatItMet: boolean | null;
  /** How often the client that was given sends by itself. */
  readonly attempts: number;
}

/** From here on a clock is worth a word; what its header cannot show is less than a second. */
const NOTABLE_OFFSET_MS = 2_000;

const info = (name: string, kind: Finding['kind'], message: string): Finding => ({
  name: `${kind}:${name}`,
  kind,
  level: 'info',
  message,
  remedy: '',
});

export function missingTable(options: ResolvedOptions): Finding {
  return {
    name: 'missing:table',
    kind: 'missing',
    level: 'problem',
    message: `there is no table "${options.table}"`,
    remedy: options.createTable === null ? createTable(options) : 'changeover prepare',
  };
}

export const denied = (operation: string, level: Finding['level'] = 'problem'): Finding => ({
  name: `permission:${operation}`,
  kind: 'permission',
  level,
  message: `the credentials may not do ${operation} on the table`,
  remedy: `allow the action dynamodb:${operation} on the table, in the policy of the role or user`,
});

/** Everything that a table's description and the rest that was seen give rise to. Pure. */
export function findingsOf(
  table: TableDescription,
  seen: Seen,
  options: ResolvedOptions,
  keys: readonly string[],
): Finding[] {
  return [
    ...ofKey(table, options, keys),
    ...ofStatus(table, options),
    ...seen.denied.map((operation) => denied(operation, operation === 'DescribeTimeToLive' ? 'risk' : 'problem')),
    ...ofInserts(seen),
    ...ofForeign(seen),
    ...ofCapacity(table, options),
    ...ofTimeToLive(seen, options),
    ...ofIndexes(table, options, keys),
    ...ofReplicas(table),
    ...ofClient(seen),
    ...ofClock(seen),
    ...ofSafety(table, seen),
  ];
}

function ofKey(table: TableDescription, options: ResolvedOptions, keys: readonly string[]): Finding[] {
  const schema = keySchemaOf(table);
  if (schema.map(({ attribute }) => attribute).join('\n') === keys.join('\n')) return [];
  return [
    {
      name: 'missing:key-schema',
      kind: 'missing',
      level: 'problem',
      message: `the key of the table is ${schema.map(({ attribute, type }) => `${attribute} (${type})`).join(', ')}, not ${keys.join(', ')}`,
      remedy: `name its attributes with "partitionKey", "sortKey" and "attributes", or make another table: ${createTable(options)}`,
    },
  ];
}

function ofStatus({ TableStatus = 'ACTIVE' }: TableDescription, options: ResolvedOptions): Finding[] {
  if (USABLE.has(TableStatus)) return [];
  const message = `the table is ${TableStatus}`;
  return [
    {
      name: 'topology:status',
      kind: 'topology',
      level: 'problem',
      message,
      remedy: awsCommand(options, 'wait table-exists'),
    },
  ];
}

function ofInserts({ inserts: { are, what, finding, permission } }: Seen): Finding[] {
  if (are === 'allowed') return [];
  const [kind, why] =
    are === 'denied'
      ? (['permission', `the credentials lack ${permission} on the table`] as const)
      : (['version', `${what} are not to be had here`] as const);
  return [info(finding, kind, `${why}: a backfill puts records one by one, which is several times as slow`)];
}

function ofForeign({ foreign }: Seen): Finding[] {
  return foreign.map(({ attribute, option }) => ({
    name: `check:${attribute}`,
    kind: 'check',
    level: 'problem',
    message: `items have an attribute "${attribute}" of their own, which is the name of one that changeover writes`,
    remedy: `give changeover's another name with "${option}"`,
  }));
}

/** Provisioned, or on demand with a ceiling: beyond it the table throttles. */
function ofCapacity(table: TableDescription, options: ResolvedOptions): Finding[] {
  const remedy = awsCommand(options, 'update-table', ['--billing-mode', 'PAY_PER_REQUEST']);
  const risk = (name: string, what: string): Finding => ({
    name,
    kind: 'capacity',
    level: 'risk',
    message: `${what}; beyond that DynamoDB throttles, and mirrored writes are late or left to a repair`,
    remedy,
  });
  const provisioned = table.BillingModeSummary?.BillingMode !== 'PAY_PER_REQUEST';
  const findings: Finding[] = [];
  const units = table.ProvisionedThroughput;
  if (provisioned && units?.WriteCapacityUnits) {
    const { WriteCapacityUnits: writes, ReadCapacityUnits: reads } = units;
    findings.push(
      risk(
        'capacity:table',
        `the table is provisioned for ${writes} write units and ${reads ?? 0} read units a second`,
      ),
    );
    for (const { IndexName = '', ProvisionedThroughput: own } of table.GlobalSecondaryIndexes ?? []) {
      if ((own?.WriteCapacityUnits ?? writes) >= writes) continue;
      const what = `the index "${IndexName}" is provisioned for ${own?.WriteCapacityUnits} write units a second, fewer than its table`;
      findings.push(risk(`capacity:index:${IndexName}`, what));
    }
  }
  const most = table.OnDemandThroughput?.MaxWriteRequestUnits ?? -1;
  if (most > 0) findings.push(risk('capacity:table', `the table takes at most ${most} write units a second`));
  return findings;
}

function ofTimeToLive({ timeToLive }: Seen, options: ResolvedOptions): Finding[] {
  if (timeToLive === 'unknown') return [];
  const { TimeToLiveStatus: status, AttributeName: attribute = '' } = timeToLive;
  if (status !== 'ENABLED' && status !== 'ENABLING') return [];
  const off = ['--time-to-live-specification', `Enabled=false,AttributeName=${attribute}`];
  return [
    {
      name: `ttl:${attribute}`,
      kind: 'ttl',
      level: 'risk',
      message: `DynamoDB deletes items by their attribute "${attribute}", stamps included, which no replay can see`,
      remedy: awsCommand(options, 'update-time-to-live', off),
    },
  ];
}

/** An index refuses items whose attribute is empty, too long or of another type. */
function ofIndexes(table: TableDescription, options: ResolvedOptions, keys: readonly string[]): Finding[] {
  const limits = new Map(keys.map((attribute, i) => [attribute, i === 0 ? 2048 : 1024]));
  const narrowing = indexKeysOf(table).filter(({ attribute, type, maxBytes }) =>
    limits.has(attribute) ? type !== 'N' && maxBytes < (limits.get(attribute) ?? 0) : true,
  );
  const globals = new Set(table.GlobalSecondaryIndexes?.map(({ IndexName }) => IndexName));
  return [...Map.groupBy(narrowing, ({ index }) => index)].map(([index, parts]) => {
    const wants = parts.map(({ attribute, type, maxBytes }) =>
      type === 'N' ? `"${attribute}" to be a number` : `"${attribute}" to have 1 to ${maxBytes} bytes (${type})`,
    );
    const change = JSON.stringify([{ Delete: { IndexName: index } }]);
    return {
      name: `index:${index}`,
      kind: 'index',
      level: 'risk',
      message: `the index "${index}" asks ${wants.join(' and ')} wherever there is one; other records are rejected`,
      remedy: globals.has(index)
        ? awsCommand(options, 'update-table', ['--global-secondary-index-updates', change])
        : 'accept it by name if all records fit; a local index goes only with its table',
    };
  });
}

function ofReplicas({ Replicas = [], MultiRegionConsistency: consistency }: TableDescription): Finding[] {
  if (Replicas.length === 0) return [];
  const regions = Replicas.map(({ RegionName }) => RegionName).join(', ');
  if (consistency === 'STRONG') {
    return [info('global-table', 'topology', `a global table with strong consistency, replicated to ${regions}`)];
  }
  return [
    {
      name: 'topology:global-table',
      kind: 'topology',
      level: 'risk',
      message: `a global table, replicated to ${regions}: between regions the last writer wins, whatever its stamp or condition`,
      remedy: 'let all processes write through one region, then accept this by name',
    },
  ];
}

function ofClient({ attempts, tellsWhatItMet }: Seen): Finding[] {
  const findings: Finding[] = [];
  if (attempts > 1) {
    findings.push({
      name: 'version:client-retries',
      kind: 'version',
      level: 'risk',
      message: `the client that was given sends up to ${attempts} times by itself, plain writes included, which may be applied twice`,
      remedy: 'make the client with maxAttempts: 1; changeover sends again where that is safe',
    });
  }
  if (tellsWhatItMet === false) {
    findings.push(
      info('return-values', 'version', 'the server does not say what a failed condition met: one more read each time'),
    );
  }
  return findings;
}

function ofClock({ clockOffsetMs }: Seen): Finding[] {
  if (Math.abs(clockOffsetMs) < NOTABLE_OFFSET_MS) return [];
  const way = clockOffsetMs > 0 ? 'behind' : 'ahead of';
  const seconds = Math.round(Math.abs(clockOffsetMs) / 1_000);
  return [
    info(
      'host',
      'clock',
      `the clock of this host is ${seconds} s ${way} the server's; deadlines are corrected by that`,
    ),
  ];
}

function ofSafety(table: TableDescription, { pointInTimeRecovery }: Seen): Finding[] {
  const findings: Finding[] = [];
  if (table.StreamSpecification?.StreamEnabled === true) {
    const message = 'the table has a stream: its readers see mirrored writes, stamps and tombstones too';
    findings.push(info('stream', 'trigger', message));
  }
  if (table.DeletionProtectionEnabled === false) {
    findings.push(info('deletion-protection', 'topology', 'nothing protects the table from being deleted'));
  }
  if (pointInTimeRecovery === false) {
    findings.push(info('backups', 'topology', 'point-in-time recovery is off: an item once lost is lost'));
  } else if (pointInTimeRecovery === 'unknown') {
    findings.push(info('backups', 'topology', 'this server does not tell whether there are backups'));
  }
  return findings;
}

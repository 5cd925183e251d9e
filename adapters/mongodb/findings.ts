import type { Document, IndexDescriptionInfo } from 'mongodb';
import type { Finding } from '../../src/core/store.ts';
import type { ResolvedOptions } from './options.ts';

/** What a preflight saw of a server and a collection. */
export interface Seen {
  /** `6.0.27` */
  readonly version: string;
  readonly topology: 'replica set' | 'standalone' | 'sharded cluster';
  /** Of listCollections; null: there is no such collection. */
  readonly collection: Document | null;
  readonly unfit: string | null;
  readonly indexes: readonly IndexDescriptionInfo[];
  /** The index that lists need and that is missing; null: nothing is missing. */
  readonly listIndex: Readonly<Record<string, 1>> | null;
  readonly viewMissing: boolean;
  readonly besideFields: readonly string[];
  /** Actions that the user may not do. */
  readonly denied: readonly string[];
  readonly clockAheadMs: number;
}

/** From here on a clock is worth a word. */
const NOTABLE_OFFSET_MS = 2_000;
const PREPARE = 'changeover prepare';

const info = (name: string, kind: Finding['kind'], message: string): Finding => ({
  name,
  kind,
  level: 'info',
  message,
  remedy: '',
});

/** Everything that the things seen give rise to. Pure. */
export function findingsOf(seen: Seen, options: ResolvedOptions): Finding[] {
  return [
    ...ofVersion(seen),
    ...ofTopology(seen),
    ...ofCollection(seen, options),
    ...seen.denied.map((action) => ofDenied(action, options)),
    ...seen.indexes.flatMap((index) => [...ofUnique(index, seen, options), ...ofTimeToLive(index, options)]),
    ...ofValidator(seen, options),
    ...ofListIndex(seen, options),
    ...ofView(seen, options),
    ...ofClock(seen),
  ];
}

const call = (options: ResolvedOptions, method: string): string =>
  `db.getSiblingDB(${JSON.stringify(options.database)}).getCollection(${JSON.stringify(options.collection)}).${method}`;

function ofVersion({ version }: Seen): Finding[] {
  const major = Number.parseInt(version, 10);
  if (major < 5) {
    const message = `MongoDB ${version} cannot hold field names with $ or dots unchanged, nor write them under guard`;
    return [
      {
        name: 'version:server',
        kind: 'version',
        level: 'problem',
        message,
        remedy: 'upgrade the server to 5.0 or later',
      },
    ];
  }
  if (major > 5) return [];
  return [
    info('version:server', 'version', `MongoDB ${version} has no $documents stage: batches are put about half as fast`),
  ];
}

function ofTopology({ topology }: Seen): Finding[] {
  if (topology === 'sharded cluster') {
    const message = 'the server is a router of a sharded cluster, whose clock is not that of the shards that write';
    const remedy = 'use a replica set, or a standalone server';
    return [{ name: 'topology:sharded', kind: 'topology', level: 'problem', message, remedy }];
  }
  if (topology === 'replica set') return [];
  const message =
    'the server stands alone: what it acknowledged is safe as long as its disk is, and nothing takes its place';
  return [info('topology:standalone', 'topology', message)];
}

function ofCollection({ collection, unfit }: Seen, options: ResolvedOptions): Finding[] {
  if (collection === null) {
    const message = `there is no collection "${options.collection}" in the database "${options.database}"`;
    return [{ name: `collection:${options.collection}`, kind: 'missing', level: 'problem', message, remedy: PREPARE }];
  }
  if (unfit === null) return [];
  const remedy = 'move the documents to an ordinary collection with the simple collation';
  return [
    {
      name: `collection:${options.collection}`,
      kind: 'topology',
      level: 'problem',
      message: `the collection is ${unfit}`,
      remedy,
    },
  ];
}

function ofDenied(action: string, options: ResolvedOptions): Finding {
  const optional = action === 'createIndex' || action === 'bypassDocumentValidation';
  const resource = `{ db: ${JSON.stringify(options.database)}, collection: ${JSON.stringify(options.collection)} }`;
  const why =
    action === 'bypassDocumentValidation' ? ', so that the validator refuses the tombstones of deleted records' : '';
  return {
    name: `permission:${action}`,
    kind: 'permission',
    level: optional ? 'risk' : 'problem',
    message: `the user may not do ${action} on the collection${why}`,
    remedy: `grant a role with { resource: ${resource}, actions: [${JSON.stringify(action)}] }`,
  };
}

function ofUnique(index: IndexDescriptionInfo, { besideFields }: Seen, options: ResolvedOptions): Finding[] {
  const paths = Object.keys(index.key);
  const name = index.name ?? paths.join('_');
  // With the whole _id in it, nothing but the key itself can collide.
  if (index.unique !== true || paths.includes('_id') || (paths.length === 1 && paths[0] === '_id')) return [];
  const alone = paths.every((path) => besideFields.includes(path));
  const kept = alone ? '; a deleted record keeps its place in it, because its tombstone holds its key' : '';
  return [
    {
      name: `unique:${name}`,
      kind: 'unique',
      level: 'risk',
      message: `the index "${name}" allows each ${paths.join(', ')} once, and entries do not arrive in their order${kept}`,
      remedy: call(options, `dropIndex(${JSON.stringify(name)})`),
    },
  ];
}

function ofTimeToLive(index: IndexDescriptionInfo, options: ResolvedOptions): Finding[] {
  if (index.expireAfterSeconds === undefined) return [];
  const { name = '' } = index;
  return [
    {
      name: `ttl:${name}`,
      kind: 'ttl',
      level: 'risk',
      message: `the index "${name}" deletes documents by itself, without a tombstone: a replay would bring them back`,
      remedy: call(options, `dropIndex(${JSON.stringify(name)})`),
    },
  ];
}

function ofValidator({ collection }: Seen, options: ResolvedOptions): Finding[] {
  const settings = (collection?.['options'] ?? {}) as Document;
  const validator = (settings['validator'] ?? {}) as Document;
  if (Object.keys(validator).length === 0 || settings['validationLevel'] === 'off') return [];
  if (settings['validationAction'] === 'warn') {
    return [info('check:validator', 'check', 'the collection has a validator, which only warns')];
  }
  const schema = (validator['$jsonSchema'] ?? {}) as Document;
  const { stamp, tombstone } = options.reserved;
  const properties = (schema['properties'] ?? {}) as Document;
  if (schema['additionalProperties'] === false && !Object.hasOwn(properties, stamp)) {
    return [
      {
        name: 'check:validator',
        kind: 'check',
        level: 'problem',
        message: `the validator allows no other fields than its own, and so not the stamp`,
        remedy: `allow "${stamp}" (binData) and "${tombstone}" (bool) in its properties: db.runCommand({ collMod: ${JSON.stringify(options.collection)}, validator: … })`,
      },
    ];
  }
  const remedy = `db.runCommand({ collMod: ${JSON.stringify(options.collection)}, validationAction: "warn" })`;
  const message = 'the collection has a validator, which may refuse records that the other store holds';
  return [{ name: 'check:validator', kind: 'check', level: 'risk', message, remedy }];
}

function ofListIndex({ listIndex }: Seen, options: ResolvedOptions): Finding[] {
  if (listIndex === null) return [];
  return [
    {
      name: 'index:list',
      kind: 'index',
      level: 'risk',
      message: 'no index gives the records of a unit in the order of their keys: each list reads the whole collection',
      remedy: call(options, `createIndex(${JSON.stringify(listIndex)})`),
    },
  ];
}

function ofView({ viewMissing }: Seen, options: ResolvedOptions): Finding[] {
  if (!viewMissing) return [];
  return [info(`view:${options.view}`, 'missing', `there is no view "${options.view}" yet; \`${PREPARE}\` makes it`)];
}

function ofClock({ clockAheadMs }: Seen): Finding[] {
  if (Math.abs(clockAheadMs) < NOTABLE_OFFSET_MS) return [];
  const seconds = Math.round(Math.abs(clockAheadMs) / 1_000);
  const where = clockAheadMs > 0 ? 'ahead of' : 'behind';
  return [
    info(
      'clock:offset',
      'clock',
      `the server's clock is ${seconds} s ${where} this machine's; deadlines follow the server's`,
    ),
  ];
}

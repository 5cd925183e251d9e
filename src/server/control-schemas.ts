import { SPANS } from '../control/series.ts';
import { LATENCY_BUCKETS } from '../core/traffic.ts';
import { RAMP_PLAN } from './ramp-schemas.ts';
import {
  ANY,
  array,
  BOOLEAN,
  COUNT,
  ID,
  MS,
  NAME,
  nullable,
  object,
  oneOf,
  POSITION,
  POSITIONS,
  REASON,
  REVISION,
  type Schema,
  SIDE,
  STAMP,
  THRESHOLD,
  text,
  whole,
} from './schemas.ts';

/** The parts of the control plane's calls, as processes and controllers send them. */

/** Whoever calls passes more along, of which nothing is taken. */
const LOOSE: Schema = { additionalProperties: true };

const WHO = { actor: text(500), reason: REASON };

export const AUTHORSHIP: Schema = object(WHO, LOOSE);

/** A key as JSON: strings, numbers and booleans stand for themselves. */
const KEY: Schema = {
  type: 'object',
  minProperties: 1,
  additionalProperties: {
    anyOf: [
      { type: 'string' },
      { type: 'number' },
      { type: 'boolean' },
      object({ type: text(40, 1), text: { type: 'string' } }),
    ],
  },
};

const DIVERGENCE_KIND = oneOf('missing', 'extra', 'different', 'stale');
const DIRT_KIND = oneOf('lost', 'rejected');
const REPLAY_KIND = oneOf('backfill', 'repair');
const CAUSE = text(10_000);

const DIVERGENCE: Schema = object({
  migration: NAME,
  key: KEY,
  position: POSITION,
  kind: DIVERGENCE_KIND,
  cause: nullable(CAUSE),
  fields: array(object({ path: { type: 'string' }, 'old?': ANY, 'new?': ANY })),
  at: MS,
});

export const DIVERGENCES: Schema = array(DIVERGENCE);

const DIGEST = text(200, 1);

const NODE: Schema = object({
  host: text(500),
  pid: COUNT,
  processId: text(500),
  version: text(100),
  name: text(500),
  'commit?': text(100),
  'configured?': {
    type: 'object',
    propertyNames: NAME,
    additionalProperties: object({ key: DIGEST, old: nullable(DIGEST), new: nullable(DIGEST), mapping: DIGEST }),
  },
});

export const JOIN: Schema = object({
  session: text(200, 1),
  // What every control plane holds in its column.
  attempt: whole(0, 2 ** 31 - 1),
  node: NODE,
  migrations: { ...array(NAME, 1_000), uniqueItems: true },
  deadlineLimit: MS,
  stampLimit: STAMP,
});

/** `[bucket, calls]`, each bucket once. */
const HISTOGRAM: Schema = array({ type: 'array', items: COUNT, minItems: 2, maxItems: 2 }, LATENCY_BUCKETS);
const CALL_TOTALS: Schema = object({ count: COUNT, errors: COUNT, latency: HISTOGRAM });
const STORE_TRAFFIC: Schema = object({ read: CALL_TOTALS, write: CALL_TOTALS });
const TRAFFIC: Schema = object({ old: STORE_TRAFFIC, new: STORE_TRAFFIC });

const LIMIT: Schema = whole(1, 10_000);

export const DIVERGENCE_QUERY: Schema = object({
  'after?': COUNT,
  limit: LIMIT,
  'kind?': DIVERGENCE_KIND,
  'field?': text(1_000, 1),
  'key?': text(1_000, 1),
});

export const HISTORY_QUERY: Schema = object({
  'before?': ID,
  limit: LIMIT,
  'kinds?': array(text(40, 1), 40),
  'since?': MS,
  'until?': MS,
  'search?': text(200, 1),
});

export const SPAN = oneOf(...Object.keys(SPANS));

export const REPORT: Schema = object({
  incarnation: ID,
  'session?': text(200, 1),
  acknowledged: { type: 'object', propertyNames: NAME, additionalProperties: REVISION },
  dirt: array(
    object({
      migration: NAME,
      target: SIDE,
      kind: DIRT_KIND,
      position: POSITION,
      key: nullable(KEY),
      revision: REVISION,
      cause: CAUSE,
      notBefore: nullable(MS),
    }),
  ),
  divergences: DIVERGENCES,
  shadow: array(object({ migration: NAME, compared: COUNT, divergent: COUNT }), 1_000),
  deadlineLimit: MS,
  stampLimit: STAMP,
  health: object({
    mirrorQueue: COUNT,
    'mirrorQueues?': { type: 'object', propertyNames: NAME, additionalProperties: COUNT },
    shed: COUNT,
    operations: COUNT,
    errors: COUNT,
    memoryBytes: { type: 'number', minimum: 0 },
    aheadMs: { type: 'number' },
    highWater: STAMP,
  }),
  'traffic?': { type: 'object', propertyNames: NAME, additionalProperties: TRAFFIC },
});

const MOVE: Schema = {
  anyOf: [
    object({ dial: oneOf('dual-write', 'shadow-read', 'cutover'), to: THRESHOLD }),
    object({ dial: oneOf('retire-old'), to: BOOLEAN }),
  ],
};

/** What an inspection of a store found. */
const FINDINGS: Schema = array(
  object(
    {
      name: text(1_000, 1),
      kind: text(100),
      level: oneOf('info', 'risk', 'problem'),
      message: text(10_000),
      remedy: text(10_000),
    },
    LOOSE,
  ),
);

/** What only a caller with the stores knows. */
const EVIDENCE: Schema = object({
  prepared: nullable(object({ old: BOOLEAN, new: BOOLEAN })),
  findings: object({ old: nullable(FINDINGS), new: nullable(FINDINGS) }),
  mapping: text(200),
  'settledTo?': { type: 'number' },
});

export const MOVE_REQUEST: Schema = object(
  {
    ...WHO,
    // A preview's author stands nowhere.
    actor: text(500),
    migration: NAME,
    move: MOVE,
    evidence: EVIDENCE,
    force: BOOLEAN,
    dryRun: BOOLEAN,
    ifRevision: nullable(REVISION),
  },
  LOOSE,
);

export const RAMP_REQUEST: Schema = object({ ...WHO, migration: NAME, plan: RAMP_PLAN }, LOOSE);

export const BURIAL: Schema = object(
  { ...WHO, incarnation: ID, deadlineLimit: MS, notBefore: nullable(object({ old: MS, new: MS })) },
  LOOSE,
);

const PARTITION: Schema = {
  type: 'object',
  properties: { id: { type: 'string' } },
  required: ['id'],
  additionalProperties: { type: ['string', 'number', 'boolean', 'null'] },
};

const REPLAY = {
  ...WHO,
  migration: NAME,
  mapping: text(200, 1),
  runner: text(200, 1),
  leaseMs: { type: 'number', minimum: 0, maximum: 3_600_000 },
  estimate: nullable({ type: 'number', minimum: 0 }),
  sourceTime: { type: 'number', minimum: -8.64e15, maximum: 8.64e15 },
  partitions: array(PARTITION),
} as const;

/** A preload has a request of its own, which asks for more. */
export const REPLAY_REQUEST: Schema = object(
  { ...REPLAY, kind: REPLAY_KIND, target: SIDE, positions: nullable(POSITIONS), 'shared?': BOOLEAN },
  LOOSE,
);

export const PRELOAD_REQUEST: Schema = object({ ...REPLAY, evidence: EVIDENCE, dryRun: BOOLEAN }, LOOSE);

export const REPLAY_KINDS = oneOf('backfill', 'repair', 'preload');

const PROGRESS = {
  cursor: nullable(text(100_000)),
  done: BOOLEAN,
  scanned: COUNT,
  applied: COUNT,
  skipped: COUNT,
  rejected: COUNT,
  'eased?': nullable(text(500)),
};

export const CHECKPOINTS: Schema = array(object({ partition: ID, ...PROGRESS }));

const LEASE = { replay: ID, partition: ID, fence: COUNT };

/** Which lease of a partition is meant, by its holder and by somebody who found its process gone. */
export const HELD: Schema = object({ ...LEASE, runner: text(200, 1) });
export const ENDED: Schema = object(LEASE);

const LEASE_MS: Schema = { type: 'number', minimum: 0, maximum: 3_600_000 };

export const PARTITION_REQUEST: Schema = object({
  replay: ID,
  partition: nullable(ID),
  runner: text(200, 1),
  process: NODE,
  mapping: text(200, 1),
  leaseMs: LEASE_MS,
});

export const PARTITION_CHECKPOINT: Schema = object({
  ...LEASE,
  runner: text(200, 1),
  leaseMs: LEASE_MS,
  deadlineLimit: MS,
  point: nullable(object(PROGRESS)),
  census: nullable(object({ sampled: COUNT, losses: array(text(2_000)) })),
});

export const PROOF: Schema = object({
  migration: NAME,
  runner: text(200, 1),
  process: NODE,
  actor: text(500),
  leaseMs: LEASE_MS,
  instead: nullable(text(200, 1)),
});

export const REJECTED: Schema = object({ key: nullable(KEY), cause: CAUSE, revision: REVISION });

export const VERIFICATION: Schema = object({
  id: COUNT,
  migration: NAME,
  verdict: oneOf('consistent', 'divergent', 'inconclusive'),
  positions: POSITIONS,
  revision: REVISION,
  mapping: text(200),
  startedAt: MS,
  finishedAt: MS,
  expiresAt: MS,
  report: ANY,
});

export const CENSUS: Schema = object({
  id: COUNT,
  migration: NAME,
  mapping: text(200, 1),
  sampled: COUNT,
  exhaustive: BOOLEAN,
  losses: array(text(2_000)),
  report: ANY,
  startedAt: MS,
  finishedAt: MS,
});

const ACCEPTED = { ...WHO, migration: NAME, withdraw: BOOLEAN };

export const ACCEPT_REQUEST: Schema = {
  anyOf: [object({ ...ACCEPTED, finding: text(1_000, 1), side: SIDE }), object({ ...ACCEPTED, mapping: text(200, 1) })],
};

export const PAGE: Schema = object({ 'before?': ID, limit: { type: 'integer', minimum: 1, maximum: 10_000 } });

/** A token as it is stored; its secret is made, shown and forgotten by whoever creates it. */
export const NEW_TOKEN: Schema = object({
  name: text(100, 1),
  hash: { type: 'string', pattern: '^[0-9a-f]{64}$' },
  role: oneOf('viewer', 'service', 'operator', 'admin'),
  migrations: nullable(array(NAME, 1_000)),
  expiresAt: nullable(MS),
  createdBy: text(500),
});

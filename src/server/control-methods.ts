import type { ControlPlane, ControlPlaneApi, FleetRow } from '../control/control-plane.ts';
import type { MigrationStatus } from '../control/status.ts';
import type { Role } from '../control/storage.ts';
import { ChangeoverError, InvalidArgument } from '../core/errors.ts';
import { type Intervals, intervals } from '../core/intervals.ts';
import { type KeyJson, keyFromJson } from '../core/key-json.ts';
import * as calls from './control-schemas.ts';
import { partOf } from './gatekeeper.ts';
import {
  ANY,
  array,
  BOOLEAN,
  COHORT,
  COUNT,
  ID,
  MS,
  NAME,
  nullable,
  oneOf,
  POSITION,
  POSITIONS,
  REVISION,
  type Schema,
  SETTINGS,
  SIDE,
  text,
  whole,
} from './schemas.ts';

/** The arguments of a call by name, as the schema has let them through. */
export type Args = Readonly<Record<string, unknown>>;

/** One method of the control plane as it is called over HTTP. */
export interface ControlMethod {
  readonly role: Role;
  /** Its parameters in order; those with a `?` may be left out. */
  readonly params: Readonly<Record<string, Schema>>;
  /** The migrations that a call is about; null: the whole control plane, which a token for some may not touch. */
  readonly scope: (args: Args, plane: ControlPlaneApi) => Promise<readonly string[]> | readonly string[] | null;
  /** Where the call says who acts: the token's name goes there instead. */
  readonly author?: readonly [param: string, field: string];
  /** What no schema can say. @throws InvalidArgument */
  readonly check?: (args: Args) => void;
  /** The role that a call needs, where `role` is enough for some only. */
  readonly roleOf?: (args: Args) => Role;
  /** What a token for some migrations gets to see of the answer. */
  readonly share?: (answer: unknown, covers: (migration: string) => boolean) => unknown;
}

const part = (args: Args, name: string): Args => args[name] as Args;
const rows = (args: Args, name: string): readonly Args[] => args[name] as readonly Args[];

const byName: ControlMethod['scope'] = ({ name }) => [name as string];
const inPart =
  (param: string): ControlMethod['scope'] =>
  (args) => [part(args, param)['migration'] as string];
const listed =
  (param?: string): ControlMethod['scope'] =>
  (args) =>
    (param === undefined ? args : part(args, param))['migrations'] as readonly string[];
const byReplay: ControlMethod['scope'] = ({ replay }, plane) => plane.migrationsOf({ replay: replay as number });
const byReplayOf =
  (param: string): ControlMethod['scope'] =>
  (args, plane) =>
    plane.migrationsOf({ replay: part(args, param)['replay'] as number });
const everything: ControlMethod['scope'] = () => null;
/** The answer is shared out instead. */
const sharedOut: ControlMethod['scope'] = () => [];

/** Every migration that a report touches, and those of the process it speaks for. */
const inReport: ControlMethod['scope'] = async (args, plane) => {
  const report = part(args, 'report');
  const lines = ['dirt', 'divergences', 'shadow'].flatMap((list) => rows(report, list));
  return [
    ...(await plane.migrationsOf({ incarnation: report['incarnation'] as number })),
    ...Object.keys(part(report, 'acknowledged')),
    ...Object.keys((report['traffic'] as object | undefined) ?? {}),
    ...lines.map((line) => line['migration'] as string),
  ];
};

/** A key that cannot be read would stop whoever repairs it. */
function checkKeys(lines: readonly Args[]): void {
  for (const { key } of lines) {
    if (key === null) continue;
    try {
      keyFromJson(key as KeyJson);
    } catch (error) {
      if (error instanceof ChangeoverError && error.code === 'NOT_SUPPORTED') continue;
      throw new InvalidArgument('a key cannot be read', { expected: 'parts as changeover writes them', cause: error });
    }
  }
}

const checkReport = (args: Args): void => {
  const report = part(args, 'report');
  checkKeys(rows(report, 'dirt'));
  checkKeys(rows(report, 'divergences'));
};

/** The report that people are shown must be of this verification, and say what the gates are told. */
function checkDocument(args: Args): void {
  const { document } = args;
  if (document === undefined) return;
  const said = (typeof document === 'object' && document !== null ? document : {}) as Args;
  if (['migration', 'verdict', 'revision'].every((field) => said[field] === part(args, 'row')[field])) return;
  throw new InvalidArgument('the report is not of this verification', {
    expected: 'a report of the same migration, verdict and revision',
  });
}

/** Ranges in order, none of them empty, none touching another: what all arithmetic of positions builds on. */
const checkPositions =
  (param?: string): NonNullable<ControlMethod['check']> =>
  (args) => {
    const positions = (param === undefined ? args : part(args, param))['positions'] as Intervals | null;
    if (positions === null || JSON.stringify(intervals(positions)) === JSON.stringify(positions)) return;
    throw new InvalidArgument('the positions are no set of intervals', {
      expected: 'half-open ranges in order that neither overlap nor touch',
    });
  };

const read = (params: ControlMethod['params'], scope: ControlMethod['scope'] = byName): ControlMethod => ({
  role: 'viewer',
  params,
  scope,
});

const AUTHOR = ['authorship', 'actor'] as const;

const operate = (params: ControlMethod['params']): ControlMethod => ({
  role: 'operator',
  params: { name: NAME, ...params, authorship: calls.AUTHORSHIP },
  scope: byName,
  author: AUTHOR,
});

const LIMIT = whole(1, 10_000);

/**
 * The control plane over HTTP: what a process of the fleet needs is for the role `service` (it may also clear up behind
 * the dead, as every service does), what moves something for `operator`, what cannot be undone for `admin`. The compiler
 * demands a line for every method; null is the server's own business.
 */
export const CONTROL_METHODS: Readonly<Record<keyof ControlPlane, ControlMethod | null>> = {
  join: { role: 'service', params: { request: calls.JOIN }, scope: listed('request') },
  report: { role: 'service', params: { report: calls.REPORT }, scope: inReport, check: checkReport },
  leave: { role: 'service', params: { report: calls.REPORT }, scope: inReport, check: checkReport },
  rulesets: read({ migrations: array(NAME, 1_000) }, listed()),
  // Who may not make one learns that there is none: see control-routes.
  ensureMigration: read({ name: NAME }),
  ruleset: read({ name: NAME }),
  behind: read({ name: NAME, revision: REVISION, 'among?': nullable(array(COUNT, 10_000)) }),
  status: read({ name: NAME }),
  statuses: {
    ...read({}, sharedOut),
    share: (answer, covers) => (answer as readonly MigrationStatus[]).filter(({ migration }) => covers(migration)),
  },
  migrations: {
    ...read({}, sharedOut),
    share: (answer, covers) => (answer as readonly string[]).filter(covers),
  },
  fleet: {
    ...read({ state: nullable(oneOf('alive', 'left', 'dead')) }, sharedOut),
    share: (answer, covers) =>
      (answer as readonly FleetRow[])
        .filter(({ acknowledged }) => Object.keys(acknowledged).some(covers))
        .map((row) => partOf(row, covers)),
  },
  history: read({ name: NAME, page: calls.PAGE }),
  dirt: read({
    ...{ name: NAME, target: nullable(SIDE), limit: LIMIT, 'after?': COUNT },
    'kind?': nullable(oneOf('lost', 'rejected')),
  }),
  verifications: read({ name: NAME, page: calls.PAGE }),
  verificationReport: read({ name: NAME, verification: ID }),
  line: read({ name: NAME }),
  acknowledgements: read({ name: NAME, revision: nullable(REVISION) }),
  emergencyOutlook: read({ name: NAME }),
  moveShare: { ...read({ name: NAME, positions: POSITIONS }), check: checkPositions() },
  divergencePage: read({ name: NAME, query: calls.DIVERGENCE_QUERY }),
  historyPage: read({ name: NAME, query: calls.HISTORY_QUERY }),
  noteReveal: {
    role: 'admin',
    params: { name: NAME, divergence: ID, authorship: calls.AUTHORSHIP },
    scope: byName,
    author: AUTHOR,
  },
  divergences: read({ name: NAME, after: COUNT, limit: LIMIT }),
  traffic: read({ name: NAME }),
  series: read({ name: NAME, span: calls.SPAN }),
  sample: null,
  ramps: read({ name: NAME, limit: whole(1, 1_000) }),
  startRamp: {
    role: 'operator',
    params: { request: calls.RAMP_REQUEST },
    scope: inPart('request'),
    author: ['request', 'actor'],
  },
  steerRamp: {
    role: 'operator',
    params: { name: NAME, how: oneOf('pause', 'resume', 'stop'), authorship: calls.AUTHORSHIP },
    scope: byName,
    author: AUTHOR,
  },
  // The server drives ramps; nobody does through it.
  idleRamps: null,
  holdRamp: null,
  releaseRamp: null,
  turnBack: null,
  endRamp: null,
  openNotices: null,
  takeNotices: null,
  settleNotice: null,
  move: {
    role: 'viewer',
    params: { request: calls.MOVE_REQUEST },
    scope: inPart('request'),
    author: ['request', 'actor'],
    roleOf: (args) => (part(args, 'request')['dryRun'] === true ? 'viewer' : 'operator'),
  },
  advanceStamping: operate({}),
  changeSettings: operate({ change: SETTINGS }),
  changeCohort: operate({ unit: { type: 'string', maxLength: 10_000 }, to: nullable(COHORT) }),
  stepHandover: { role: 'service', params: { name: NAME }, scope: byName },
  cancelHandover: { ...operate({}), role: 'service' },
  beginEmergency: operate({}),
  burialFacts: read({ incarnation: ID }, ({ incarnation }, plane) =>
    plane.migrationsOf({ incarnation: incarnation as number }),
  ),
  declareEnded: { ...operate({}), params: { name: NAME, incarnation: ID, authorship: calls.AUTHORSHIP } },
  bury: {
    role: 'service',
    params: { burial: calls.BURIAL },
    scope: (args, plane) => plane.migrationsOf({ incarnation: part(args, 'burial')['incarnation'] as number }),
    author: ['burial', 'actor'],
  },
  beginReplay: {
    role: 'service',
    params: { request: calls.REPLAY_REQUEST },
    scope: inPart('request'),
    author: ['request', 'actor'],
    check: checkPositions('request'),
    roleOf: (args) => (part(args, 'request')['kind'] === 'backfill' ? 'operator' : 'service'),
  },
  beginPreload: {
    role: 'operator',
    params: { request: calls.PRELOAD_REQUEST },
    scope: inPart('request'),
    author: ['request', 'actor'],
  },
  settlePreload: {
    role: 'operator',
    params: { replay: ID, runner: text(200, 1), before: MS, looseUntil: MS },
    scope: byReplay,
  },
  runningReplay: read({ name: NAME, kind: calls.REPLAY_KINDS, target: SIDE }),
  replayPartitions: read({ replay: ID }, byReplay),
  checkpoint: {
    role: 'service',
    params: {
      replay: ID,
      runner: text(200, 1),
      leaseMs: { type: 'number', minimum: 0, maximum: 3_600_000 },
      deadlineLimit: MS,
      points: calls.CHECKPOINTS,
    },
    scope: byReplay,
  },
  replayWork: read({ replay: ID }, byReplay),
  openReplays: read({ migrations: array(NAME, 1_000) }, listed()),
  takePartition: { role: 'service', params: { request: calls.PARTITION_REQUEST }, scope: byReplayOf('request') },
  checkpointPartition: {
    role: 'service',
    params: { request: calls.PARTITION_CHECKPOINT },
    scope: byReplayOf('request'),
  },
  releasePartition: {
    role: 'service',
    params: { lease: calls.HELD, failure: nullable(text(10_000)) },
    scope: byReplayOf('lease'),
  },
  freePartition: { role: 'service', params: { lease: calls.ENDED }, scope: byReplayOf('lease') },
  promiseDeadline: { role: 'service', params: { name: NAME, target: SIDE, limit: MS }, scope: byName },
  releaseReplay: { role: 'service', params: { replay: ID, runner: text(200, 1) }, scope: byReplay },
  endReplay: { role: 'service', params: { replay: ID, runner: text(200, 1) }, scope: byReplay },
  cancelReplay: operate({ kind: calls.REPLAY_KINDS, target: SIDE }),
  pauseReplay: operate({ kind: calls.REPLAY_KINDS, target: SIDE, paused: BOOLEAN }),
  dirtOf: read({
    ...{ name: NAME, target: SIDE, upTo: nullable(COUNT), after: COUNT, limit: LIMIT },
    'within?': nullable(POSITIONS),
  }),
  clearDirt: { role: 'service', params: { name: NAME, ids: array(ID) }, scope: byName },
  addRejected: {
    role: 'service',
    params: { name: NAME, target: SIDE, position: POSITION, line: calls.REJECTED },
    scope: byName,
    check: (args) => checkKeys([part(args, 'line')]),
  },
  recordDivergences: {
    role: 'operator',
    params: { name: NAME, lines: calls.DIVERGENCES },
    scope: (args) => [args['name'] as string, ...rows(args, 'lines').map((line) => line['migration'] as string)],
    check: (args) => checkKeys(rows(args, 'lines')),
  },
  clearDivergences: { role: 'operator', params: { name: NAME, ids: array(ID) }, scope: byName },
  recordVerification: {
    role: 'operator',
    params: { row: calls.VERIFICATION, authorship: calls.AUTHORSHIP, 'document?': ANY },
    scope: inPart('row'),
    check: (args) => {
      checkPositions('row')(args);
      checkDocument(args);
    },
    author: AUTHOR,
  },
  holdProof: {
    role: 'operator',
    params: { request: calls.PROOF },
    scope: inPart('request'),
    author: ['request', 'actor'],
  },
  releaseProof: { role: 'operator', params: { name: NAME, runner: text(200, 1) }, scope: byName },
  advanceFinish: {
    ...operate({}),
    role: 'admin',
    params: { name: NAME, authorship: calls.AUTHORSHIP, 'settled?': nullable(REVISION) },
  },
  recordCleaned: { ...operate({}), role: 'admin', params: { name: NAME, authorship: calls.AUTHORSHIP } },
  recordCensus: {
    role: 'operator',
    params: { row: calls.CENSUS, authorship: calls.AUTHORSHIP },
    scope: inPart('row'),
    author: AUTHOR,
  },
  censuses: read({ name: NAME }),
  accept: {
    role: 'operator',
    params: { request: calls.ACCEPT_REQUEST },
    scope: inPart('request'),
    author: ['request', 'actor'],
  },
  acceptances: read({ name: NAME }),
  writable: read({}, sharedOut),
  createToken: { role: 'admin', params: { token: calls.NEW_TOKEN }, scope: everything, author: ['token', 'createdBy'] },
  tokens: { role: 'admin', params: {}, scope: everything },
  revokeToken: { role: 'admin', params: { id: ID }, scope: everything },
  beginJob: null,
  keepJobs: null,
  endJob: null,
  jobs: null,
  job: null,
  cancelJob: null,
  tokenRow: null,
  createSession: null,
  createPersonSession: null,
  touchToken: null,
  migrationsOf: null,
  fleetGate: read({ name: NAME, revision: REVISION }),
};

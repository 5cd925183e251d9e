import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { BackfillOptions, ReplaySummary } from '../control/backfill.ts';
import type { Controller } from '../control/controller.ts';
import type { ReplayRow } from '../control/replay-row.ts';
import { type Intervals, intervals } from '../core/intervals.ts';
import type { Side } from '../core/stage.ts';
import { type Action, addAction } from './action.ts';
import { addRoute, authorshipOf, type ServerParts } from './routing.ts';
import { BOOLEAN, NAME, nullable, object, oneOf, POSITIONS, REASON, SIDE, text, whole } from './schemas.ts';
import { UNIT, unitOf } from './unit-json.ts';

const KIND = oneOf('backfill', 'repair', 'preload');
const SAMPLE = { ...nullable(whole(1, 1_000_000_000)), description: 'how many records; null: all' };
/** Of the units of what is verified. */
const SHARE = { type: 'number', exclusiveMinimum: 0, maximum: 1, description: 'a share of the units; 1: all' };

type VerifyReport = Awaited<ReturnType<Controller['verify']>>;

/** The verdict without the records: those are listed, masked, under divergences. */
function verdictOf({ divergences, ...report }: VerifyReport): object {
  return { ...report, divergences: divergences.length };
}

/** Long work: it runs as a job, and a job that ended too early is gone on with by the same request. */
export function replayRoutes(app: FastifyInstance, parts: ServerParts): void {
  const { operations } = parts;
  const { plane } = operations;
  const add = <Body>(
    action: Omit<Action<Body>, 'role' | 'waits'> & { readonly role?: 'admin'; readonly waits?: true },
  ): void => addAction<Body>(app, parts, { role: 'operator', waits: false, ...action });

  add<Pick<BackfillOptions, 'partitions'>>({
    url: '/preload',
    id: 'preload',
    summary: 'Fills the new store before anything is mirrored to it; makes no coverage',
    kind: 'preload',
    body: { 'partitions?': whole(1, 1_024) },
    begin: async (name, { partitions }, who) => {
      await plane.ruleset(name);
      const controller = await operations.migration(name);
      return (signal, onProgress): Promise<ReplaySummary> =>
        controller.preload({ ...who, ...(partitions === undefined ? {} : { partitions }), signal, onProgress });
    },
  });

  add<Pick<BackfillOptions, 'target' | 'positions' | 'partitions'>>({
    url: '/backfill',
    id: 'backfill',
    summary: 'Replays everything whose follower the target is; goes on from checkpoints',
    kind: 'backfill',
    body: { 'target?': SIDE, 'positions?': POSITIONS, 'partitions?': whole(1, 1_024) },
    begin: async (name, { target = 'new', positions, partitions }, who) => {
      await plane.ruleset(name);
      const controller = await operations.migration(name);
      return (signal, onProgress): Promise<ReplaySummary> =>
        controller.backfill({
          ...who,
          target,
          ...(positions == null ? {} : { positions: intervals(positions) }),
          ...(partitions === undefined ? {} : { partitions }),
          signal,
          onProgress,
        });
    },
  });

  add({
    url: '/repair',
    id: 'repair',
    summary: 'Replays what is dirty and re-stamps what is divergent',
    kind: 'repair',
    body: {},
    begin: async (name, _, who) => {
      await plane.ruleset(name);
      const controller = await operations.migration(name);
      return (signal, onProgress) => controller.repair({ ...who, signal, onProgress });
    },
  });

  add<{
    readonly maxDivergences?: number;
    readonly positions?: Intervals;
    readonly unit?: unknown;
    readonly sample?: number;
    readonly prove?: boolean;
  }>({
    url: '/verify',
    id: 'verify',
    summary: 'Compares what both stores hold; the verdict is remembered for the gates',
    kind: 'verify',
    body: {
      'maxDivergences?': whole(1, 100_000),
      'positions?': POSITIONS,
      'unit?': UNIT,
      'sample?': SHARE,
      'prove?': { ...BOOLEAN, description: 'plants known differences, and is inconclusive if it misses one' },
    },
    begin: async (name, { maxDivergences, positions, unit, sample, prove }, who) => {
      const only = unit === undefined ? {} : { unit: unitOf(unit) };
      await plane.ruleset(name);
      const controller = await operations.migration(name);
      return async (signal, onProgress) =>
        verdictOf(
          await controller.verify({
            ...who,
            ...(maxDivergences === undefined ? {} : { maxDivergences }),
            ...(positions === undefined ? {} : { positions: intervals(positions) }),
            ...only,
            ...(sample === undefined ? {} : { sample }),
            ...(prove === undefined ? {} : { prove }),
            signal,
            onProgress,
          }),
        );
    },
  });

  add<{ readonly dryRun?: boolean; readonly sample?: number | null }>({
    url: '/prepare',
    id: 'prepare',
    summary: 'Looks at both stores, creates what stamped writing needs on them, and takes a census of the old one',
    kind: 'prepare',
    body: { 'dryRun?': BOOLEAN, 'sample?': SAMPLE },
    begin:
      async (name, { dryRun = false, sample }, who) =>
      (signal, onProgress) =>
        operations.prepare(name, { ...who, dryRun, ...(sample === undefined ? {} : { sample }), signal, onProgress }),
  });

  add<{ readonly sample?: number | null }>({
    url: '/census',
    id: 'takeCensus',
    summary: 'Looks at records of the old store: what a round trip through the new one would lose',
    kind: 'census',
    body: { 'sample?': SAMPLE },
    begin: async (name, { sample }, who) => {
      await plane.ruleset(name);
      const controller = await operations.migration(name);
      return (signal, onProgress) =>
        controller.census({ ...who, ...(sample === undefined ? {} : { sample }), signal, onProgress });
    },
  });

  add({
    url: '/inspection',
    id: 'inspect',
    summary: 'What at the stores may get in the way of mirrored writes; changes nothing',
    kind: 'inspection',
    body: {},
    begin: async (name) => {
      await plane.ruleset(name);
      const controller = await operations.migration(name);
      return () => controller.inspect();
    },
  });

  add<{ readonly finding: string; readonly side?: Side; readonly withdraw?: boolean; readonly dryRun?: boolean }>({
    url: '/acceptances',
    id: 'accept',
    summary: 'Accepts a finding by its name, or `census`; or takes that back',
    kind: 'acceptance',
    waits: true,
    body: { finding: text(1_000, 1), 'side?': SIDE, 'withdraw?': BOOLEAN, 'dryRun?': BOOLEAN },
    begin: async (name, { finding, ...options }, who) => {
      await plane.ruleset(name);
      const controller = await operations.migration(name);
      return () => controller.accept(finding, { ...who, ...options });
    },
  });

  add({
    url: '/finish',
    id: 'finish',
    summary:
      'Ends the migration: stamps and tombstones go, and with the dials at off the new store is wiped. No way back',
    kind: 'finish',
    role: 'admin',
    body: {},
    begin: async (name, _, who) => {
      await plane.ruleset(name);
      const controller = await operations.migration(name);
      return async (signal, progress) => {
        const document = await controller.finish({ ...who, signal, onStep: (step) => progress({ step }) });
        return { revision: document.revision, kept: document.dials.retireOld ? 'new' : 'old' };
      };
    },
  });

  addRoute(app, {
    method: 'POST',
    url: '/migrations/:name/replays/cancel',
    access: 'operator',
    id: 'cancelReplay',
    summary: 'Gives up a replay that is under way, whoever runs it; its checkpoints are forgotten',
    tag: 'actions',
    params: { name: NAME },
    body: object({ kind: KIND, 'target?': { ...SIDE, default: 'new' }, reason: REASON }),
    answers: { 200: object({ cancelled: BOOLEAN }) },
    handle: async (request: FastifyRequest) => {
      const { name } = request.params as { readonly name: string };
      const { kind, target } = request.body as { readonly kind: ReplayRow['kind']; readonly target: Side };
      await plane.ruleset(name);
      return { cancelled: await plane.cancelReplay(name, kind, target, authorshipOf(request)) };
    },
  });

  addRoute(app, {
    method: 'POST',
    url: '/migrations/:name/replays/pause',
    access: 'operator',
    id: 'pauseReplay',
    summary: 'Holds a replay that is under way, whoever runs it, or lets it go on',
    tag: 'actions',
    params: { name: NAME },
    body: object({
      kind: KIND,
      'target?': { ...SIDE, default: 'new' },
      paused: BOOLEAN,
      reason: REASON,
    }),
    answers: { 200: object({ running: BOOLEAN, changed: BOOLEAN }) },
    handle: async (request: FastifyRequest) => {
      const { name } = request.params as { readonly name: string };
      const { kind, target, paused } = request.body as {
        readonly kind: ReplayRow['kind'];
        readonly target: Side;
        readonly paused: boolean;
      };
      await plane.ruleset(name);
      const answer = await plane.pauseReplay(name, kind, target, paused, authorshipOf(request));
      return { running: answer !== null, changed: answer?.changed ?? false };
    },
  });
}

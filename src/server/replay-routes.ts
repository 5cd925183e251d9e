import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { BackfillOptions, ReplaySummary } from '../control/backfill.ts';
import type { Controller } from '../control/controller.ts';
import { type Intervals, intervals } from '../core/intervals.ts';
import type { Side } from '../core/stage.ts';
import { type Action, addAction } from './action.ts';
import { addRoute, authorshipOf, type ServerParts } from './routing.ts';
import { BOOLEAN, NAME, nullable, object, oneOf, POSITIONS, REASON, SIDE, text, whole } from './schemas.ts';

const SAMPLE = { ...nullable(whole(1, 1_000_000_000)), description: 'how many records; null: all' };

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
      return (signal) => controller.repair({ ...who, signal });
    },
  });

  add<{ readonly maxDivergences?: number; readonly positions?: Intervals }>({
    url: '/verify',
    id: 'verify',
    summary: 'Compares what both stores hold; the verdict is remembered for the gates',
    kind: 'verify',
    body: { 'maxDivergences?': whole(1, 100_000), 'positions?': POSITIONS },
    begin: async (name, { maxDivergences, positions }, who) => {
      await plane.ruleset(name);
      const controller = await operations.migration(name);
      return async (signal, onProgress) =>
        verdictOf(
          await controller.verify({
            ...who,
            ...(maxDivergences === undefined ? {} : { maxDivergences }),
            ...(positions === undefined ? {} : { positions: intervals(positions) }),
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
    body: object({ kind: oneOf('backfill', 'repair'), 'target?': { ...SIDE, default: 'new' }, reason: REASON }),
    answers: { 200: object({ cancelled: BOOLEAN }) },
    handle: async (request: FastifyRequest) => {
      const { name } = request.params as { readonly name: string };
      const { kind, target } = request.body as { readonly kind: 'backfill' | 'repair'; readonly target: Side };
      await plane.ruleset(name);
      return { cancelled: await plane.cancelReplay(name, kind, target, authorshipOf(request)) };
    },
  });
}

import type { GateVerdict } from '../core/errors.ts';
import { LoadingStore } from '../replay/loading-store.ts';
import type { Backfill, BackfillOptions, ReplaySummary } from './backfill.ts';
import type { ControllerParts } from './controller-parts.ts';
import { evidenceFor } from './preflight.ts';
import type { PreloadAnswer, PreloadRequest } from './preloads.ts';
import type { Authorship } from './publish.ts';

export type PreloadOptions = Authorship & Pick<BackfillOptions, 'partitions' | 'signal' | 'onProgress'>;

/** What a preload would need. */
export interface PreloadPreview {
  readonly gates: readonly GateVerdict[];
  /** Stamping would be brought on first. */
  readonly stamping: boolean;
}

/**
 * Fills the new store before anything is mirrored to it (R20): nobody else writes there, so its puts need not look. It
 * makes no coverage; the backfill that does, once dual-write is on, finds nearly everything there already.
 */
export class Preload {
  readonly #parts: ControllerParts;
  readonly #backfill: Backfill;

  constructor(parts: ControllerParts, backfill: Backfill) {
    this.#parts = parts;
    this.#backfill = backfill;
  }

  /** @throws GatesRefused, Busy while another process runs it */
  async run(options: PreloadOptions, bringStampingOn: () => Promise<void>): Promise<ReplaySummary> {
    const { plane, stores } = this.#parts;
    const loading = new LoadingStore(stores.new);
    return this.#backfill.runKind(
      'preload',
      { ...options, alone: true },
      {
        target: loading.store,
        begin: async (request) => {
          for (;;) {
            const { next, work } = await this.#ask(request, false);
            if (work !== null) return work;
            if (next === 'stamping') await bringStampingOn();
          }
        },
        leave: async ({ replay }, runner) => {
          await plane.settlePreload(replay.id, runner, replay.looseUntil, loading.looseUntil);
        },
      },
    );
  }

  /** What it would need, changing nothing. */
  async preview(authorship: Authorship): Promise<PreloadPreview> {
    const { migration, mapping, runner } = this.#parts;
    const { actor, reason } = authorship;
    const nothing = { partitions: [], estimate: null, sourceTime: 0, leaseMs: 0 };
    const request = { migration, mapping, runner, actor, reason, ...nothing };
    const { gates, next } = await this.#ask(request, true);
    return { gates, stamping: next === 'stamping' };
  }

  async #ask(request: Omit<PreloadRequest, 'evidence' | 'dryRun'>, dryRun: boolean): Promise<PreloadAnswer> {
    const { plane, migration } = this.#parts;
    const { dials } = await plane.ruleset(migration);
    // As if the mirror were turned on: what may keep the new store from following keeps it from being filled.
    const evidence = await evidenceFor(this.#parts, dials, { dial: 'dual-write', to: dials.dualWrite + 1 });
    return plane.beginPreload({ ...request, evidence, dryRun });
  }
}

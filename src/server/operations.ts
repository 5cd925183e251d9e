import type { ControlPlaneApi } from '../control/control-plane.ts';
import type { Controller } from '../control/controller.ts';
import type { Authorship } from '../control/publish.ts';
import type { Revealed } from '../control/reveal.ts';
import type { Route } from '../core/ruleset.ts';
import type { Side } from '../core/stage.ts';
import type { PrepareReport } from '../core/store.ts';

/** What a team says of a migration in its configuration, for people. */
export interface MigrationDescription {
  readonly key: readonly string[];
  readonly unit: readonly string[];
  /** The adapters' names. */
  readonly stores: Readonly<Record<Side, string>>;
  readonly owner: string | null;
  readonly runbook: string | null;
}

/** How stores are prepared: with a census of the old one, unless it is a dry run. */
export interface PrepareRequest extends Partial<Authorship> {
  readonly dryRun?: boolean;
  readonly sample?: number | null;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (progress: unknown) => void;
}

/** How a migration is examined: with a census that is recorded, unless it is a dry run. */
export interface DoctorRequest extends Partial<Authorship> {
  readonly dryRun?: boolean;
  readonly sample?: number | null;
  readonly signal?: AbortSignal | undefined;
}

/** What the server is thin over: the object that `control(config)` gives. */
export interface Operations {
  readonly plane: ControlPlaneApi;
  /** The names of the configuration's migrations. */
  readonly names: readonly string[];
  describe(name: string): MigrationDescription;
  migration(name: string): Promise<Controller>;
  /** A `DoctorReport`. */
  doctor(name: string, options?: DoctorRequest): Promise<unknown>;
  /** A divergent record as both stores hold it, unmasked; who asked for it is in the history. */
  reveal(name: string, divergence: number, authorship: Authorship): Promise<Revealed>;
  prepare(name: string, options?: PrepareRequest): Promise<Readonly<Record<Side, PrepareReport>>>;
  route(
    name: string,
    unit: unknown,
  ): Promise<Route & { readonly unit: string; readonly position: number; readonly revision: number }>;
}

import type { MigrationOverview, RampView } from '../server/api-types.ts';
import type { Change } from './change.ts';

/** What every tab of a migration works with. */
export interface TabProps {
  readonly status: MigrationOverview;
  readonly change: Change;
  /** Newest first; none until they came. */
  readonly ramps: readonly RampView[];
}

import type { Knex } from 'knex';
import * as controlPlane from '../../migrations/001-control-plane.ts';
import * as tokens from '../../migrations/002-tokens.ts';
import * as preflight from '../../migrations/003-preflight.ts';
import * as sharedReplays from '../../migrations/004-shared-replays.ts';
import * as preload from '../../migrations/005-preload.ts';
import * as traffic from '../../migrations/006-traffic.ts';
import * as ramps from '../../migrations/007-ramps.ts';
import * as verificationReports from '../../migrations/008-verification-reports.ts';
import * as notices from '../../migrations/009-notices.ts';
import * as easedReplays from '../../migrations/010-eased-replays.ts';
import * as highWater from '../../migrations/011-high-water.ts';
import * as proofs from '../../migrations/012-proofs.ts';
import * as dirtyPositions from '../../migrations/013-dirty-positions.ts';
import * as cohortMoves from '../../migrations/014-cohort-moves.ts';
import { InvalidConfiguration, NotPrepared } from '../core/errors.ts';

/** Where knex notes which migrations ran; its lock table has the same name and `_lock`. */
export const MIGRATIONS_TABLE = 'changeover_schema';

/** Every migration of the control plane's schema, in order. Imported by name, so that a bundle has them too. */
const MIGRATIONS: ReadonlyMap<string, Knex.Migration> = new Map([
  ['001-control-plane', controlPlane],
  ['002-tokens', tokens],
  ['003-preflight', preflight],
  ['004-shared-replays', sharedReplays],
  ['005-preload', preload],
  ['006-traffic', traffic],
  ['007-ramps', ramps],
  ['008-verification-reports', verificationReports],
  ['009-notices', notices],
  ['010-eased-replays', easedReplays],
  ['011-high-water', highWater],
  ['012-proofs', proofs],
  ['013-dirty-positions', dirtyPositions],
  ['014-cohort-moves', cohortMoves],
]);

const source: Knex.MigrationSource<string> = {
  getMigrations: async () => [...MIGRATIONS.keys()],
  getMigrationName: (name) => name,
  getMigration: async (name) => MIGRATIONS.get(name) as Knex.Migration,
};

export const MIGRATOR: Knex.MigratorConfig = Object.freeze({ migrationSource: source, tableName: MIGRATIONS_TABLE });

/** What a database lacks of this version's schema. @throws InvalidConfiguration when it has more. */
async function missingMigrations(knex: Knex): Promise<string[]> {
  if (!(await hasSchema(knex))) return [...MIGRATIONS.keys()];
  const rows: unknown[] = await knex(MIGRATIONS_TABLE).orderBy('id').pluck('name');
  const present = new Set(rows.map(String));
  const unknown = [...present].filter((name) => !MIGRATIONS.has(name));
  if (unknown.length > 0) {
    throw new InvalidConfiguration(`the control database was prepared by a newer version: ${unknown.join(', ')}`, {
      expected: `nothing after ${[...MIGRATIONS.keys()].at(-1)}`,
      remedy: 'run the version of changeover that prepared it, or a newer one',
      details: { unknown },
    });
  }
  return [...MIGRATIONS.keys()].filter((name) => !present.has(name));
}

/** @throws InvalidConfiguration when the database is newer than this version. */
export async function schemaIsCurrent(knex: Knex): Promise<boolean> {
  return (await missingMigrations(knex)).length === 0;
}

/** Whether some version's schema is there already. */
export const hasSchema = (knex: Knex): Promise<boolean> => knex.schema.hasTable(MIGRATIONS_TABLE);

/** @throws NotPrepared or InvalidConfiguration unless the database has exactly this version's schema. */
export async function assertSchema(knex: Knex): Promise<void> {
  const missing = await missingMigrations(knex);
  if (missing.length > 0) throw notPrepared(missing);
}

export function notPrepared(missing: readonly string[] = [...MIGRATIONS.keys()]): NotPrepared {
  return new NotPrepared('the control database lacks tables of this version', {
    expected:
      'a control plane that `changeover prepare` has made or upgraded, where `control` of the configuration says',
    remedy: 'changeover prepare',
    details: { missing },
  });
}

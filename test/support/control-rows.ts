import type { MigrationRow } from '../../src/control/storage.ts';
import { initialRuleset } from '../../src/core/ruleset.ts';

/** A migration's row, with what a test cares about changed. */
export const migrationRow = (name: string, changes: Partial<MigrationRow> = {}): MigrationRow => ({
  name,
  revision: 1,
  document: initialRuleset(name),
  coverageOld: [],
  coverageNew: [],
  mirrorOnRevision: 0,
  shadowCompared: 0,
  shadowDivergent: 0,
  shadowSince: 0,
  createdAt: 0,
  ...changes,
});

import type { CensusRow, DirtRow, MigrationRow, NodeRow } from '../../src/control/storage.ts';
import { initialRuleset } from '../../src/core/ruleset.ts';
import { STAMP_MIN } from '../../src/core/stamp.ts';

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

/** A process's row; its id is given by the storage. */
export const nodeRow = (changes: Partial<NodeRow> = {}): NodeRow => ({
  id: 0,
  state: 'alive',
  info: { host: 'h', pid: 1, processId: 'p', version: '1', name: 'n' },
  session: 's',
  attempt: 1,
  joinedAt: 0,
  seenAt: 0,
  deadlineLimit: 0,
  stampLimit: STAMP_MIN,
  highWater: STAMP_MIN,
  health: null,
  ...changes,
});

/** A census of an empty store, as `prepare` takes one before anything is moved. */
export const censusRow = (migration: string, changes: Partial<CensusRow> = {}): CensusRow => ({
  id: 0,
  migration,
  mapping: 'sim',
  sampled: 0,
  exhaustive: true,
  losses: [],
  report: null,
  startedAt: 0,
  finishedAt: 0,
  ...changes,
});

/** One write that the new store may be missing. */
export const dirtRow = (changes: Partial<DirtRow> = {}): DirtRow => ({
  id: 0,
  migration: 'events',
  target: 'new',
  kind: 'lost',
  fromPosition: 0,
  toPosition: 1,
  keyId: null,
  key: null,
  cause: 'timed out',
  at: 1,
  revision: 1,
  notBefore: null,
  ...changes,
});

import { expect, test } from 'vitest';
import { backfillTarget } from '../../src/console/overview/replay-progress.ts';
import type { MigrationOverview } from '../../src/server/api-types.ts';

const replay = (kind: 'backfill' | 'repair', target: 'old' | 'new') =>
  ({ kind, target }) as MigrationOverview['replay'];

test('a backfill goes on where one stands, else to an old store that has missed something, else to the new one', () => {
  expect(backfillTarget({ replay: null, coverage: { old: 100, new: 0 } })).toBe('new');
  expect(backfillTarget({ replay: null, coverage: { old: 0, new: 100 } })).toBe('old');
  expect(backfillTarget({ replay: replay('backfill', 'new'), coverage: { old: 40, new: 100 } })).toBe('new');
  expect(backfillTarget({ replay: replay('backfill', 'old'), coverage: { old: 100, new: 0 } })).toBe('old');
  expect(backfillTarget({ replay: replay('repair', 'new'), coverage: { old: 0, new: 100 } })).toBe('old');
});

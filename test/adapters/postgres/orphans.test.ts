import { describe, expect, it } from 'vitest';
import { sql } from '../../../adapters/sql/index.ts';
import { KeySpec } from '../../../src/core/record-key.ts';
import { identityCodec } from '../../../src/core/store.ts';
import { hasty } from '../../support/hasty-clock.ts';
import { testServer } from '../../support/servers.ts';
import { onPostgres } from '../postgres-harness.ts';

const keys = new KeySpec(['id'], ['id']);

describe.skipIf(testServer('postgres').missing !== undefined)('what waits behind a lock at the server', () => {
  it('ends there soon after its client has given it up, not only when the lock is free', async () => {
    await using place = await onPostgres('CREATE TABLE things (id text PRIMARY KEY)');
    await (await place.open({}, keys)).prepare();
    const definition = sql({ client: 'pg', connection: place.url, table: 'things', pool: 3 });
    const store = await definition.create({ migration: 'm', side: 'old', keys, codec: identityCodec, clock: hasty });
    await store.open();
    const lock = await place.begun('LOCK TABLE things');

    const reads = ['a', 'b', 'c'].map((id) => store.get(keys.id({ id }), { id }));
    const ended = Promise.allSettled(reads);
    await place.waiting(3);
    const statuses = (await ended).map(({ status }) => status);
    expect(statuses).toEqual(['rejected', 'rejected', 'rejected']);
    const waiting = (): Promise<(string | null)[][]> =>
      place.rows("SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'");
    await expect.poll(waiting, { interval: 250, timeout: 60_000 }).toEqual([]);

    await lock.query('ROLLBACK');
    expect(await store.get(keys.id({ id: 'a' }), { id: 'a' })).toBeUndefined();
    await store.close();
  });
});

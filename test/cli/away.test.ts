import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type FreshDatabase, freshDatabase, testServer } from '../support/servers.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { CONFIG, Project } from './project.ts';

const WHY = ['--reason', 'OPS-1'] as const;
const { missing } = testServer('postgres');

describe.skipIf(missing !== undefined)('a new store that does not answer', () => {
  let database: FreshDatabase;
  beforeAll(async () => {
    database = await freshDatabase('postgres');
  });
  afterAll(() => database?.drop());

  test('keeps nobody from going back, and says what to do to whoever needs it', { timeout: 240_000 }, async () => {
    const { proxy, url } = await TcpProxy.create(database.url);
    await using _ = proxy;
    const fresh = `sql({ client: 'pg', connection: ${JSON.stringify(url)}, table: 'events', document: 'body' })`;
    await using project = Project.create(CONFIG.replace("new: events('new.db')", `new: ${fresh}`));
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    await client.query('CREATE TABLE events ("userKey" text, id text, body jsonb, PRIMARY KEY ("userKey", id))');
    await client.end();
    project.seed(50);
    for (const args of [
      ['prepare', 'events'],
      ['set', 'events', 'no-outside-writers', 'yes', ...WHY],
      ['set', 'events', 'dual-write', 'all', ...WHY],
      ['set', 'events', 'shadow-read', '100', ...WHY],
      ['backfill', 'events', ...WHY],
      ['set', 'events', 'cutover', '50', '--force', ...WHY],
    ])
      expect(await project.move(...args), args.join(' ')).toMatchObject({ code: 0 });

    proxy.freeze();
    for (const args of [
      ['rollback', 'events', '--dry-run'],
      ['repair', 'events', '--dry-run'],
      ['set', 'events', 'cutover', '10', '--dry-run', ...WHY],
      ['set', 'events', 'cutover', '10', ...WHY],
      ['rollback', 'events'],
      ['set', 'events', 'shadow-read', '0', ...WHY],
      ['set', 'events', 'dual-write', '20', ...WHY],
      ['stage', 'events', 'off', ...WHY],
    ])
      expect(await project.move(...args), args.join(' ')).toMatchObject({ code: 0 });

    const refused = await project.run('set', 'events', 'dual-write', '10', ...WHY);
    expect(refused.code).toBe(4);
    expect(refused.stderr).toMatch(/^error: the new store of events cannot be reached: .*\[STORE_FAULT\]\n/);
    expect(refused.stderr).toContain('changeover rollback events --emergency');
    expect(refused.stderr.split('\n').length).toBeLessThanOrEqual(4);
    proxy.freeze(false);
    expect(await project.move('set', 'events', 'dual-write', '10', ...WHY)).toMatchObject({ code: 0 });
  });
});

import { setImmediate as turn } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ControlPlaneApi } from '../../src/control/control-plane.ts';
import { systemClock } from '../../src/core/clock.ts';
import type { RulesetDocument } from '../../src/core/ruleset.ts';
import { type Control, control, open } from '../../src/index.ts';
import { openHttpControl } from '../../src/server/http-control-client.ts';
import { insist } from '../support/insist.ts';
import { until } from '../support/memory-service.ts';
import { freePort } from '../support/servers/free-port.ts';
import { ApiServer, type Item } from './api-server.ts';
import { EventStream } from './event-stream.ts';

const WHY = { actor: 'test', reason: 'test' };

let api: ApiServer;
beforeAll(async () => {
  // A port that it gets again when it comes back.
  api = await ApiServer.start({ port: await freePort() });
});
afterAll(() => api?.[Symbol.asyncDispose]());

let waits = 1_000;

/** Publishes a revision that moves nothing. */
async function publish(name = 'items'): Promise<RulesetDocument> {
  waits += 1;
  return api.operations.plane.changeSettings(name, { holdTimeoutMs: waits }, WHY);
}

const follow = (query = '', lastEventId?: string, token = api.tokens.viewer): Promise<EventStream> =>
  EventStream.open(`${api.server.url}/api/v1/events${query}`, token, lastEventId);

describe('the event stream', () => {
  test('gives the present rulesets, says that it is ready, and tells every new revision', async () => {
    const stream = await follow();
    expect(stream.status).toBe(200);
    expect(stream.headers.get('content-type')).toMatch(/^text\/event-stream/);
    expect(stream.headers.get('content-security-policy')).toContain("default-src 'none'");
    await until(() => stream.ready, 'the first rulesets');
    expect(stream.events.at(-1)?.event).toBe('ready');
    expect(stream.revisions.map((line) => line.split(' ')[0]).sort()).toEqual(['items', 'notes']);
    const { revision } = await publish();
    await until(() => stream.revisions.includes(`items ${revision}`), 'the new revision');
    stream.close();
  });

  test('goes on after the last event that was heard: what was missed, once, and nothing else', async () => {
    const first = await follow('?migrations=items,notes');
    await until(() => first.ready);
    first.close();
    await publish('notes');
    const { revision } = await publish('notes');
    const second = await follow('?migrations=items,notes', first.lastId);
    await until(() => second.ready);
    expect(second.revisions).toEqual([`notes ${revision}`]);
    second.close();
    const third = await follow('?migrations=items,notes', second.lastId);
    await until(() => third.ready);
    expect(third.revisions).toEqual([]);
    third.close();
  });

  test.each(['', 'nonsense', 'items=', 'items=99999999999999999999', ';;=;', '\u00ff'])(
    'begins anew after an id that says nothing: %j',
    async (id) => {
      const stream = await follow('?migrations=items', id);
      await until(() => stream.ready);
      expect(stream.revisions).toHaveLength(1);
      stream.close();
    },
  );

  test('tells a token of some migrations about no other', async () => {
    const token = await api.token('viewer', { migrations: ['notes'] });
    const stream = await follow('?migrations=items,notes', undefined, token);
    await until(() => stream.ready);
    await publish('items');
    const { revision } = await publish('notes');
    await until(() => stream.revisions.includes(`notes ${revision}`));
    expect(stream.revisions.filter((line) => line.startsWith('items'))).toEqual([]);
    stream.close();
  });

  test('ends when its token is revoked', async () => {
    const token = await api.token('viewer', { name: 'short-lived' });
    const stream = await follow('', undefined, token);
    await until(() => stream.ready);
    const row = (await api.operations.plane.tokens()).find(({ name }) => name === 'short-lived');
    await api.operations.plane.revokeToken(row?.id as number);
    await until(() => stream.ended, 'the end of the stream');
  });

  test('reaches 100 followers, each exactly once', async () => {
    const streams = await Promise.all(Array.from({ length: 100 }, () => follow('?migrations=items')));
    await until(() => streams.every(({ ready }) => ready), 'all to be ready');
    const revisions: number[] = [];
    for (let i = 0; i < 5; i += 1) {
      const { revision } = await publish();
      revisions.push(revision);
      await until(
        () => streams.every((stream) => stream.revisions.includes(`items ${revision}`)),
        `revision ${revision}`,
      );
    }
    for (const stream of streams) {
      expect(stream.revisions.slice(1)).toEqual(revisions.map((revision) => `items ${revision}`));
      stream.close();
    }
  });
});

describe('a process that works through the server', () => {
  const remote = (): Promise<ControlPlaneApi> =>
    openHttpControl({ url: api.server.url, token: api.tokens.service, clock: systemClock });

  test('meets the errors of the control plane as they are', async () => {
    const plane = await remote();
    await expect(plane.ruleset('unheard')).rejects.toMatchObject({
      code: 'UNKNOWN_MIGRATION',
      name: 'UnknownMigration',
    });
    await expect(plane.changeSettings('items', { putTimeoutMs: 500 }, WHY)).rejects.toMatchObject({
      code: 'FORBIDDEN',
    });
    await plane.close();
    await expect(plane.ruleset('items')).rejects.toMatchObject({ code: 'CLOSED' });
  });

  test.each([
    ['no token', { token: undefined }, 'INVALID_CONFIGURATION'],
    ['a wrong token', { token: 'chg_1_nonsense' }, 'UNAUTHENTICATED'],
    ['an address that is none', { url: 'http://' }, 'INVALID_CONFIGURATION'],
    ['a secret in the address', { url: 'http://x:y@127.0.0.1:1' }, 'INVALID_CONFIGURATION'],
    ['nobody there', { url: 'http://127.0.0.1:1' }, 'CONTROL_UNAVAILABLE'],
  ])('is told what is wrong with %s', async (_, wrong, code) => {
    const options = {
      url: api.server.url,
      token: api.tokens.service as string | undefined,
      clock: systemClock,
      ...wrong,
    };
    await expect(openHttpControl(options)).rejects.toMatchObject({ code });
  });

  test('hears of what was published while its connection was lost', async () => {
    const plane = await remote();
    let heard = 0;
    const stop = plane.watch(() => {
      heard += 1;
    });
    const { revision: before } = await publish();
    await until(async () => (await plane.rulesets(['items']))[0]?.revision === before);
    await api.server.close();
    const port = Number(new URL(api.server.url).port);
    const { revision } = await publish();
    const soFar = heard;
    await api.listen({ port });
    await until(() => heard > soFar, 'the news');
    await until(async () => (await plane.rulesets(['items']))[0]?.revision === revision, 'the new revision');
    stop();
    await plane.close();
  });

  test('two services walk to cutover while nobody is told anything wrong', async () => {
    const operator = await api.token('operator', { name: 'remote operator' });
    const config = api.remote(operator);
    const services = await Promise.all(['a', 'b'].map((name) => open(api.remote(api.tokens.service), { name })));
    const operations: Control = await control(config);
    const controller = await operations.migration('items');
    await operations.plane.changeSettings('items', { noOutsideWriters: true, shadowRecheckMs: [] }, WHY);
    const repositories = services.map((service) => service.repository('items'));
    const written = new Map<string, number>();
    let running = true;
    const writers = repositories.map(async (items, writer) => {
      for (let n = 1; running; n += 1) {
        const item: Item = { user: `u${n % 17}`, id: `${writer}-${n % 40}`, n };
        await items.put(item);
        written.set(`${item.user} ${item.id}`, n);
        expect(await items.get(item)).toEqual(item);
        // Stores in memory answer in the same turn; timers and sockets want theirs.
        await turn();
      }
    });
    await controller.set({ dial: 'dual-write', to: 100_000 }, { ...WHY, force: true });
    await controller.backfill(WHY);
    for (const to of [50_000, 100_000]) {
      await insist(controller, () => controller.set({ dial: 'cutover', to }, { ...WHY, force: true }));
    }
    running = false;
    await Promise.all(writers);
    // What a slow mirror left dirty, on a busy machine.
    await until(async () => {
      const { dirty } = await operations.plane.status('items');
      if (dirty.ranges > 0) await controller.repair(WHY);
      return dirty.ranges === 0;
    }, 'nothing that is dirty');
    const status = await operations.plane.status('items');
    expect(status).toMatchObject({ stage: 'rampdown', dirty: { ranges: 0, rejected: 0 } });
    for (const [key, n] of written) {
      const [user, id] = key.split(' ') as [string, string];
      expect(await repositories[0]?.get({ user, id })).toEqual({ user, id, n });
    }
    const history = await operations.plane.history('items', { limit: 50 });
    expect(history.find(({ kind }) => kind === 'handover')?.actor).toBe('remote operator for test (127.0.0.1)');
    for (const service of services) await service.close();
    await operations.close();
    expect((await api.operations.plane.fleet('alive')).length).toBe(0);
  });
});

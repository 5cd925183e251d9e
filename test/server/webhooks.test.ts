import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type ControlPlaneApi, localControlPlane } from '../../src/control/control-plane.ts';
import { memoryStorage } from '../../src/control/memory-storage.ts';
import { systemClock } from '../../src/core/clock.ts';
import { GatesRefused } from '../../src/core/errors.ts';
import { silentLogger } from '../../src/core/telemetry.ts';
import type { WebhookMessage } from '../../src/server/webhook-message.ts';
import { Webhooks } from '../../src/server/webhooks.ts';
import { ApiServer } from './api-server.ts';

/** Somebody who takes webhooks: what came, and how it answers. */
async function receiver() {
  const messages: WebhookMessage[] = [];
  const state = { status: 200, refused: 0, refuses: (_text: string) => false, answerMs: 0 };
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += String(chunk);
    const message = JSON.parse(body) as WebhookMessage;
    const status = state.refuses(message.text) ? 400 : state.status;
    if (status === 200) messages.push(message);
    else state.refused += 1;
    if (state.answerMs > 0) await new Promise((resolve) => setTimeout(resolve, state.answerMs).unref());
    response.writeHead(status).end('ok');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/services/T0/B0/secret`;
  const told = () => messages.flatMap(({ attachments }) => attachments.map(({ text }) => text));
  return { url, messages, state, told };
}

const LONG = { timeout: 60_000 };

async function served(webhooks: readonly string[]): Promise<ApiServer> {
  const api = await ApiServer.start({ webhooks });
  onTestFinished(() => api[Symbol.asyncDispose]());
  // A webhook hears of what comes after it is known.
  for (const url of webhooks) await allTold(api.operations.plane, url);
  return api;
}

/** Nothing more is to be told, or under way. */
async function allTold(plane: Pick<ControlPlaneApi, 'openNotices'>, url: string): Promise<void> {
  const hook = createHash('sha256').update(url).digest('hex').slice(0, 32);
  await expect.poll(async () => (await plane.openNotices({ hook, runner: 'test' })).length, LONG).toBe(0);
}

const change = (api: ApiServer, path: string, body: object, method = 'POST') =>
  api.call(`/api/v1/migrations/items${path}`, { method, body: { reason: 'peak <b>hours</b>', ...body } });

/** A server that was closed while a webhook, which takes so long to answer, had a message. */
async function closedWhileTelling(answerMs: number) {
  const to = await receiver();
  to.state.answerMs = answerMs;
  const api = await served([to.url]);
  await change(api, '/dials', { dial: 'cutover', to: 10 });
  await expect.poll(to.told, LONG).toHaveLength(1);
  await api.server.close();
  return { to, api };
}

describe('a webhook', () => {
  test('is told of moves and refusals, with who, why and what is missing, and of nothing twice', async () => {
    const to = await receiver();
    const api = await served([to.url]);
    await change(api, '/settings', { settings: { noOutsideWriters: true } }, 'PATCH');
    await change(api, '/dials', { dial: 'dual-write', to: 25 });
    expect((await change(api, '/dials', { dial: 'cutover', to: 10 })).status).toBe(409);
    await expect.poll(to.told, LONG).toContain('cutover 10 % was refused by its gates; nothing changed');
    expect(to.told()).toContain('dual-write 0 % → 25 %');
    const lines = to.messages.flatMap(({ attachments }) => attachments);
    const refusal = lines.find(({ text }) => text.includes('refused'));
    expect(refusal?.fields.map(({ title }) => title)).toEqual(expect.arrayContaining(['by', 'why', 'coverage']));
    expect(refusal?.fields.find(({ title }) => title === 'why')?.value).toBe('peak &lt;b&gt;hours&lt;/b&gt;');
    expect(to.messages[0]?.text).toMatch(/^\*items\*: /);
    const seen = to.told().length;
    await api.server.close();
    await api.listen({ webhooks: [to.url] });
    await change(api, '/dials', { dial: 'dual-write', to: 30 });
    await expect.poll(to.told, LONG).toContain('dual-write 25 % → 30 %');
    expect(to.told()).toHaveLength(seen + 1);
  });

  test('that answers late is not told again by a server that was closed meanwhile', async () => {
    const { to, api } = await closedWhileTelling(300);
    await api.listen({ webhooks: [to.url] });
    await change(api, '/dials', { dial: 'cutover', to: 20 });
    await expect.poll(to.told, LONG).toContain('cutover 20 % was refused by its gates; nothing changed');
    expect(to.told()).toHaveLength(2);
  });

  test('that does not answer keeps no server from closing', async () => {
    await closedWhileTelling(3_600_000);
  });

  test('that fails is told later, and its address is in no log', async () => {
    const to = await receiver();
    to.state.status = 503;
    const logged: string[] = [];
    const log = (fields: object, message: string): void => {
      logged.push(JSON.stringify({ ...fields, message }));
    };
    const logger = { debug: log, info: log, warn: log, error: log, isLevelEnabled: () => true };
    const api = await ApiServer.start({ webhooks: [to.url], logger });
    onTestFinished(() => api[Symbol.asyncDispose]());
    await expect
      .poll(async () => {
        await change(api, '/dials', { dial: 'cutover', to: 10 });
        return to.state.refused;
      }, LONG)
      .toBeGreaterThan(0);
    to.state.status = 200;
    await expect.poll(to.told, LONG).toContain('cutover 10 % was refused by its gates; nothing changed');
    expect(logged.join('\n')).toContain('a webhook was not told');
    expect(logged.join('\n')).not.toContain('secret');
  });

  test('that refuses one message is told the others', async () => {
    const to = await receiver();
    to.state.refuses = (text) => text.startsWith('*first*');
    const plane = localControlPlane(memoryStorage(), systemClock);
    const names = ['first', 'second'];
    for (const name of names) await plane.ensureMigration(name);
    const webhooks = new Webhooks([to.url], plane, systemClock, silentLogger);
    onTestFinished(() => webhooks.close());
    await allTold(plane, to.url);
    const evidence = { prepared: null, findings: { old: null, new: null }, mapping: 'm' };
    for (const migration of names) {
      const move = { dial: 'cutover', to: 5 } as const;
      const request = { migration, move, evidence, force: false, dryRun: false, ifRevision: null };
      await expect(plane.move({ ...request, actor: 'a', reason: 'r' })).rejects.toBeInstanceOf(GatesRefused);
    }
    await expect.poll(() => to.messages.map(({ text }) => text.split(':')[0]), LONG).toEqual(['*second*']);
    to.state.refuses = () => false;
    await expect.poll(() => to.messages.map(({ text }) => text.split(':')[0]), LONG).toEqual(['*second*', '*first*']);
  });

  test('of two servers is told by one', async () => {
    const to = await receiver();
    const api = await served([to.url]);
    const second = await ApiServer.prototype.listen.call(api, { webhooks: [to.url] }).then(() => api.server);
    onTestFinished(() => second.close());
    for (const percent of [1, 2, 3, 4, 5]) await change(api, '/dials', { dial: 'cutover', to: percent });
    await expect.poll(to.told, LONG).toContain('cutover 5 % was refused by its gates; nothing changed');
    await expect.poll(() => new Set(to.told()).size === to.told().length && to.told().length, LONG).toBe(5);
  });
});

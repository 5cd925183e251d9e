import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Control, control } from '../../src/index.ts';
import { lost, reportDirt } from '../support/reported-dirt.ts';
import { ApiServer } from './api-server.ts';

let api: ApiServer;
let remote: Control | undefined;
beforeEach(async () => {
  api = await ApiServer.start({ rateLimits: { perSecond: 1e6, burst: 1e6 } });
});
afterEach(async () => {
  await remote?.close();
  await api[Symbol.asyncDispose]();
});

const WHY = { actor: 'ada', reason: 'test' };

test('a repair through a server may be of every other position', async () => {
  await api.operations.plane.changeSettings('items', { noOutsideWriters: true }, WHY);
  await (await api.operations.migration('items')).set({ dial: 'dual-write', to: 100_000 }, WHY);

  remote = await control(api.remote(api.tokens.operator));
  const { plane } = remote;
  const many = 12_000;
  const lines = Array.from({ length: many }, (_, n) => ({ ...lost, position: 2 * n, revision: 1, key: null }));
  await reportDirt(plane, 'items', lines);

  const controller = await remote.migration('items');
  expect((await controller.planRepair()).replays).toMatchObject([{ target: 'new', lines: many }]);
  expect(await controller.repair(WHY)).toMatchObject({ cleared: many });
  expect(await plane.status('items')).toMatchObject({ dirty: { ranges: 0, rejected: 0 } });
});

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ApiServer } from './api-server.ts';

const PAGE = '<!doctype html><script type="module" src="/assets/main-abc.js"></script>';
const SCRIPT = `console.log(${JSON.stringify('x'.repeat(2_000))})`;
const HTML = { accept: 'text/html,application/xhtml+xml' };

let folder: string;
let api: ApiServer;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'changeover-console-'));
  mkdirSync(join(folder, 'assets'));
  writeFileSync(join(folder, 'index.html'), PAGE);
  writeFileSync(join(folder, 'assets', 'main-abc.js'), SCRIPT);
  writeFileSync(join(folder, 'assets', 'main-abc.js.br'), brotliCompressSync(SCRIPT));
  writeFileSync(join(folder, 'assets', 'main-abc.js.gz'), gzipSync(SCRIPT));
  writeFileSync(join(folder, 'secret.txt'), 'not for anybody');
  api = await ApiServer.start({ console: folder });
});
afterAll(async () => {
  await api?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

const get = (path: string, headers: Readonly<Record<string, string>> = {}) => api.call(path, { token: null, headers });

/** As it comes over the wire: fetch would unpack it. */
const raw = (path: string, headers: Readonly<Record<string, string>>) =>
  new Promise<{ status: number; headers: Record<string, unknown>; bytes: number }>((resolve, reject) => {
    request(new URL(api.server.url).origin, { path, headers }, (answer) => {
      let bytes = 0;
      answer.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
      });
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, bytes }));
    })
      .on('error', reject)
      .end();
  });

describe('the console as the server serves it', () => {
  test.each(['/', '/migrations/items', '/migrations/items/history', '/no/such/page'])(
    'is the page at %s',
    async (path) => {
      const { status, headers, text } = await get(path, HTML);
      expect([status, text]).toEqual([200, PAGE]);
      expect(headers.get('content-type')).toMatch(/^text\/html/);
      expect(headers.get('cache-control')).toBe('no-cache');
      const policy = headers.get('content-security-policy') ?? '';
      expect(policy).toContain("script-src 'self'");
      expect(policy).not.toMatch(/unsafe|\*/);
    },
  );

  test('has assets that are kept for good, compressed as they were built', async () => {
    const plain = await get('/assets/main-abc.js', { 'accept-encoding': 'identity' });
    expect([plain.status, plain.text]).toEqual([200, SCRIPT]);
    expect(plain.headers.get('cache-control')).toBe('public, max-age=31536000, immutable');
    expect(plain.headers.get('content-type')).toMatch(/javascript/);
    for (const encoding of ['br', 'gzip']) {
      const packed = await raw('/assets/main-abc.js', { 'accept-encoding': encoding });
      expect([packed.status, packed.headers['content-encoding']]).toEqual([200, encoding]);
      expect(packed.bytes).toBeLessThan(SCRIPT.length / 10);
    }
  });

  test('never stands in for an answer of the API, nor for a file that is missing', async () => {
    for (const path of ['/api/v1/nothing', '/api', '/metrics/x', '/healthz/x']) {
      const { status, json } = await get(path, HTML);
      expect([path, status, json.code]).toEqual([path, 404, 'NOT_FOUND']);
    }
    const asset = await get('/assets/gone.js');
    expect([asset.status, asset.json.code]).toEqual([404, 'NOT_FOUND']);
    // The next version may bring it: a browser that kept this answer would never ask again.
    expect(asset.headers.get('cache-control')).toBe('no-store');
    const script = await get('/migrations/items', { accept: 'application/json' });
    expect([script.status, script.json.code]).toEqual([404, 'NOT_FOUND']);
    const posted = await api.call('/migrations/items', { method: 'POST', body: {}, headers: HTML, token: null });
    expect(posted.status).toBe(404);
  });

  test('gives out nothing but its own files', async () => {
    for (const path of [
      '/secret.txt',
      '/assets/../secret.txt',
      '/assets/%2e%2e/secret.txt',
      '/assets/..%2fsecret.txt',
    ]) {
      const { status, headers } = await raw(path, { accept: '*/*' });
      expect([path, status >= 400, headers['content-type']]).toEqual([
        path,
        true,
        expect.stringMatching(/^application\/problem\+json/),
      ]);
    }
  });

  test('says how it is built where it is not', async () => {
    const empty = mkdtempSync(join(tmpdir(), 'changeover-console-'));
    try {
      await using bare = await ApiServer.start({ console: empty });
      const { status, headers, text } = await bare.call('/', { token: null, headers: HTML });
      expect(status).toBe(503);
      expect(headers.get('content-type')).toMatch(/^text\/html/);
      expect(text).toContain('npm run build');
      expect((await bare.call('/healthz', { token: null })).status).toBe(200);
    } finally {
      rmSync(empty, { recursive: true });
    }
  });
});

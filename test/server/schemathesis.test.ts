import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findSchemathesis, schemathesis } from '../support/schemathesis.ts';
import { ApiServer } from './api-server.ts';
import { type ApiOperation, operationsOf } from './requests.ts';

const found = await findSchemathesis();

/** A stream does not end by itself; the rest ends what lets the requests in. */
const LEFT_OUT = ['followRulesets', 'signOut', 'revokeToken', 'control_revokeToken'];

/** What is seen in every answer. That a refused request changes nothing is seen by fuzz.test.ts. */
const CHECKS = [
  'not_a_server_error',
  'status_code_conformance',
  'content_type_conformance',
  'response_headers_conformance',
  'response_schema_conformance',
];

let api: ApiServer;
let all: readonly ApiOperation[];

describe.skipIf(found.missing !== undefined)(
  `the API as schemathesis reads its OpenAPI document${found.missing === undefined ? '' : ` (${found.missing})`}`,
  () => {
    beforeAll(async () => {
      api = await ApiServer.start({ rateLimits: { perSecond: 1e6, burst: 1e6 } });
      all = operationsOf((await api.call('/api/v1/openapi.json')).json).filter(({ id }) => !LEFT_OUT.includes(id));
      // A name that there is: a request about nothing proves little.
      writeFileSync(join(api.folder, 'schemathesis.toml'), '[parameters]\n"path.name" = "items"\n');
    });
    afterAll(() => api?.[Symbol.asyncDispose]());

    const run = (...which: readonly string[]): Promise<string> =>
      schemathesis(found, api.folder, [
        `${api.server.url}/api/v1/openapi.json`,
        ...['--header', `Authorization: Bearer ${api.tokens.admin}`],
        ...LEFT_OUT.flatMap((id) => ['--exclude-operation-id', id]),
        ...['--phases', 'coverage', '--checks', CHECKS.join(), '--continue-on-failure', '--no-shrink'],
        // The same requests every time: those of chance are made by fuzz.test.ts.
        ...['--generation-deterministic', '--request-timeout', '60'],
        ...['--warnings', 'off', '--no-color', ...which],
      ]);

    /** The answers so far to an operation, by status. */
    async function answers(): Promise<ReadonlyMap<string, ReadonlySet<number>>> {
      const seen = new Map<string, Set<number>>();
      for (const line of (await api.call('/metrics')).text.split('\n')) {
        const [, labels] = /^changeover_http_request_seconds_count\{(.*)\}/.exec(line) ?? [];
        if (labels === undefined) continue;
        const { method, route, status } = Object.fromEntries(
          [...labels.matchAll(/(\w+)="([^"]*)"/g)].map(([, name, value]) => [name, value]),
        );
        const key = `${method} ${route?.replace(/:(\w+)/g, '{$1}')}`;
        seen.set(key, (seen.get(key) ?? new Set()).add(Number(status)));
      }
      return seen;
    }

    test('every request, right or wrong, is answered as the document says', { timeout: 900_000 }, async () => {
      expect(await run('--exclude-path-regex', '/control/')).toMatch(/No issues found/);
      // What processes ask has long documents; right ones are made by fuzz.test.ts, and take long here.
      expect(await run('--include-path-regex', '/control/', '--mode', 'negative')).toMatch(/No issues found/);

      // None was left out, and the token still let everything in.
      expect((await api.call('/api/v1/session')).status).toBe(200);
      const seen = await answers();
      expect(all.filter(({ method, path }) => !seen.has(`${method} ${path}`)).map(({ id }) => id)).toEqual([]);
      const statuses = [...seen.values()];
      expect(statuses.filter((each) => [...each].some((status) => status < 300)).length).toBeGreaterThan(30);
      expect(statuses.filter((each) => each.has(400)).length).toBeGreaterThan(60);
      expect(statuses.flatMap((each) => [...each]).filter((status) => status >= 500)).toEqual([]);
    });
  },
);

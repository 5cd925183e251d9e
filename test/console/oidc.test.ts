import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ApiServer } from '../server/api-server.ts';
import { CLIENT_ID, IdentityProvider } from '../server/identity-provider.ts';
import { findBrowser, launch } from '../support/browser.ts';
import { freePort } from '../support/servers/free-port.ts';
import { builtConsole } from './console-build.ts';
import { PATIENCE_MS } from './console-stand.ts';

const found = await findBrowser();

let api: ApiServer;
let provider: IdentityProvider;

describe.skipIf(found.missing !== undefined)(
  `signing in to the console by OpenID Connect${found.missing === undefined ? '' : ` (${found.missing})`}`,
  () => {
    beforeAll(async () => {
      await builtConsole();
      const port = await freePort();
      const url = `http://127.0.0.1:${port}`;
      // Another name of this host is another site: cookies of the server do not go along from there.
      provider = await IdentityProvider.start(
        `${url}/api/v1/session/oidc/callback`,
        { ada: { email: 'ada@example.com', email_verified: true, groups: ['sre'] }, bob: {} },
        { host: 'localhost' },
      );
      api = await ApiServer.start({
        port,
        oidc: {
          issuer: provider.issuer,
          clientId: CLIENT_ID,
          clientSecret: provider.clientSecret,
          url,
          name: 'Example',
          scopes: ['email', 'groups'],
          roles: { sre: 'operator' },
        },
      });
    }, 4 * PATIENCE_MS);
    afterAll(async () => {
      await api?.[Symbol.asyncDispose]();
      await provider?.[Symbol.asyncDispose]();
    });

    test.each([
      ['ada', true],
      ['bob', false],
    ])('goes to another site and back: %s gets in: %s', { timeout: 4 * PATIENCE_MS }, async (login, getsIn) => {
      const browser = await launch(found);
      try {
        const page = await browser.newPage();
        page.setDefaultTimeout(PATIENCE_MS);
        await page.goto(api.server.url);
        await page.getByRole('link', { name: 'Sign in with Example' }).click();
        await page.waitForURL((at) => at.origin === provider.issuer);
        await page.locator('input[name="login"]').fill(login);
        await page.locator('input[name="password"]').fill('any');
        await page.locator('button[type="submit"]').click();
        // The provider asks whether the server may know who it is.
        await page.locator('form input[name="prompt"][value="consent"]').waitFor({ state: 'attached' });
        await page.locator('button[type="submit"]').click();
        if (getsIn) {
          await page.getByRole('link', { name: 'items', exact: true }).waitFor();
          expect(await page.content()).toContain('ada@example.com');
        } else {
          await page.getByText('known to Example but has no role here').waitFor();
          await page.getByRole('link', { name: 'Sign in again' }).click();
          await page.getByLabel('Token').waitFor();
        }
        const cookies = await page.context().cookies(api.server.url);
        expect(cookies.map(({ name, httpOnly, sameSite }) => [name, httpOnly, sameSite])).toEqual(
          getsIn ? [['changeover_session', true, 'Strict']] : [],
        );
      } finally {
        await browser.close();
      }
    });
  },
);

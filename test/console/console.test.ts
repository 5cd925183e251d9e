import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findBrowser } from '../support/browser.ts';
import { ConsoleStand, PATIENCE_MS } from './console-stand.ts';
import { barriers, comesTo, inForce } from './page-checks.ts';

const found = await findBrowser();
const TABS = ['', '/divergences', '/verifications', '/fleet', '/history', '/settings'] as const;

const readsOf = (page: Page, store: 'old' | 'new') =>
  page.locator('figure', { hasText: 'Reads/s' }).locator('figcaption li', { hasText: store }).locator('b');

/** Moves a dial by the page. */
async function apply(page: Page, dial: string, to: string, why: string): Promise<void> {
  await page.getByLabel(`${dial}, wanted percentage`).fill(to);
  await page.getByRole('list', { name: 'Gates' }).waitFor();
  const advice = page.getByRole('checkbox', { name: /Go against the advice/ });
  if (await advice.isVisible()) await advice.check();
  await page.getByPlaceholder('Why now?').fill(why);
  await page.getByRole('button', { name: /^Apply / }).click();
}

const TRIES = 12;

/** Moves a dial as an operator does: on a busy machine a handover may be undone, and dirt may have to be repaired first. */
async function move(stand: ConsoleStand, page: Page, dial: string, to: string): Promise<void> {
  const done = page.getByText(`${dial} is ${to} %`, { exact: true });
  const ended = page.getByRole('heading', { name: /^(?:Refused|Cancelled|It did not get through)/ });
  for (let tries = 1; ; tries += 1) {
    await apply(page, dial, to, 'test');
    await done.or(ended).waitFor({ timeout: 2 * PATIENCE_MS });
    if (await done.isVisible()) return;
    const why = (await page.locator('.c5').textContent()) ?? '';
    if (tries === TRIES) throw new Error(why);
    await page.getByRole('button', { name: /^(?:Discard|Close)$/ }).click();
    await stand.repair();
  }
}

// One story, told in order: each test goes on from where the one before it left the dials.
describe.skipIf(found.missing !== undefined)(
  `the console ${found.missing === undefined ? '' : `(${found.missing})`}`,
  () => {
    let stand: ConsoleStand;
    beforeAll(async () => {
      stand = await ConsoleStand.create(found);
    }, 180_000);
    afterAll(() => stand?.[Symbol.asyncDispose]());

    const story = (title: string, run: () => Promise<void>) => test(title, { timeout: 400_000 }, run);

    story('lets nobody in without a token, and says why one does not do', async () => {
      const page = await (await stand.context()).newPage();
      await page.goto(`${stand.url}/migrations/events`);
      await page.getByLabel('Token').fill(`chg_1_${'x'.repeat(43)}`);
      await page.getByRole('button', { name: 'Sign in' }).click();
      await page.getByRole('alert').getByText('unknown, expired or revoked').waitFor();
      expect(await barriers(page)).toEqual([]);
      await page.context().close();
    });

    story('shows the gates of a cutover before it is applied, and that a refused one has changed nothing', async () => {
      const page = await stand.overview({ role: 'operator' });
      await page.getByLabel('cutover, wanted percentage').fill('40');
      const gates = page.getByRole('list', { name: 'Gates' });
      await gates.getByText('order: not passed').waitFor();
      await gates.getByText('coverage: not passed').waitFor();
      // The command that mends it stands beside its gate.
      await gates.getByText(/changeover backfill events/).waitFor();
      await page.getByPlaceholder('Why now?').fill('try it');
      await page.getByRole('button', { name: 'Apply 40 %' }).click();
      await page.getByRole('heading', { name: 'Refused: cutover stays 0 %' }).waitFor();
      await page.locator('.c5').getByText('nothing changed', { exact: true }).waitFor();
      await page.getByRole('alert').getByText('coverage: not passed').waitFor();
      expect(await inForce(page, 'cutover').textContent()).toBe('0 %');
      await page.context().close();
    });

    story('moves dials, the traffic follows, and a second browser stays in step', async () => {
      await stand.serve('api-1');
      await stand.command('set', 'events', 'no-outside-writers', 'yes');
      const page = await stand.overview({ role: 'operator' });
      const other = await stand.overview({ role: 'viewer', scheme: 'dark' });

      await move(stand, page, 'dual-write', '100');
      await comesTo(
        other,
        () => inForce(other, 'dual-write').textContent(),
        (text) => text === '100 %',
      );

      await page.getByRole('button', { name: 'Backfill…' }).click();
      await page.getByLabel('Reason (start the backfill)').fill('fill it');
      await page.getByRole('button', { name: 'Start the backfill' }).click();
      await comesTo(
        other,
        () => other.locator('.glance').textContent(),
        (text) => text.includes('Coverage in order100 %'),
      );

      // No reads on the new store before the cutover.
      await comesTo(
        page,
        () => readsOf(page, 'old').textContent(),
        (text) => Number(text) > 0,
      );
      expect(['0', '–']).toContain(await readsOf(page, 'new').textContent());
      await move(stand, page, 'cutover', '100');
      await comesTo(
        other,
        () => inForce(other, 'cutover').textContent(),
        (text) => text === '100 %',
      );
      await comesTo(
        page,
        () => readsOf(page, 'new').textContent(),
        (text) => Number(text) > 0,
      );
      // The move is marked on the charts, in words too.
      await page
        .locator('.marks')
        .getByText(/cutover 0 % → 100 %/)
        .first()
        .waitFor();
      await page.context().close();
      await other.context().close();
    });

    story('works by keyboard alone', async () => {
      const page = await stand.overview({ role: 'operator' });
      const slider = page.getByRole('slider', { name: 'shadow-read, wanted' });
      await slider.focus();
      for (const [key, text] of [
        ['ArrowRight', 'wanted canary, in force 0 %'],
        ['ArrowRight', 'wanted 1 %, in force 0 %'],
        ['Shift+ArrowRight', 'wanted 1.001 %, in force 0 %'],
        ['PageUp', 'wanted 11.001 %, in force 0 %'],
        ['End', 'wanted 100 %, in force 0 %'],
        ['Home', 'wanted 0 %, in force 0 %'],
      ] as const) {
        await page.keyboard.press(key);
        await comesTo(
          page,
          () => slider.getAttribute('aria-valuetext'),
          (now) => now === text,
        );
      }
      await page.keyboard.press('ArrowRight');
      await page.keyboard.press('ArrowRight');
      await page.getByRole('button', { name: 'Apply 1 %' }).waitFor();
      await page.keyboard.press('Escape');
      await comesTo(
        page,
        () => slider.getAttribute('aria-valuetext'),
        (now) => now === 'wanted 0 %, in force 0 %',
      );
      // The button that is pressed goes away; the focus does not fall back to the beginning of the page.
      await page.getByLabel('shadow-read, wanted percentage').fill('7');
      await page.getByPlaceholder('Why now?').fill('by hand');
      const button = page.getByRole('button', { name: 'Apply 7 %' });
      await expect.poll(() => button.isEnabled(), { timeout: PATIENCE_MS }).toBe(true);
      await button.press('Enter');
      await page.getByRole('heading', { name: /^(?:Revision|Refused|Cancelled|It did not get through)/ }).waitFor();
      await expect.poll(() => page.evaluate('document.activeElement.id'), { timeout: PATIENCE_MS }).toBe('change');
      await stand.command('set', 'events', 'shadow-read', '0');
      await page.context().close();
    });

    story('changes a setting, by the name that the command line has for it', async () => {
      const page = await stand.overview({ role: 'operator' });
      await page.getByRole('link', { name: 'Settings' }).click();
      await page.getByLabel('Find a setting').fill('verification');
      await page.getByRole('rowheader', { name: 'verification-ttl-ms' }).waitFor();
      await page.getByRole('button', { name: 'Change verification', exact: true }).click();
      await page.getByLabel('verification', { exact: true }).selectOption('proven');
      await page.getByLabel('Reason for changing verification').fill('be sure');
      await page.getByRole('button', { name: 'Save' }).click();
      await page.getByRole('cell', { name: 'proven', exact: true }).waitFor();
      await stand.command('set', 'events', 'verification', 'full');
      await page.getByRole('cell', { name: 'full', exact: true }).waitFor();
      await page.context().close();
    });

    story('lets a viewer move nothing, by the page or by the API', async () => {
      const page = await stand.overview({ role: 'viewer' });
      await page.getByText('you see everything and move nothing').waitFor();
      for (const dial of ['dual-write', 'shadow-read', 'cutover']) {
        expect(await page.getByRole('slider', { name: `${dial}, wanted` }).isDisabled()).toBe(true);
        expect(await page.getByLabel(`${dial}, wanted percentage`).isDisabled()).toBe(true);
      }
      expect(await page.getByRole('button', { name: 'Return to old store' }).isDisabled()).toBe(true);
      expect(await page.getByRole('button', { name: 'Backfill…' }).isDisabled()).toBe(true);
      const send = (path: string, body: object, method = 'POST') =>
        page.evaluate(
          async ([url, how, text]) => {
            const headers = { 'content-type': 'application/json', 'x-changeover': 'console' };
            return (await fetch(url as string, { method: how as string, headers, body: text as string })).status;
          },
          [`/api/v1/migrations/events${path}`, method, JSON.stringify({ reason: 'mine', ...body })],
        );
      const before = await inForce(page, 'cutover').textContent();
      expect(await send('/dials', { dial: 'cutover', to: 0 })).toBe(403);
      expect(await send('/rollback', {})).toBe(403);
      expect(await send('/emergency', {})).toBe(403);
      expect(await send('/stage', { stage: 'off' })).toBe(403);
      expect(await send('/settings', { settings: { holdTimeoutMs: 1 } }, 'PATCH')).toBe(403);
      await page.reload();
      await comesTo(
        page,
        () => inForce(page, 'cutover').textContent(),
        (text) => text === before,
      );
      await page.context().close();
    });

    story('shows what differs field by field, and repairs it', async () => {
      const database = stand.served.project.database('old');
      const { changes } = database
        .prepare(`UPDATE events SET body = '{"n":-1}' WHERE id IN ('seed-1', 'seed-2')`)
        .run();
      database.close();
      expect(changes).toBe(2);
      const page = await stand.overview({ role: 'operator' });
      await page.getByRole('link', { name: 'Verifications' }).click();
      await page.getByLabel('Reason for a verification').fill('look');
      await page.getByRole('button', { name: 'Verify', exact: true }).click();
      await page.getByRole('cell', { name: 'divergent' }).waitFor();
      const opened = page.context().waitForEvent('page');
      await page.getByRole('link', { name: /^html report/ }).click();
      const report = await opened;
      await report.getByText('seed-1').first().waitFor();
      await report.close();
      await page.getByRole('link', { name: /^Divergences/ }).click();
      await page.getByRole('button', { name: 'u1 : seed-1', exact: true }).click();
      await page.getByRole('region', { name: 'Fields' }).getByText('≠ n').waitFor();
      await page.getByRole('button', { name: /^Repair 2…/ }).click();
      await page.getByLabel('Reason for the repair').fill('mend');
      await page.getByRole('button', { name: 'Repair', exact: true }).click();
      await page.getByRole('heading', { name: 'Nothing differs' }).waitFor();
      await page.context().close();
    });

    story('keeps nobody out, in light and dark, and fits 360 px and a wall screen', async () => {
      const page = await stand.page({ role: 'operator' });
      const look = async (what: string): Promise<void> => {
        for (const colorScheme of ['light', 'dark'] as const) {
          await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
          expect(await barriers(page), `${what}, ${colorScheme}`).toEqual([]);
        }
        for (const width of [360, 1_760, 1_440]) {
          await page.setViewportSize({ width, height: 900 });
          const beyond = await page.evaluate('document.documentElement.scrollWidth - innerWidth');
          expect(beyond, `${what}, ${width} px`).toBe(0);
        }
      };
      await look('the list');
      for (const tab of TABS) {
        await page.goto(`${stand.url}/migrations/events${tab}`);
        await page.getByRole('heading', { name: 'events', level: 1 }).waitFor();
        await page.locator('.panel').first().waitFor();
        await look(tab);
      }
      await page.context().close();
    });

    story('says that the connection is lost, comes back by itself and catches up', async () => {
      const page = await stand.overview({ role: 'operator' });
      await page.getByText('Live', { exact: true }).waitFor();
      await stand.served.kill('SIGKILL');
      await page.getByRole('alert').getByText('The connection to the server is lost').waitFor();
      await page.getByText('changeover rollback events --reason "on call"').waitFor();
      expect(await page.getByRole('slider', { name: 'cutover, wanted' }).isDisabled()).toBe(true);
      await stand.served.restart();
      await stand.command('set', 'events', 'shadow-read', '5');
      await page.getByText('Live', { exact: true }).waitFor();
      expect(await page.getByText('The connection to the server is lost').count()).toBe(0);
      await comesTo(
        page,
        () => inForce(page, 'shadow-read').textContent(),
        (text) => text === '5 %',
      );
      await page.context().close();
    });

    story('returns to the old store with one button, asked once', async () => {
      const page = await stand.overview({ role: 'operator' });
      const button = page.getByRole('button', { name: 'Return to old store' });
      await button.click();
      const dialog = page.getByRole('dialog', { name: 'Return events to the old store?' });
      await page.keyboard.press('Escape');
      await dialog.waitFor({ state: 'hidden' });
      expect(await inForce(page, 'cutover').textContent()).toBe('100 %');
      await button.click();
      // What the other way would leave behind is there to read before anybody chooses it.
      await dialog.getByLabel(/^Emergency/).check();
      await dialog.getByText('Leaves behind').waitFor();
      await dialog.getByLabel(/^Fenced/).check();
      const back = dialog.getByText(/The old store leads everything again/);
      const failed = dialog.getByRole('alert');
      for (let tries = 1; ; tries += 1) {
        await dialog.getByRole('button', { name: 'Return to old store' }).click();
        await back.or(failed).waitFor({ timeout: 2 * PATIENCE_MS });
        if (await back.isVisible()) break;
        // The same as above: a busy machine, not a broken button.
        if (tries === TRIES) throw new Error((await failed.textContent()) ?? '');
        await stand.repair();
      }
      await dialog.getByRole('button', { name: 'Close' }).click();
      await comesTo(
        page,
        () => inForce(page, 'cutover').textContent(),
        (text) => text === '0 %',
      );
      await page.context().close();
    });
  },
);

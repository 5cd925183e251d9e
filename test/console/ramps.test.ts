import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findBrowser } from '../support/browser.ts';
import { ConsoleStand, PATIENCE_MS } from './console-stand.ts';
import { barriers, comesTo, inForce } from './page-checks.ts';

const found = await findBrowser();

interface Wanted {
  readonly dial: string;
  readonly steps: string;
  readonly hold: string;
  readonly unit: string;
}

/** Fills in the editor; a machine that is busy breaks no budget but the one that the test is about. */
async function fill(page: Page, { dial, steps, hold, unit }: Wanted): Promise<void> {
  await page.getByLabel(/^Dial, in force/).selectOption(dial);
  await page.getByLabel(/^Steps/).fill(steps);
  await page.getByLabel('Clean hold of each').fill(hold);
  await page.getByLabel('Unit').selectOption(unit);
  await page.getByLabel('More errors, %').fill('100');
  await page.getByLabel('Divergence, %').fill('5');
  if (dial === 'cutover') await page.getByLabel('p99 never below, ms').fill('600000');
  await page
    .getByRole('region', { name: 'New ramp' })
    .getByLabel(/^Reason/)
    .fill('OPS-2291');
}

const panel = (page: Page) => page.getByRole('region', { name: /^Ramp of / });

/** Waits until the ramp says so, and does meanwhile what an operator would do where a gate holds it. */
async function goesTo(stand: ConsoleStand, page: Page, says: string): Promise<void> {
  const there = panel(page).getByText(says, { exact: true });
  const waits = panel(page).getByText('It waits for its gates');
  const until = Date.now() + 3 * PATIENCE_MS;
  while (!(await there.isVisible())) {
    if (Date.now() > until) throw new Error(`the page still says "${await panel(page).textContent()}"`);
    if (await waits.isVisible()) await stand.repair();
    await page.waitForTimeout(200);
  }
}

/** The new store keeps something else than what it is given, and says nothing of it. */
function breakNewStore({ served }: ConsoleStand): void {
  const database = served.project.database('new');
  for (const deed of ['INSERT', 'UPDATE']) {
    database.exec(`CREATE TRIGGER broken_${deed} AFTER ${deed} ON events BEGIN
      UPDATE events SET body = '{"n":-1}' WHERE userKey = NEW.userKey AND id = NEW.id;
    END`);
  }
  database.close();
}

// One story, told in order.
describe.skipIf(found.missing !== undefined)(
  `a ramp in the console ${found.missing === undefined ? '' : `(${found.missing})`}`,
  () => {
    let stand: ConsoleStand;
    let page: Page;
    let other: Page;
    beforeAll(async () => {
      stand = await ConsoleStand.create(found);
      await stand.serve('api-1');
      await stand.command('set', 'events', 'no-outside-writers', 'yes');
      await stand.command('set', 'events', 'dual-write', '100');
      await stand.command('backfill', 'events');
      page = await stand.overview({ role: 'operator' });
      other = await stand.overview({ role: 'viewer', scheme: 'dark' });
    }, 300_000);
    afterAll(() => stand?.[Symbol.asyncDispose]());

    const story = (title: string, run: () => Promise<void>) => test(title, { timeout: 400_000 }, run);

    story('is refused in the words of the server, then goes step by step before everybody’s eyes', async () => {
      await page.getByRole('button', { name: 'Ramp…' }).click();
      await page.getByLabel('Dial, in force 0 %').waitFor();
      // What it would do stands beside it, with what its first step would wait for.
      const editor = page.getByRole('region', { name: 'New ramp' });
      await editor.getByText('cutover from 0 % to canary, 1 %, 5 %, 25 %, 50 %, 100 %').waitFor();
      await editor.getByText('shadow-read stands at 0 %').waitFor();
      expect(await barriers(page)).toEqual([]);
      await fill(page, { dial: 'cutover', steps: '0', hold: '10', unit: 'min' });
      await page.keyboard.press('Enter');
      await editor.getByRole('alert').getByText('0 % does not come after 0 %').waitFor();

      await fill(page, { dial: 'shadow-read', steps: '50, 100', hold: '1', unit: 's' });
      await editor.getByRole('button', { name: 'Start the ramp' }).click();
      await goesTo(stand, page, 'done, at 100 %');
      await panel(other).getByText('done, at 100 %').waitFor();
      await comesTo(
        other,
        () => inForce(other, 'shadow-read').textContent(),
        (text) => text === '100 %',
      );
    });

    story('lets a viewer look on, by the page and by the API', async () => {
      const button = other.getByRole('button', { name: 'Ramp…' });
      expect(await button.isDisabled()).toBe(true);
      expect(await button.getAttribute('title')).toBe('your role moves nothing');
      await other.goto(`${stand.url}/migrations/events?ramp=new`);
      await other.getByRole('region', { name: 'New ramp' }).waitFor();
      expect(await other.getByLabel(/^Steps/).isDisabled()).toBe(true);
      expect(await other.getByRole('button', { name: 'Start the ramp' }).isDisabled()).toBe(true);
      const status = await other.evaluate(async () => {
        const headers = { 'content-type': 'application/json', 'x-changeover': 'console' };
        const body = JSON.stringify({ dial: 'cutover', to: 5, holdMs: 0, reason: 'mine' });
        return (await fetch('/api/v1/migrations/events/ramps', { method: 'POST', headers, body })).status;
      });
      expect(status).toBe(403);
      await other.getByRole('button', { name: 'Discard' }).click();
    });

    story('shows its hold and its evidence, and is paused and let go on', async () => {
      await page.getByRole('button', { name: 'Ramp…' }).click();
      await fill(page, { dial: 'cutover', steps: '50, 100', hold: '10', unit: 'min' });
      await page.getByRole('checkbox', { name: /^Go against gates that are advice/ }).check();
      await page.getByRole('button', { name: 'Start the ramp' }).click();
      await goesTo(stand, page, 'at 50 %, step 1 of 2');
      await panel(other).getByRole('progressbar', { name: 'Hold' }).waitFor();
      await panel(other)
        .getByRole('list', { name: 'Budgets' })
        .getByText(/^\d+ of \d+ comparisons differ: at most .* % at 95 %$/)
        .waitFor();
      expect(await panel(other).getByRole('button', { name: 'Pause…' }).isDisabled()).toBe(true);

      await panel(page).getByRole('button', { name: 'Pause…' }).click();
      await page.getByLabel('Reason (pause)').fill('peak hours');
      await page.keyboard.press('Enter');
      await panel(other).getByText('paused at 50 %, step 1 of 2').waitFor();
      for (const width of [360, 1_440]) {
        await page.setViewportSize({ width, height: 900 });
        expect(await page.evaluate('document.documentElement.scrollWidth - innerWidth'), `${width} px`).toBe(0);
      }
      expect(await barriers(page)).toEqual([]);
      await panel(page).getByRole('button', { name: 'Resume…' }).click();
      await page.getByLabel('Reason (resume)').fill('it is over');
      await page.keyboard.press('Enter');
      await goesTo(stand, page, 'at 50 %, step 1 of 2');
      await panel(page).getByRole('progressbar', { name: 'Hold' }).waitFor();
    });

    story('goes back by itself when the new store breaks, and says so until it was seen', async () => {
      breakNewStore(stand);
      const said = other.getByRole('alert').getByText('cutover went back by itself, 50 % → 0 %');
      await said.waitFor({ timeout: 3 * PATIENCE_MS });
      await other
        .getByRole('alert')
        .getByText(/divergence: \d+ of \d+ comparisons differ/)
        .waitFor();
      await comesTo(
        other,
        () => inForce(other, 'cutover').textContent(),
        (text) => text === '0 %',
      );
      await page.locator('.marks').getByText('cutover 50 % → 0 %').first().waitFor();
      expect(await barriers(other)).toEqual([]);

      await other.getByRole('button', { name: 'I have seen it' }).click();
      await said.waitFor({ state: 'detached' });
      await other.reload();
      await panel(other).getByText('went back to 0 % by itself').waitFor();
      expect(await said.count()).toBe(0);
      // Somebody else has seen it: that is no word for me.
      await page.getByRole('alert').getByText('cutover went back by itself').waitFor();

      await page.getByRole('link', { name: 'Evidence in the history' }).click();
      const ramps = page.getByRole('region', { name: 'Ramps' });
      await ramps.getByText('went back by itself').waitFor();
      await ramps.getByText('done', { exact: true }).waitFor();
      expect(await barriers(page)).toEqual([]);
    });
  },
);

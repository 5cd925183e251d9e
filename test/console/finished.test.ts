import { describe, expect, test } from 'vitest';
import { findBrowser } from '../support/browser.ts';
import { ConsoleStand } from './console-stand.ts';

const found = await findBrowser();

describe.skipIf(found.missing !== undefined)(
  `the console of a finished migration${found.missing === undefined ? '' : ` (${found.missing})`}`,
  () => {
    test('changes no setting, and says why', { timeout: 400_000 }, async () => {
      await using stand = await ConsoleStand.create(found);
      await stand.command('set', 'events', 'no-outside-writers', 'yes');
      await stand.command('set', 'events', 'dual-write', 'all');
      await stand.command('backfill', 'events');
      await stand.command('set', 'events', 'cutover', 'all', '--force');
      await stand.command('set', 'events', 'retire-old', 'yes', '--force');
      const page = await stand.page({ role: 'operator' });
      await page.goto(`${stand.url}/migrations/events/settings`);
      const button = page.getByRole('button', { name: 'Change replay-rate', exact: true });
      await button.waitFor();
      expect(await button.isDisabled()).toBe(false);
      await stand.command('finish', 'events', '--yes');
      await page.reload();
      await button.waitFor();
      expect(await button.isDisabled()).toBe(true);
      expect(await button.getAttribute('title')).toBe('the migration is finished');
      await page.context().close();
    });
  },
);

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Page } from 'playwright-core';
import { PATIENCE_MS } from './console-stand.ts';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

interface AxeReport {
  readonly violations: readonly {
    readonly id: string;
    readonly impact: string;
    readonly nodes: readonly { readonly html: string }[];
  }[];
}

/** What axe finds that keeps somebody out. */
export async function barriers(page: Page): Promise<string[]> {
  await page.evaluate(AXE);
  const report = (await page.evaluate('axe.run(document, { resultTypes: ["violations"] })')) as AxeReport;
  return report.violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html.slice(0, 200)}`));
}

/** The value of a dial that is in force. */
export const inForce = (page: Page, dial: string) => page.locator(`.dial:has(#dial-${dial}) h3 b`);

/** Waits until a text of the page fits. */
export async function comesTo(
  page: Page,
  read: () => Promise<string | null>,
  fits: (text: string) => boolean,
): Promise<void> {
  const until = Date.now() + PATIENCE_MS;
  for (;;) {
    const text = (await read()) ?? '';
    if (fits(text)) return;
    if (Date.now() > until) throw new Error(`the page still says "${text}"`);
    await page.waitForTimeout(100);
  }
}

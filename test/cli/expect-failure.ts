import { expect } from 'vitest';
import type { Call } from './project.ts';

/** What every failed call owes its reader: one line with the code, then what was expected and what to do; no stack. */
export function expectFailure(call: Call, code: number, name: string): void {
  expect(call).toMatchObject({ code });
  expect(call.stderr).toMatch(new RegExp(`^error: [^\\n]+ \\[${name}\\]\\n`));
  expect(call.stderr.split('\n').length).toBeLessThanOrEqual(5);
  expect(`${call.stdout}${call.stderr}`).not.toMatch(/\n\s+at |node:internal|file:\/\//);
}

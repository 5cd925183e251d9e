import type { Reporter, TestModule, Vitest } from 'vitest/node';
import { type FoundServers, NO_BROWSER, NO_SCHEMATHESIS, SERVER_NAMES } from './servers/names.ts';

const NO_SERVER = new RegExp(`\\bno (?:${SERVER_NAMES.join('|')}) server\\b`, 'g');
const NO_ENGINE = /\bno Docker engine\b/g;
const WANTED_PROGRAM = new RegExp(`\\b(?:${NO_BROWSER}|${NO_SCHEMATHESIS})\\b`, 'g');

/**
 * Ends a run with `N passed, N failed` alone on a line (and `, N skipped` where a test was, with the servers that were
 * wanting), for CI to read. Before it stands a line for each of these: how many tests it cost, and why it is not there.
 */
export default class ClosingLineReporter implements Reporter {
  #vitest: Vitest | undefined;

  onInit(vitest: Vitest): void {
    this.#vitest = vitest;
  }

  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const found: FoundServers | undefined = this.#vitest?.getRootProject().getProvidedContext().foundServers;
    let passed = 0;
    let skipped = 0;
    let failed = unhandledErrors.length + (found?.problems.length ?? 0);
    const wanting = new Map<string, number>();
    for (const module of modules) {
      if (module.errors().length > 0) failed += 1;
      for (const test of module.children.allTests()) {
        const result = test.result();
        if (result.state === 'passed') passed += 1;
        else if (result.state === 'skipped') {
          skipped += 1;
          const said = `${test.fullName} ${result.note ?? ''}`;
          for (const what of whatWasWanting(said, module.moduleId, found)) {
            wanting.set(what, (wanting.get(what) ?? 0) + 1);
          }
        } else failed += 1;
      }
    }
    const lines = [...wanting].map(([what, tests]) => `skipped ${tests} for want of it: ${reason(what, found)}`);
    const names = wanting.size === 0 ? '' : ` (${[...wanting.keys()].join(', ')})`;
    lines.push(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped${names}` : ''}`);
    // The summary of the default reporter is printed in the same phase; ours has to be the last line.
    process.once('exit', () => process.stdout.write(`${lines.join('\n')}\n`));
  }
}

/** By the test's title or note, which say so; else by what its file asks for. */
function whatWasWanting(text: string, file: string, found: FoundServers | undefined): readonly string[] {
  // That there is no server may have its reason in that there is no engine.
  const said = text.match(NO_SERVER) ?? text.match(NO_ENGINE) ?? text.match(WANTED_PROGRAM);
  if (said !== null) return [...new Set(said)];
  const missing = (found?.needs[file] ?? []).filter((name) => found?.servers[name]?.missing !== undefined);
  return missing.map((name) => `no ${name} server`);
}

function reason(what: string, found: FoundServers | undefined): string {
  return Object.values(found?.servers ?? {}).find(({ missing }) => missing?.startsWith(`${what}:`))?.missing ?? what;
}

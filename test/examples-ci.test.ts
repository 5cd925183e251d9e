import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { expect, onTestFinished, test } from 'vitest';

const root = join(import.meta.dirname, '..');

interface Step {
  readonly name: string;
  readonly condition: string | null;
  readonly script: string;
}

/** The steps with a script of a workflow that is written as plainly as ours. */
function stepsOf(workflow: string): Step[] {
  const [, steps = ''] = workflow.split(/^ {4}steps:\n/m);
  return steps.split(/^ {6}- /m).flatMap((step) => {
    const name = /^name: (.+)$/m.exec(step)?.[1];
    const block = /^ {8}run: \|\n((?: {10}.*\n?)+)/m.exec(step)?.[1];
    const script = block?.replace(/^ {10}/gm, '') ?? /^ {8}run: (?!\|)(.+)$/m.exec(step)?.[1];
    if (name === undefined || script === undefined) return [];
    return [{ name, condition: /^ {8}if: (.+)$/m.exec(step)?.[1] ?? null, script }];
  });
}

/** Lines of the job's script, as GitLab has them. */
function scriptOf(job: string): string[] {
  const [, lines = ''] = /^ {2}script:\n((?: {4}- .*\n)+)/m.exec(job) ?? [];
  return lines
    .trimEnd()
    .split('\n')
    .map((line) => line.replace(/^ {4}- /, ''));
}

interface Outcome {
  readonly code: number;
  readonly said: string;
}

/** A repository with the quick start's configuration, everything mirrored and backfilled, as a runner checks it out. */
class Runner {
  readonly folder = mkdtempSync(join(tmpdir(), 'changeover-ci-'));
  readonly #env: NodeJS.ProcessEnv;

  constructor() {
    onTestFinished(() => rmSync(this.folder, { recursive: true, force: true }));
    cpSync(join(root, 'examples/quick-start'), this.folder, { recursive: true });
    mkdirSync(join(this.folder, 'node_modules/.bin'), { recursive: true });
    symlinkSync(root, join(this.folder, 'node_modules/changeover'));
    symlinkSync(join(root, 'node_modules/better-sqlite3'), join(this.folder, 'node_modules/better-sqlite3'));
    symlinkSync(join(root, 'bin/changeover.js'), join(this.folder, 'node_modules/.bin/changeover'));
    this.#env = {
      ...process.env,
      NO_COLOR: '1',
      MIGRATION: 'orders',
      GITHUB_RUN_ID: '4711',
      GITHUB_STEP_SUMMARY: join(this.folder, 'summary.md'),
      CI_PIPELINE_ID: '42',
    };
  }

  /** As a runner runs a script: bash ends it at the first failure. */
  run(script: string): Promise<Outcome> {
    return new Promise((resolve) => {
      execFile('bash', ['-e', '-c', script], { cwd: this.folder, env: this.#env }, (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 255;
        resolve({ code, said: `${stdout}${stderr}` });
      });
    });
  }

  /** The workflow after its checkout: a step is skipped after a failure unless it says that it runs all the same. */
  async workflow(steps: readonly Step[]): Promise<{ readonly failed: readonly string[]; readonly said: string }> {
    const failed: string[] = [];
    let said = '';
    for (const { name, condition, script } of steps) {
      if (name === 'Install' || (failed.length > 0 && condition === null)) continue;
      const outcome = await this.run(script);
      said += outcome.said;
      if (outcome.code !== 0) failed.push(`${name} ${outcome.code}`);
    }
    return { failed, said };
  }

  read(name: string): string {
    return existsSync(join(this.folder, name)) ? readFileSync(join(this.folder, name), 'utf8') : '';
  }
}

test('the CI jobs pass while the stores agree, fail when they differ, and keep the reports', {
  timeout: 300_000,
}, async () => {
  const runner = new Runner();
  const steps = stepsOf(readFileSync(join(root, 'examples/ci/github-actions.yaml'), 'utf8'));
  expect(steps.map(({ name }) => name)).toEqual(['Install', 'Verify', 'Summary']);
  const gitlab = scriptOf(readFileSync(join(root, 'examples/ci/gitlab-ci.yaml'), 'utf8'));
  expect(gitlab).toHaveLength(1);

  for (const line of [
    'node create-tables.ts',
    'node_modules/.bin/changeover prepare orders',
    'node_modules/.bin/changeover set orders no-outside-writers yes --reason test',
    'node_modules/.bin/changeover set orders dual-write 100 --reason test',
    'node_modules/.bin/changeover backfill orders --reason test',
  ]) {
    expect(await runner.run(line), line).toMatchObject({ code: 0 });
  }

  const passed = await runner.workflow(steps);
  expect(passed.failed, passed.said).toEqual([]);
  expect(passed.said).toMatch(/^::notice title=orders%3A consistent::/m);
  expect(runner.read('summary.md')).toContain('## orders: consistent');
  expect(JSON.parse(runner.read('reports/verify.json'))).toMatchObject({
    verdict: 'consistent',
    counts: { equal: 500 },
  });
  expect(runner.read('reports/verify.xml')).toContain('failures="0" errors="0"');

  const database = new Database(join(runner.folder, 'new.db'));
  database.exec('DELETE FROM sales_orders WHERE order_no = 7');
  database.close();
  const differs = await runner.workflow(steps);
  expect(differs.failed).toEqual(['Verify 1']);
  expect(differs.said).toMatch(/^::error title=orders%3A divergent::/m);
  expect(differs.said).toMatch(/^::error title=missing%3A customer="customer-7"%2C number=7::/m);
  expect(runner.read('summary.md')).toContain('## orders: divergent');
  expect(runner.read('reports/verify.html')).toContain('<!doctype html>');
  expect(runner.read('reports/verify.xml')).toContain('failures="1" errors="0"');

  rmSync(join(runner.folder, 'reports'), { recursive: true });
  expect(await runner.run(gitlab[0] as string)).toMatchObject({ code: 1 });
  expect(runner.read('reports/verify.xml')).toContain('<failure type="missing"');

  // A run that cannot even begin leaves no report of an earlier one to be taken for its own.
  rmSync(join(runner.folder, 'old.db'));
  const unreachable = await runner.workflow(steps);
  expect(unreachable.failed).toHaveLength(1);
  expect(runner.read('reports/verify.xml')).toBe('');
  expect(runner.read('reports/verify.json')).toBe('');
});

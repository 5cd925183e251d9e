import { join } from 'node:path';
import Database from 'better-sqlite3';
import { expect, test } from 'vitest';
import { loadConfig } from '../../src/cli/load-config.ts';
import { open } from '../../src/index.ts';
import { Project } from './project.ts';

const schemaOf = (path: string): unknown => {
  const file = new Database(path);
  const [row] = file.prepare('SELECT max(name) AS latest FROM changeover_schema').all();
  file.close();
  return (row as { readonly latest: unknown }).latest;
};

async function ok(project: Project, ...args: readonly string[]): Promise<void> {
  const { code, stderr } = await project.run(...args);
  expect(code, `${args.join(' ')}: ${stderr}`).toBe(0);
}

/** Takes the last migration of the control plane back, as the version before has left it. Says what that one had and this one has. */
function age(path: string): readonly [before: unknown, now: unknown] {
  const now = schemaOf(path);
  const file = new Database(path);
  file.exec('ALTER TABLE history DROP COLUMN cohort_moves');
  file.prepare('DELETE FROM changeover_schema WHERE name = ?').run('014-cohort-moves');
  file.close();
  return [schemaOf(path), now];
}

test('a control plane of the version before is upgraded by prepare, and by no other command or service', {
  timeout: 120_000,
}, async () => {
  await using project = Project.create();
  const path = join(project.folder, '.changeover/control.db');
  await ok(project, 'prepare', 'events');
  const [before, now] = age(path);
  expect(before).not.toBe(now);
  for (const command of [['status', 'events'], ['doctor', 'events'], ['fleet'], ['prepare', 'events', '--dry-run']]) {
    const { code, stdout, stderr } = await project.run(...command);
    expect(code, command.join(' ')).not.toBe(0);
    expect(`${stdout}${stderr}`, command.join(' ')).toContain('lacks tables of this version');
    expect(`${stdout}${stderr}`, command.join(' ')).toContain('changeover prepare');
    expect(schemaOf(path), command.join(' ')).toBe(before);
  }
  const config = { ...(await loadConfig(join(project.folder, 'changeover.config.ts'))), control: `sqlite:${path}` };
  await expect(open(config)).rejects.toMatchObject({ code: 'NOT_PREPARED', remedy: 'changeover prepare' });
  expect(schemaOf(path)).toBe(before);

  await ok(project, 'prepare', 'events');
  expect(schemaOf(path)).toBe(now);
  await ok(project, 'status', 'events');
});

import { type StdioOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { expect, onTestFinished, test } from 'vitest';
import { BIN, Project } from './project.ts';

test('a command whose output finds no room goes on to its end, and says that it is lost', {
  timeout: 60_000,
}, async () => {
  await using project = Project.create();
  const full = openSync('/dev/full', 'w');
  onTestFinished(() => closeSync(full));
  const run = async (stdio: StdioOptions, ...args: string[]) => {
    const call = spawn(process.execPath, [BIN, ...args], { cwd: project.folder, stdio });
    const said = call.stderr === null ? '' : text(call.stderr);
    const [code] = await once(call, 'exit');
    return { code, stderr: await said };
  };
  const confirm = (answer: string) => ['set', 'events', 'no-outside-writers', answer, '--reason', 'x'];
  const lost = 'stdout cannot be written: ENOSPC; the command went on to its end, but its output is lost\n';
  expect(await run(['ignore', full, 'pipe'], ...confirm('yes'))).toEqual({ code: 3, stderr: lost });
  expect((await project.run('set', 'events', 'dual-write', '0', '--reason', 'x')).code).toBe(0);
  expect(await run(['ignore', full, full], 'status')).toEqual({ code: 3, stderr: '' });
  expect(await run(['ignore', 'ignore', full], ...confirm('no'))).toEqual({ code: 0, stderr: '' });
  const refused = await run(['ignore', full, 'pipe'], 'set', 'events', 'dual-write', '10', '--reason', 'x');
  expect(refused).toEqual({ code: 1, stderr: expect.stringContaining(lost) });
});

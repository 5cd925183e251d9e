import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { CONFIG, Project } from './project.ts';

/** Says by which process, and with which limits of V8, it was loaded. */
const TELLING = `${CONFIG}
import { writeFileSync } from 'node:fs';
writeFileSync('loaded.json', JSON.stringify({ id: process.pid, args: process.execArgv }));
`;

test.skipIf(process.platform === 'win32')(
  'long work keeps its heap small, as the process that was started',
  {
    timeout: 120_000,
  },
  async () => {
    await using project = Project.create(TELLING);
    for (const [command, lean] of [
      ['verify', true],
      ['status', false],
    ] as const) {
      const child = project.start(command, 'nothing', '--json');
      const said = text(child.stdout!);
      const [code] = (await once(child, 'exit')) as [number];
      expect(code).toBe(3);
      expect(await said).toContain('"UNKNOWN_MIGRATION"');
      const { id, args } = JSON.parse(project.read('loaded.json')) as { id: number; args: string[] };
      expect(id).toBe(child.pid);
      expect(args.some((arg) => arg.startsWith('--max-semi-space-size='))).toBe(lean);
    }
  },
);

import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { CONFIG, Project } from './project.ts';

/** Says by which process, and with which limits of V8 and of the C library, it was loaded. */
const TELLING = `${CONFIG}
import { writeFileSync } from 'node:fs';
writeFileSync('loaded.json', JSON.stringify({ id: process.pid, args: process.execArgv, arenas: process.env.MALLOC_ARENA_MAX }));
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
      const { id, args, arenas } = JSON.parse(project.read('loaded.json')) as {
        id: number;
        args: string[];
        arenas?: string;
      };
      expect(id).toBe(child.pid);
      expect(args.some((arg) => arg.startsWith('--max-semi-space-size='))).toBe(lean);
      expect(arenas).toBe(process.env['MALLOC_ARENA_MAX'] ?? (lean ? '1' : undefined));
    }
  },
);

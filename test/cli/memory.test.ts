import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { CONFIG, Project } from './project.ts';

const LEAN = '--max-semi-space-size=8';

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
      expect(args.includes(LEAN)).toBe(lean);
      expect(arenas).toBe(process.env['MALLOC_ARENA_MAX'] ?? (lean ? '1' : undefined));
    }
  },
);

test.skipIf(process.platform === 'win32')(
  'a backfill takes no more memory for more records, and less than 250 MB',
  { timeout: 240_000 },
  async () => {
    const script = join(import.meta.dirname, '../../bench/replay-memory.ts');
    const [few, many] = await Promise.all(
      [300_000, 2_400_000].map(async (records) => {
        // As the command line runs it.
        const args = [LEAN, '--heap-growing-percent=20', script, String(records)];
        const env = { ...process.env, MALLOC_ARENA_MAX: '1' };
        const { stdout } = await promisify(execFile)(process.execPath, args, { env });
        return Number(stdout);
      }),
    );
    expect(many).toBeLessThan(250);
    expect((many ?? 0) - (few ?? 0)).toBeLessThan(30);
  },
);

/** A run that has two servers kept and then waits to be killed; a script. Says its servers' pids and its folder. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { KeeperLink } from './keeper-link.ts';
import { keeperFile } from './run-folder.ts';

const keeper = await KeeperLink.begin();
/** Like a server that will not end: only SIGKILL ends it. */
const STUBBORN = "process.on('SIGTERM', () => {}); setInterval(() => {}, 1000)";
for (const name of ['first', 'second']) {
  keeper.start({
    name,
    program: process.execPath,
    args: ['-e', STUBBORN, keeper.folder],
    env: {},
    cwd: keeper.folder,
    log: join(keeper.folder, `${name}.log`),
    stopSignal: 'SIGKILL',
  });
}

const pidOf = (file: string): number => {
  try {
    return Number(readFileSync(file, 'utf8'));
  } catch {
    return 0;
  }
};
let pids: readonly number[] = [0];
while (pids.includes(0)) {
  await pause(20);
  pids = ['first', 'second'].map((name) => pidOf(join(keeper.folder, `${name}.pid`)));
}
process.send?.({ folder: keeper.folder, keeper: pidOf(keeperFile(keeper.folder)), pids });
setInterval(() => undefined, 1_000);

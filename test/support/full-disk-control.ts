/** A control database on a disk that is full, and has room again; a script. argv: the disk. Prints what calls came to. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { ControlPlane } from '../../src/control/control-plane.ts';
import { knexStorage } from '../../src/control/knex-storage.ts';
import { systemClock } from '../../src/core/clock.ts';
import { ChangeoverError } from '../../src/core/errors.ts';
import { migrationRow } from './control-rows.ts';
import { fill } from './fill-disk.ts';

const [disk = ''] = process.argv.slice(2);
const storage = knexStorage({ path: join(disk, 'control.db') });
await storage.prepare();
const plane = new ControlPlane(storage, systemClock);

async function errorOf(call: Promise<unknown>): Promise<ChangeoverError | null> {
  try {
    await call;
    return null;
  } catch (error) {
    if (error instanceof ChangeoverError) return error;
    throw error;
  }
}
const look = async (name: string) => ({
  write: await errorOf(storage.transaction((tx) => tx.insert('migrations', migrationRow(name)))),
  writable: await errorOf(plane.writable()),
  notices: await storage.read((tx) => tx.count('notices', {})),
});

const empty = await look('a');
const filler = fill(disk);
const full = await look('b');
rmSync(filler);
const room = await look('b');
await storage.close();
process.stdout.write(JSON.stringify({ empty, full, room }));

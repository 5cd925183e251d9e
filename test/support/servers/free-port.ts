import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';

const LEAST = 12_000;
const ENOUGH = 1_000;

/** Where the system picks no ports by itself, whoever asks it for one between a look at a port and its use. */
const [FIRST, LAST] = apart();
let next = FIRST + Math.floor(Math.random() * (LAST - FIRST));

/** A port of this host that nobody listens at, nor gets by chance before it is used. */
export async function freePort(): Promise<number> {
  for (;;) {
    next = next < LAST ? next + 1 : FIRST;
    if (await isFree(next)) return next;
  }
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    server.close();
    await once(server, 'close');
    return true;
  } catch {
    return false;
  }
}

/** The wider part beside the range of ports that Linux gives to whoever names none; without those that browsers refuse. */
function apart(): readonly [first: number, last: number] {
  let given: readonly number[] = [];
  try {
    given = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').trim().split(/\s+/).map(Number);
  } catch {
    // Another system: theirs begins there, too.
  }
  const [low = 49_152, high = 65_535] = given;
  if (low - LEAST >= ENOUGH) return [LEAST, low - 1];
  // Where there is no such part, one that is seldom met has to do.
  return 65_535 - high >= ENOUGH ? [high + 1, 65_535] : [LEAST, 65_535];
}

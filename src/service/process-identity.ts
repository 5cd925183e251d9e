import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import type { ProcessProbe } from '../control/controller-parts.ts';
import type { NodeInfo } from '../core/control-client.ts';

function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

/** When a process started, in ticks since the boot; a pid alone is used again. Null where that cannot be read. */
function startOf(pid: number): string | null {
  const stat = read(`/proc/${pid}/stat`);
  if (stat === null) return null;
  // The second field is the program's name in parentheses and may hold anything; the start is the 20th after it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  // A zombie has ended: it issues nothing any more.
  return fields[0] === 'Z' || fields[0] === 'X' ? null : (fields[19] ?? null);
}

const bootOf = (): string => read('/proc/sys/kernel/random/boot_id')?.trim() ?? '';

/** Which machine and which numbering of processes a pid belongs to: hosts share names, and containers share kernels. */
function placeOf(): string {
  const machine = (read('/etc/machine-id') ?? read('/var/lib/dbus/machine-id') ?? '').trim();
  try {
    return `${machine}/${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    return `${machine}/`;
  }
}

/** This process, as the fleet names it. */
export function thisProcess(name: string, version: string, commit?: string): NodeInfo {
  const { pid } = process;
  const processId = `${bootOf()}|${startOf(pid) ?? ''}|${placeOf()}`;
  return { host: hostname(), pid, processId, version, name, ...(commit === undefined ? {} : { commit }) };
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Whether a process of this host has ended; of other hosts nothing is known from here. */
export const probeProcess: ProcessProbe = (node) => {
  if (node.host !== hostname()) return 'unknown';
  const [boot = '', start = '', place = ''] = node.processId.split('|');
  const [machine, numbering] = place.split('/');
  const [ourMachine, ourNumbering] = placeOf().split('/');
  if (machine !== ourMachine) return 'unknown';
  if (boot !== '' && boot !== bootOf()) return 'ended';
  if (numbering !== ourNumbering) return 'unknown';
  if (start !== '') return startOf(node.pid) === start ? 'running' : 'ended';
  return exists(node.pid) ? 'running' : 'ended';
};

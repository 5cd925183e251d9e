/**
 * Keeps the servers of one test run; a script in a session of its own, with a channel to the run. When the run asks, and
 * when it is gone however it went (kill -9 too), all of them end, last one first, and their folder is removed.
 * argv: the run's folder, which every server names in its own command line.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { openSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { removeContainers } from './engine-request.ts';
import type { EngineAddress, KeptProcess, Order, Report } from './keeper-orders.ts';

const PATIENCE_MS = 3_000;
const [folder = ''] = process.argv.slice(2);
const kept: { readonly child: ChildProcess; readonly server: KeptProcess }[] = [];
const containers: { readonly engine: EngineAddress; readonly label: string }[] = [];
let stopping: Promise<void> | undefined;

function tell(report: Report): void {
  if (process.connected) process.send?.(report);
}

function start(server: KeptProcess): void {
  const { name, program, args, env, cwd, log, uid, gid } = server;
  const output = openSync(log, 'a');
  const child = spawn(program, args, {
    cwd,
    env: { ...process.env, ...env },
    detached: true,
    stdio: ['ignore', output, output],
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
  });
  child.on('error', (error) => tell({ report: 'ended', name, how: error.message }));
  child.on('exit', (code, signal) => tell({ report: 'ended', name, how: `it ended with ${signal ?? code}` }));
  if (child.pid === undefined) return;
  kept.push({ child, server });
  writeFileSync(join(folder, `${name}.pid`), String(child.pid));
  tell({ report: 'started', name, pid: child.pid });
}

/** To the whole group: a server's own workers too. */
function signal(child: ChildProcess, name: NodeJS.Signals): void {
  try {
    process.kill(-(child.pid as number), name);
  } catch {
    // It is gone.
  }
}

async function end(child: ChildProcess, server: KeptProcess): Promise<void> {
  const { stopSignal, patienceMs = PATIENCE_MS, afterwards = [] } = server;
  if (child.exitCode === null && child.signalCode === null) {
    const ended = once(child, 'exit');
    child.kill(stopSignal);
    await Promise.race([ended, pause(patienceMs)]);
  }
  signal(child, 'SIGKILL');
  const [program, ...args] = afterwards;
  if (program !== undefined) spawnSync(program, args, { stdio: 'ignore' });
}

function stop(): Promise<void> {
  stopping ??= (async () => {
    await Promise.allSettled(containers.map(({ engine, label }) => removeContainers(engine, label)));
    for (const { child, server } of kept.toReversed()) await end(child, server);
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    process.exit();
  })();
  return stopping;
}

process.on('message', (order: Order) => {
  if (order.order === 'start') start(order.server);
  else if (order.order === 'containers') containers.push(order);
  else stop();
});
process.on('disconnect', stop);
for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(name, stop);

/**
 * A process of a fleet. Arguments: the control plane; how many writes a second it makes, all of them of units below
 * 1 % of the line. Answers `longest` with the longest latency of a write since it was asked last, ms.
 */

import { exit } from 'node:process';
import { open } from '../src/index.ts';
import { fleetConfig } from './fleet.ts';

const ONE_PERCENT = 1_000;
const UNITS = 50;

const [place = '', rate = '0'] = process.argv.slice(2);
// Nothing that the bench started outlives it.
process.on('disconnect', () => exit());
const changeover = await open(fleetConfig(place), { logger: 'error' });
const events = changeover.repository('events');

const units: string[] = [];
for (let i = 0; units.length < UNITS; i += 1) {
  if (events.route(`user-${i}`).position < ONE_PERCENT) units.push(`user-${i}`);
}

let n = 0;
let longest = 0;
async function write(): Promise<void> {
  n += 1;
  const begun = performance.now();
  await events.put({ userKey: units[n % UNITS] as string, id: `id-${n % 1_000}`, n });
  longest = Math.max(longest, performance.now() - begun);
}

const started = performance.now();
const timer = setInterval(() => {
  // At a given rate, whatever the answers: those who wait must not slow the others down.
  const due = Math.floor(((performance.now() - started) * Number(rate)) / 1_000);
  while (n < due) {
    write().catch((error: unknown) => {
      console.error(error);
      exit(1);
    });
  }
}, 1);
if (Number(rate) === 0) clearInterval(timer);

process.on('message', (message) => {
  if (message === 'longest') {
    process.send?.(longest);
    longest = 0;
    return;
  }
  clearInterval(timer);
  void changeover.close().then(() => process.disconnect());
});
process.send?.('ready');

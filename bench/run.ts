import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { exit, stdout } from 'node:process';
import { parseArgs } from 'node:util';
import type { Line, Result } from './line.ts';
import { encoding } from './lines/encoding.ts';
import { repository } from './lines/repository.ts';
import { routing } from './lines/routing.ts';
import type { Spread } from './paired.ts';

const LINES: readonly Line[] = [routing, repository, encoding];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { smoke: { type: 'boolean', default: false }, json: { type: 'string' }, rounds: { type: 'string' } },
});
const unknown = positionals.filter((name) => !LINES.some((line) => line.name === name));
if (unknown.length > 0) {
  console.error(`no line ${unknown.join(', ')}; there are ${LINES.map(({ name }) => name).join(', ')}`);
  exit(3);
}

const figure = (value: number): string => (Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3));
const range = ({ min, median, max }: Spread, unit = ''): string =>
  `${figure(median)}${unit} (${figure(min)} to ${figure(max)})`;

function print({ line, compared, unit, pairing, target }: Result): void {
  stdout.write(`${line}\n  ${compared}\n`);
  stdout.write(`  ours ${range(pairing.a, ` ${unit}`)}, theirs ${range(pairing.b, ` ${unit}`)}\n`);
  stdout.write(`  ratio ${range(pairing.ratio)}, difference ${range(pairing.difference, ` ${unit}`)}\n`);
  if (target !== null && !values.smoke)
    stdout.write(`  ${target.reached ? 'reached' : 'NOT REACHED'}: ${target.text}\n`);
}

const rounds = values.smoke ? 1 : Number(values.rounds ?? 15);
const machine = { node: process.version, cpu: cpus()[0]?.model, cores: cpus().length, date: new Date().toISOString() };
stdout.write(
  `${machine.cores} × ${machine.cpu}, Node ${machine.node}; median (least to most) of ${rounds} rounds by turns\n\n`,
);
const results: Result[] = [];
for (const line of LINES) {
  if (positionals.length > 0 && !positionals.includes(line.name)) continue;
  for await (const result of line.measure({ rounds, scale: values.smoke ? 0.02 : 1 })) {
    results.push(result);
    print(result);
  }
}
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify({ machine, rounds, results }, null, 2)}\n`);

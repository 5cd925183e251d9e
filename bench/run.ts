import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { dirname, join } from 'node:path';
import { exit, stdout } from 'node:process';
import { parseArgs } from 'node:util';
import type { Line, NotMeasured, Result } from './line.ts';
import { backfillLine } from './lines/backfill.ts';
import { dial } from './lines/dial.ts';
import { dynamodbLine } from './lines/dynamodb.ts';
import { encoding } from './lines/encoding.ts';
import { handover } from './lines/handover.ts';
import { hanging } from './lines/hanging.ts';
import { reladiff } from './lines/reladiff.ts';
import { get, put } from './lines/repository.ts';
import { routing } from './lines/routing.ts';
import { verifyLine } from './lines/verify.ts';
import { workersLine } from './lines/workers.ts';
import type { Spread } from './paired.ts';

const LINES: readonly Line[] = [
  routing,
  get,
  put,
  hanging,
  encoding,
  dial,
  handover,
  backfillLine,
  dynamodbLine,
  workersLine,
  verifyLine,
  reladiff,
];
const names = LINES.map(({ name }) => name).join(', ');

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    smoke: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    json: { type: 'string' },
    rounds: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  stdout.write(`npm run bench -- [lines] [--quick] [--smoke] [--rounds N] [--json FILE]\nlines: ${names}\n`);
  exit(0);
}
const unknown = positionals.filter((name) => !LINES.some((line) => line.name === name));
const rounds = values.smoke ? 1 : Number(values.rounds ?? (values.quick ? 5 : 15));
if (unknown.length > 0 || !Number.isInteger(rounds) || rounds < 1) {
  console.error(unknown.length > 0 ? `no line ${unknown.join(', ')}; there are ${names}` : '--rounds needs a number');
  exit(3);
}

const figure = (value: number): string => (Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3));
const range = ({ min, median, max }: Spread, unit = ''): string =>
  `${figure(median)}${unit} (${figure(min)} to ${figure(max)})`;
const reached = ({ target }: Result): string =>
  target === null || values.smoke ? '' : `${target.reached ? 'reached' : 'NOT REACHED'}: ${target.text}`;

function print(result: Result | NotMeasured): void {
  stdout.write(`${result.line}\n`);
  if ('because' in result) {
    stdout.write(`  not measured: ${result.because}\n`);
    return;
  }
  const { compared, unit, pairing } = result;
  stdout.write(`  ${compared}\n`);
  stdout.write(`  ours ${range(pairing.a, ` ${unit}`)}, theirs ${range(pairing.b, ` ${unit}`)}\n`);
  stdout.write(`  ratio ${range(pairing.ratio)}, difference ${range(pairing.difference, ` ${unit}`)}\n`);
  if (reached(result) !== '') stdout.write(`  ${reached(result)}\n`);
}

const row = (result: Result | NotMeasured): string => {
  if ('because' in result) return `| ${result.line} | not measured: ${result.because} | | | |`;
  const { line, unit, pairing } = result;
  const ours = range(pairing.a, ` ${unit}`);
  return `| ${line} | ${ours} | ${range(pairing.b, ` ${unit}`)} | ${range(pairing.ratio)} | ${reached(result)} |`;
};

const machine = { node: process.version, cpu: cpus()[0]?.model, cores: cpus().length, date: new Date().toISOString() };
const about = `${machine.cores} × ${machine.cpu}, Node ${machine.node}, ${machine.date}; median (least to most) of the rounds, by turns`;
stdout.write(`${about}\n\n`);
const results: (Result | NotMeasured)[] = [];
for (const line of LINES) {
  if (positionals.length > 0 && !positionals.includes(line.name)) continue;
  for await (const result of line.measure({ rounds, scale: values.smoke ? 0.02 : values.quick ? 0.3 : 1 })) {
    results.push(result);
    print(result);
  }
}
stdout.write(`\n| line | ours | theirs | ours / theirs | target |\n| --- | --- | --- | --- | --- |\n`);
stdout.write(`${results.map(row).join('\n')}\n`);
if (!values.smoke || values.json !== undefined) {
  const file =
    values.json ?? join(import.meta.dirname, 'results', `${machine.date.slice(0, 19).replace(/\D/g, '-')}.json`);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify({ machine, rounds, results }, null, 2)}\n`);
}

import type { GateVerdict } from '../../core/errors.ts';
import { count, plural } from '../wording.ts';

export { count, plural };

const CODES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const;
type Ink = keyof typeof CODES;

const BAR = 28;
/** Progress is a bar on a terminal, and a line each time this share is reached elsewhere. */
const PLAIN_STEP = 0.5;
const WIDTH = 100;
/** Where the outcome of a short command stands on its line. */
const OUTCOME_COLUMN = 51;
const INDENT = 6;

/** What the narrator writes to: `process.stdout` or anything like it. */
export interface Output {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/** Tells the story on a terminal, or as plain lines. */
export class Narrator {
  readonly #output: Output;
  readonly #colour: boolean;
  readonly #tty: boolean;
  readonly #begun = performance.now();
  #chapters = 0;
  #reached = 0;
  #ended = false;
  /** How long the command is that stands on the present line; 0 where none does. */
  #typed = 0;

  constructor(output: Output, colour: boolean) {
    this.#output = output;
    this.#tty = output.isTTY === true;
    this.#colour = colour;
  }

  title(text: string, subtitle: string): void {
    this.#line('');
    this.#line(`  ${this.#ink('bold', text)}`);
    for (const line of wrap(subtitle, WIDTH - 2)) this.#line(`  ${this.#ink('dim', line)}`);
  }

  /** A heading, with the time since the beginning. */
  chapter(text: string): void {
    this.#chapters += 1;
    const time = `${((performance.now() - this.#begun) / 1_000).toFixed(0)} s`;
    this.#line('');
    this.#line(
      `${this.#ink('cyan', String(this.#chapters).padStart(2))}  ${this.#ink('bold', text.padEnd(WIDTH - 4 - time.length))}${this.#ink('dim', time)}`,
    );
  }

  /** What the operator types; what is said next stands behind it where it fits. */
  command(text: string): void {
    this.#endLine();
    this.#write(`    ${this.#ink('dim', '$')} ${this.#ink('cyan', text)}`);
    this.#typed = INDENT + text.length;
  }

  /** What came of it. */
  say(text: string): void {
    const column = Math.max(OUTCOME_COLUMN, this.#typed + 2);
    if (this.#typed > 0 && column + text.length <= WIDTH) {
      this.#write(`${' '.repeat(column - this.#typed)}${text}\n`);
      this.#typed = 0;
      return;
    }
    for (const line of wrap(text, WIDTH - INDENT)) this.#line(`${' '.repeat(INDENT)}${line}`);
  }

  /** Something that must hold, and does or does not. */
  verdict(held: boolean, text: string): void {
    this.#line(`    ${held ? this.#ink('green', '✓') : this.#ink('red', '✗')} ${text}`);
  }

  /** A refusal: what stands in the way, and how much does not. */
  gates(gates: readonly GateVerdict[]): void {
    const passed = gates.filter((gate) => gate.passed).map(({ gate }) => gate);
    for (const { gate, evidence } of gates.filter((one) => !one.passed)) {
      const [first = '', ...more] = wrap(evidence, WIDTH - 30);
      this.#line(`      ${this.#ink('red', 'refused')}  ${gate.padEnd(13)} ${first}`);
      for (const line of more) this.#line(`${' '.repeat(29)}${line}`);
    }
    this.#line(`      ${this.#ink('green', 'passed')}   ${passed.join(', ')}`);
  }

  /** A divergent field. */
  field(key: string, path: string, old: string, fresh: string): void {
    this.#line(`      ${key}  ${this.#ink('yellow', path)}: old ${old}, new ${this.#ink('red', fresh)}`);
  }

  fact(name: string, value: string): void {
    const [first = '', ...more] = wrap(value, WIDTH - 32);
    this.#line(`    ${this.#ink('dim', name.padEnd(26))} ${first}`);
    for (const line of more) this.#line(`${' '.repeat(31)}${line}`);
  }

  /** How far something is, `share` from 0 to 1. */
  progress(share: number, text: string): void {
    const full = Math.min(1, Math.max(0, share));
    if (this.#tty) {
      this.#endLine();
      const done = Math.round(full * BAR);
      const bar = `${this.#ink('green', '█'.repeat(done))}${this.#ink('dim', '░'.repeat(BAR - done))}`;
      this.#write(`\r\u001b[2K      ${bar} ${text}`);
    } else if (full < 1 && full - this.#reached >= PLAIN_STEP) {
      this.#reached = Math.floor(full / PLAIN_STEP) * PLAIN_STEP;
      this.#line(`      ${String(Math.round(full * 100)).padStart(3)} %  ${text}`);
    }
  }

  progressEnd(): void {
    this.#reached = 0;
    if (this.#tty) this.#write('\r\u001b[2K');
  }

  gap(): void {
    this.#line('');
  }

  /** Nothing more is told, whoever tries. */
  end(): void {
    this.#endLine();
    this.#ended = true;
  }

  #write(text: string): void {
    if (!this.#ended) this.#output.write(text);
  }

  #ink(ink: Ink, text: string): string {
    return this.#colour && text !== '' ? `\u001b[${CODES[ink]}m${text}\u001b[0m` : text;
  }

  #endLine(): void {
    if (this.#typed > 0) this.#write('\n');
    this.#typed = 0;
  }

  #line(text: string): void {
    this.#endLine();
    this.#write(`${text}\n`);
  }
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}

/** `0.8 ms`, `43 ms`, `2.1 s`: short times matter here. */
export function duration(ms: number): string {
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}

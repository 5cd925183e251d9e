import type { GateVerdict } from '../../core/errors.ts';

const CODES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const;
type Ink = keyof typeof CODES;

const BAR = 28;
/** Progress is a bar on a terminal, and a line each time this share is reached elsewhere. */
const PLAIN_STEP = 0.25;
const WIDTH = 100;

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
  #chapters = 0;
  #reached = 0;

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

  chapter(text: string): void {
    this.#chapters += 1;
    this.#line('');
    this.#line(`${this.#ink('cyan', String(this.#chapters).padStart(2))}  ${this.#ink('bold', text)}`);
  }

  /** What the operator types. */
  command(text: string): void {
    this.#line(`    ${this.#ink('dim', '$')} ${this.#ink('cyan', text)}`);
  }

  /** What came of it. */
  say(text: string): void {
    for (const line of wrap(text, WIDTH - 6)) this.#line(`      ${line}`);
  }

  /** Something that must hold, and does or does not. */
  verdict(held: boolean, text: string): void {
    this.#line(`    ${held ? this.#ink('green', '✓') : this.#ink('red', '✗')} ${text}`);
  }

  gates(gates: readonly GateVerdict[]): void {
    for (const { gate, passed, evidence } of gates) {
      const sign = passed ? this.#ink('green', '✓') : this.#ink('red', '✗');
      const [first = '', ...more] = wrap(evidence, WIDTH - 24);
      this.#line(`      ${sign} ${gate.padEnd(14)} ${first}`);
      for (const line of more) this.#line(`        ${''.padEnd(14)} ${line}`);
    }
  }

  /** A divergent field. */
  field(key: string, path: string, old: string, fresh: string): void {
    this.#line(`      ${key}  ${this.#ink('yellow', path)}  old ${old}  new ${this.#ink('red', fresh)}`);
  }

  fact(name: string, value: string): void {
    this.#line(`    ${this.#ink('dim', name.padEnd(26))} ${value}`);
  }

  /** How far something is, `share` from 0 to 1. */
  progress(share: number, text: string): void {
    const full = Math.min(1, Math.max(0, share));
    if (this.#tty) {
      const done = Math.round(full * BAR);
      const bar = `${this.#ink('green', '█'.repeat(done))}${this.#ink('dim', '░'.repeat(BAR - done))}`;
      this.#output.write(`\r\u001b[2K      ${bar} ${text}`);
    } else if (full - this.#reached >= PLAIN_STEP) {
      this.#reached = Math.floor(full / PLAIN_STEP) * PLAIN_STEP;
      this.#line(`      ${String(Math.round(full * 100)).padStart(3)} %  ${text}`);
    }
  }

  progressEnd(): void {
    this.#reached = 0;
    if (this.#tty) this.#output.write('\r\u001b[2K');
  }

  gap(): void {
    this.#line('');
  }

  #ink(ink: Ink, text: string): string {
    return this.#colour && text !== '' ? `\u001b[${CODES[ink]}m${text}\u001b[0m` : text;
  }

  #line(text: string): void {
    this.#output.write(`${text}\n`);
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

/** `3,000`. */
export const count = (n: number): string => Math.round(n).toLocaleString('en');

/** `0.8 ms`, `43 ms`, `2.1 s`. */
export function duration(ms: number): string {
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}

/** `1 record`, `2 records`. */
export const counted = (n: number, noun: string): string => `${count(n)} ${noun}${n === 1 ? '' : 's'}`;

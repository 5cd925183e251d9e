import { createLogUpdate } from 'log-update';
import type { Terminal } from './terminal.ts';
import { count, duration } from './wording.ts';

/** How far something is. */
export interface Progress {
  readonly done: number;
  /** How much there is, where that is known. */
  readonly all: number | null;
  /** The rest of the line, for people. */
  readonly detail: string;
}

const REDRAW_MS = 100;
const LINE_MS = 3_000;
const BAR = 28;

/** Shows long work on stderr: a bar that is redrawn on a terminal, a line now and then anywhere else. */
export class ProgressMeter {
  readonly #terminal: Terminal;
  readonly #title: string;
  readonly #draw: ReturnType<typeof createLogUpdate> | null;
  readonly #begun = performance.now();
  /** What was done before this run is no part of its rate. */
  #from: number | null = null;
  #shown: number;

  constructor(terminal: Terminal, title: string) {
    this.#terminal = terminal;
    this.#title = title;
    this.#draw = process.stderr.isTTY === true ? createLogUpdate(process.stderr) : null;
    this.#shown = this.#draw === null ? this.#begun : 0;
  }

  update(progress: Progress): void {
    this.#from ??= progress.done;
    const now = performance.now();
    if (now - this.#shown < (this.#draw === null ? LINE_MS : REDRAW_MS)) return;
    this.#shown = now;
    const text = this.#text(progress, now);
    if (this.#draw === null) this.#terminal.note(text);
    else this.#draw(text);
  }

  /** Takes the bar away: what comes next says how it ended. */
  end(): void {
    this.#draw?.clear();
    this.#draw?.done();
  }

  #text({ done, all, detail }: Progress, now: number): string {
    const rate = ((done - (this.#from ?? done)) * 1_000) / Math.max(1, now - this.#begun);
    // An estimate is no promise: the bar is full when the work is done, not before.
    const part = all === null || all === 0 ? null : Math.min(0.999, done / all);
    const left = all === null || rate === 0 || done >= all ? '' : `, ${duration(((all - done) * 1_000) / rate)} left`;
    const speed = rate < 1 ? '' : `, ${count(rate)}/s${left}`;
    const amount = all === null ? count(done) : `${count(done)} of about ${count(Math.max(all, done))}`;
    const share = part === null ? '' : `${Math.floor(part * 100)} %  `;
    if (this.#draw === null) return `${this.#title}: ${share}${amount}${speed}; ${detail}`;
    const filled = part === null ? 0 : Math.round(part * BAR);
    const bar = part === null ? '' : `${'█'.repeat(filled)}${'░'.repeat(BAR - filled)} `;
    return `${this.#title}  ${bar}${share}${amount}${speed}\n${' '.repeat(this.#title.length + 2)}${detail}`;
  }
}

import type { createLogUpdate } from 'log-update';
import { Pace } from '../replay/pace.ts';
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
  readonly #redraws = process.stderr.isTTY === true;
  #draw: ReturnType<typeof createLogUpdate> | null = null;
  #ended = false;
  readonly #pace = new Pace({ monotonic: () => performance.now() });
  #shown: number;

  constructor(terminal: Terminal, title: string) {
    this.#terminal = terminal;
    this.#title = title;
    this.#shown = this.#redraws ? 0 : performance.now();
    // Not loaded where nobody sees it: it takes as long as a short command.
    if (this.#redraws) void this.#load();
  }

  update(progress: Progress): void {
    this.#pace.reach(progress.done);
    const now = performance.now();
    if (now - this.#shown < (this.#redraws ? REDRAW_MS : LINE_MS)) return;
    this.#shown = now;
    const text = this.#text(progress);
    if (this.#redraws) this.#draw?.(text);
    else this.#terminal.note(text);
  }

  /** Takes the bar away: what comes next says how it ended. */
  end(): void {
    this.#ended = true;
    this.#draw?.clear();
    this.#draw?.done();
  }

  async #load(): Promise<void> {
    const { createLogUpdate } = await import('log-update');
    if (!this.#ended) this.#draw = createLogUpdate(process.stderr);
  }

  #text({ done, all, detail }: Progress): string {
    const { rate } = this.#pace;
    const leftMs = this.#pace.leftMs(all);
    // An estimate is no promise: the bar is full when the work is done, not before.
    const part = all === null || all === 0 ? null : Math.min(0.999, done / all);
    const left = leftMs === null ? '' : `, ${duration(leftMs)} left`;
    const speed = rate < 1 ? '' : `, ${count(rate)}/s${left}`;
    const amount = all === null ? count(done) : `${count(done)} of about ${count(Math.max(all, done))}`;
    const share = part === null ? '' : `${Math.floor(part * 100)} %  `;
    if (!this.#redraws) return `${this.#title}: ${share}${amount}${speed}; ${detail}`;
    const filled = part === null ? 0 : Math.round(part * BAR);
    const bar = part === null ? '' : `${'█'.repeat(filled)}${'░'.repeat(BAR - filled)} `;
    return `${this.#title}  ${bar}${share}${amount}${speed}\n${' '.repeat(this.#title.length + 2)}${detail}`;
  }
}

import { signal } from '@preact/signals';
import { Refusal, session, stream } from './api.ts';
import { readEvents } from './event-stream.ts';

export type LiveState =
  | { readonly kind: 'connecting' }
  | { readonly kind: 'live' }
  | {
      readonly kind: 'lost';
      /** What is on the page is from then. */
      readonly since: number;
      readonly attempt: number;
      readonly nextTryAt: number;
    };

/** That something has changed. `urgent`: a ruleset; the rest may wait a moment. */
export interface News {
  readonly count: number;
  readonly urgent: boolean;
}

/** The server says something at least every 5 s. */
const SILENCE_MS = 15_000;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 10_000;

/** Half of the wait is fixed and half is random: pages that lost the same server do not come back at the same moment. */
export function waitBefore(attempt: number, random: number): number {
  const longest = Math.min(FIRST_WAIT_MS * 2 ** Math.min(attempt - 1, 10), LONGEST_WAIT_MS);
  return longest * (0.5 + random / 2);
}

/**
 * Follows the server. What came is only told as news: every view asks again for what it shows, so that a page which was
 * cut off has caught up as soon as it has asked once.
 */
class LiveFeed {
  readonly state = signal<LiveState>({ kind: 'connecting' });
  readonly news = signal<News>({ count: 0, urgent: false });
  #stop: AbortController | null = null;
  #seen = '';
  #heardAt = Date.now();
  #wake: (() => void) | null = null;

  start(): void {
    if (this.#stop !== null) return;
    const stop = new AbortController();
    this.#stop = stop;
    void this.#run(stop.signal);
  }

  stop(): void {
    this.#stop?.abort();
    this.#stop = null;
    this.#wake?.();
    this.#seen = '';
    this.state.value = { kind: 'connecting' };
  }

  tryNow(): void {
    this.#wake?.();
  }

  /** Somebody on this page has changed something. */
  poke(): void {
    this.#tell(true);
  }

  async #run(stop: AbortSignal): Promise<void> {
    for (let attempt = 1; !stop.aborted; attempt += 1) {
      const wasLive = await this.#listen(stop);
      if (stop.aborted) return;
      if (wasLive) attempt = 1;
      const wait = waitBefore(attempt, Math.random());
      this.state.value = { kind: 'lost', since: this.#heardAt, attempt, nextTryAt: Date.now() + wait };
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, wait);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = null;
    }
  }

  /** Until the stream ends; whether it ever began. */
  async #listen(stop: AbortSignal): Promise<boolean> {
    const silence = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const heard = (): void => {
      this.#heardAt = Date.now();
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE_MS);
    };
    let live = false;
    try {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE_MS);
      const seen = this.#seen === '' ? '' : `&seen=${encodeURIComponent(this.#seen)}`;
      const body = await stream(`/events?changes=true${seen}`, AbortSignal.any([stop, silence.signal]));
      for await (const event of readEvents(body)) {
        heard();
        if (event === null) continue;
        if (event.id !== null) this.#seen = event.id;
        if (!live && event.event === 'ready') {
          live = true;
          this.state.value = { kind: 'live' };
        }
        this.#tell(event.event !== 'change');
      }
    } catch (error) {
      if (error instanceof Refusal && error.problem.status === 401) {
        session.value = null;
        this.stop();
      }
    } finally {
      clearTimeout(timer);
    }
    return live;
  }

  #tell(urgent: boolean): void {
    this.news.value = { count: this.news.value.count + 1, urgent };
  }
}

export const liveFeed = new LiveFeed();

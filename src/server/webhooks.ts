import { createHash, randomUUID } from 'node:crypto';
import type { ControlPlaneApi } from '../control/control-plane.ts';
import type { NoticeHold } from '../control/notices.ts';
import { type Clock, sleep } from '../core/clock.ts';
import type { Logger } from '../core/telemetry.ts';
import { messageOf } from './webhook-message.ts';

/** Between two looks for something to tell. */
const LOOK_MS = 2_000;
/** A webhook that fails is left alone for twice as long each time, up to this. */
const LONGEST_PAUSE_MS = 300_000;
const ANSWER_MS = 10_000;
/** A message under way at a close has this long to be answered: torn off, it would be told twice. */
const CLOSE_MS = 2_000;
const LEASE_MS = 30_000;

/**
 * Tells webhooks of moves, refusals, ramps that went back, divergences and stuck replays. What was told is durable: a
 * restart forgets nothing, and of several servers one tells it. A message that may or may not have arrived is sent again.
 */
export class Webhooks {
  readonly #plane: ControlPlaneApi;
  readonly #clock: Clock;
  readonly #logger: Logger;
  /** Nothing new is told. */
  readonly #stop = new AbortController();
  /** What is under way is given up too. */
  readonly #end = new AbortController();
  readonly #loops: readonly Promise<void>[];

  constructor(urls: readonly string[], plane: ControlPlaneApi, clock: Clock, logger: Logger) {
    this.#plane = plane;
    this.#clock = clock;
    this.#logger = logger;
    this.#loops = urls.map((url) => this.#run(url));
  }

  async close(): Promise<void> {
    this.#stop.abort();
    const ended = Promise.all(this.#loops);
    const late = new AbortController();
    await Promise.race([ended, sleep(this.#clock, CLOSE_MS, late.signal).catch(() => {})]);
    late.abort();
    this.#end.abort();
    await ended;
  }

  async #run(url: string): Promise<void> {
    const { signal } = this.#stop;
    const hook = createHash('sha256').update(url).digest('hex').slice(0, 32);
    const hold = { hook, runner: randomUUID() };
    let pauseMs = LOOK_MS;
    while (!signal.aborted) {
      try {
        await this.#tell(url, hold);
        pauseMs = LOOK_MS;
      } catch (error) {
        if (signal.aborted) break;
        pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
        // The address is a secret: its host is enough to know which one it is.
        const { host } = new URL(url);
        this.#logger.warn({ host, code: codeOf(error), pauseMs }, 'a webhook was not told; it will be');
      }
      await sleep(this.#clock, pauseMs, signal).catch(() => {});
    }
  }

  async #tell(url: string, hold: NoticeHold): Promise<void> {
    // Read first: most of the time there is nothing to tell, and nothing to write.
    if ((await this.#plane.openNotices(hold)).length === 0) return;
    let refused: unknown;
    for (const notice of await this.#plane.takeNotices(hold, LEASE_MS)) {
      if (this.#stop.signal.aborted) break;
      try {
        const message = messageOf(notice, this.#clock.now());
        if (message !== null) await this.#post(url, message);
        await this.#plane.settleNotice(hold, notice);
      } catch (error) {
        // A message that is refused, for what stands in it perhaps, keeps none of another migration back.
        if (!(error instanceof Refused)) throw error;
        refused = error;
      }
    }
    if (refused !== undefined) throw refused;
  }

  async #post(url: string, message: object): Promise<void> {
    const answer = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(message),
      redirect: 'error',
      signal: AbortSignal.any([this.#end.signal, AbortSignal.timeout(ANSWER_MS)]),
    });
    await answer.body?.cancel();
    if (!answer.ok) throw new Refused(`HTTP ${answer.status}`);
  }
}

/** The webhook's own answer, which is not yes. */
class Refused extends Error {}

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  if (error instanceof Refused) return error.message;
  const { cause } = error;
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  return code !== '' ? code : error.name;
}

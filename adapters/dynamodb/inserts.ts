import type { Entry } from '../../src/core/store.ts';
import type { Logger } from '../../src/core/telemetry.ts';
import type { Item } from './attribute.ts';
import type { Batches, BatchRequest, Outcome, Part, PartAnswer, RequestAnswer } from './batches.ts';
import { isDenied, isUnsupported, refusedAsAWhole } from './faults.ts';
import type { InsertWay } from './insert-way.ts';
import type { Wire } from './wire.ts';
import type { Writes } from './writes.ts';

/** From this share on that is there already, an insert that fails costs more than it saves. */
const MOSTLY_THERE = 0.5;
/** How much the newest batch says of that. */
const NEWS = 0.5;

const wasThere = (outcome: Outcome): boolean =>
  outcome.kind === 'superseded' || (outcome.kind === 'applied' && outcome.previous !== 'absent');

/**
 * Puts of many entries of which most are not there yet: inserts, 25 a request, which fail where an item of the key is;
 * tombstones are items, so that what is not there was never put. What is there is put under its condition, and so is
 * what an insert cannot say. A copy that arrives late finds what is newer, and fails.
 */
export class Inserts implements BatchRequest {
  readonly operation: string;
  readonly #wire: Wire;
  readonly #way: InsertWay;
  readonly #batches: Batches;
  readonly #writes: Writes;
  readonly #logger: Logger;
  /** The share of entries that was there already, of late. */
  #there = 0;
  /** They are not to be had here: single puts for good. */
  #forbidden: boolean;

  constructor(wire: Wire, way: InsertWay, batches: Batches, writes: Writes, logger: Logger) {
    this.#wire = wire;
    this.#way = way;
    this.operation = way.operation;
    this.#batches = batches;
    this.#writes = writes;
    this.#logger = logger;
    this.#forbidden = !way.possible;
  }

  async putManyIfNewer(entries: readonly Entry[], deadline: number): Promise<Outcome[]> {
    if (this.#forbidden || entries.length < 2) return this.#writes.putManyIfNewer(entries, deadline);
    if (this.#there >= MOSTLY_THERE) {
      const outcomes = await this.#writes.putManyIfNewer(entries, deadline);
      this.#learn(outcomes.filter(wasThere).length / entries.length);
      return outcomes;
    }
    const { outcomes, guarded } = await this.#batches.put(entries, this, deadline);
    if (!this.#forbidden) this.#learn(guarded / entries.length);
    return outcomes;
  }

  #learn(there: number): void {
    this.#there += NEWS * (there - this.#there);
  }

  guard(entries: readonly Entry[], deadline: number): Promise<Outcome[]> {
    return this.#writes.putManyIfNewer(entries, deadline);
  }

  takes(item: Item): boolean {
    return this.#way.takes(item);
  }

  async send(parts: readonly Part[], deadline: number): Promise<RequestAnswer | null> {
    const items = parts.map(({ item }) => item);
    const answer = await this.#wire.writeOnce((abortSignal) => this.#way.send(items, abortSignal), deadline);
    if (answer.kind === 'expired') return null;
    if (answer.kind === 'failed') {
      const { verdict, error } = answer;
      this.#notice(verdict.name);
      // The request may be all that is wrong: each put by itself says what is.
      const each: PartAnswer = refusedAsAWhole(error, verdict) ? 'look' : verdict;
      return { parts: parts.map(() => each), loose: false };
    }
    const answers = answer.output.map((each) => this.#read(each));
    if (answers.some((each) => typeof each === 'object' && each.pressure)) this.#wire.leftUndone();
    return { parts: answers, loose: false };
  }

  /** What is refused for good is put by itself, which says why. */
  #read(answer: PartAnswer): PartAnswer {
    if (typeof answer === 'string') return answer;
    this.#notice(answer.name);
    return answer.kind === 'fault' && answer.passing ? answer : 'look';
  }

  #notice(name: string): void {
    if (this.#forbidden || !(isDenied(name) || isUnsupported(name))) return;
    this.#forbidden = true;
    const { what, permission } = this.#way;
    this.#logger.warn(
      { store: this.#wire.label, error: name, remedy: `allow ${permission} on the table` },
      `batches are put one by one from now on: ${what} are not to be had here`,
    );
  }
}

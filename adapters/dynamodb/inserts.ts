import type { BatchStatementResponse } from '@aws-sdk/client-dynamodb';
import type { Entry } from '../../src/core/store.ts';
import type { Logger } from '../../src/core/telemetry.ts';
import type { Attribute, Item } from './attribute.ts';
import type { Batches, BatchRequest, Outcome, Part, PartAnswer, RequestAnswer } from './batches.ts';
import { isDenied, isUnsupported, ofStatement, refusedAsAWhole } from './faults.ts';
import type { Wire } from './wire.ts';
import type { Writes } from './writes.ts';

/** What a statement may have, in bytes. */
const MAX_STATEMENT_BYTES = 8_192;
/** Names that a statement would have to escape, or that a parser may trip over. */
const UNQUOTABLE = /['"\\\p{C}]/u;
/** From this share on that is there already, an insert that fails costs more than it saves. */
const MOSTLY_THERE = 0.5;
/** How much the newest batch says of that. */
const NEWS = 0.5;

/** A statement names a table by its plain name. */
export const isInsertable = (table: string): boolean => !table.startsWith('arn:');

/** The statement that inserts an item: the names of its attributes stand in its text, values never. */
export function insertOf(table: string, item: Item): { readonly Statement: string; readonly Parameters: Attribute[] } {
  const names = Object.keys(item).map((name) => `'${name.replaceAll(`'`, `''`)}':?`);
  return { Statement: `INSERT INTO "${table}" VALUE {${names.join()}}`, Parameters: Object.values(item) };
}

const wasThere = (outcome: Outcome): boolean =>
  outcome.kind === 'superseded' || (outcome.kind === 'applied' && outcome.previous !== 'absent');

/**
 * Puts of many entries of which most are not there yet: PartiQL inserts, 25 a request, which fail where an item of the
 * key is; tombstones are items, so that what is not there was never put. What is there is put under its condition, and
 * so is what an insert cannot say. A copy that arrives late finds what is newer, and fails.
 */
export class Inserts implements BatchRequest {
  readonly operation = 'BatchExecuteStatement';
  readonly #wire: Wire;
  readonly #batches: Batches;
  readonly #writes: Writes;
  readonly #logger: Logger;
  /** The share of entries that was there already, of late. */
  #there = 0;
  /** They are not to be had here: single puts for good. */
  #forbidden: boolean;

  constructor(wire: Wire, batches: Batches, writes: Writes, logger: Logger) {
    this.#wire = wire;
    this.#batches = batches;
    this.#writes = writes;
    this.#logger = logger;
    this.#forbidden = !isInsertable(wire.table);
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
    let bytes = insertOf(this.#wire.table, {}).Statement.length;
    for (const name of Object.keys(item)) {
      if (UNQUOTABLE.test(name)) return false;
      bytes += Buffer.byteLength(name) + `'':?,`.length;
    }
    return bytes <= MAX_STATEMENT_BYTES;
  }

  async send(parts: readonly Part[], deadline: number): Promise<RequestAnswer | null> {
    const { sdk, client, table } = this.#wire;
    const statements = parts.map(({ item }) => insertOf(table, item));
    const command = () => new sdk.BatchExecuteStatementCommand({ Statements: statements });
    const answer = await this.#wire.writeOnce((abortSignal) => client.send(command(), { abortSignal }), deadline);
    if (answer.kind === 'expired') return null;
    if (answer.kind === 'failed') {
      const { verdict, error } = answer;
      this.#notice(verdict.name);
      // The request may be all that is wrong: each put by itself says what is.
      const each: PartAnswer = refusedAsAWhole(error, verdict) ? 'look' : verdict;
      return { parts: parts.map(() => each), loose: false };
    }
    const { Responses = [] } = answer.output;
    const answers = parts.map((_, n) => this.#read(Responses[n]));
    if (answers.some((each) => typeof each === 'object' && each.pressure)) this.#wire.leftUndone();
    return { parts: answers, loose: false };
  }

  #read(response: BatchStatementResponse | undefined): PartAnswer {
    // Of what a server leaves out nothing is known: a put under a condition finds out.
    if (response === undefined) return 'look';
    const { Error: error } = response;
    if (error === undefined) return 'applied';
    const verdict = ofStatement(error.Code);
    this.#notice(verdict.name);
    return verdict.kind === 'fault' && verdict.passing ? verdict : 'look';
  }

  #notice(name: string): void {
    if (this.#forbidden || !(isDenied(name) || isUnsupported(name))) return;
    this.#forbidden = true;
    const remedy = 'allow the action dynamodb:PartiQLInsert on the table';
    this.#logger.warn(
      { store: this.#wire.label, error: name, remedy },
      'batches are put one by one from now on: inserts by PartiQL are not to be had here',
    );
  }
}

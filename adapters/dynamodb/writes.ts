import { randomBytes } from 'node:crypto';
import { equalValues } from '../../src/core/canonical.ts';
import { StoreFault } from '../../src/core/errors.ts';
import type { Stamp } from '../../src/core/stamp.ts';
import type { CasOutcome, Entry, Expected, PutFault, PutOutcome, Rejection } from '../../src/core/store.ts';
import type { Item } from './attribute.ts';
import { type Condition, ConditionBuilder, unchanged } from './condition.ts';
import { type ItemLayout, MARK_BYTES } from './item-layout.ts';
import type { NativeKey } from './key-layout.ts';
import type { ReservedAttributes } from './options.ts';
import { constraint, isRejection, limit } from './rejection.ts';
import { pooled, type Wire, type WriteAnswer } from './wire.ts';

/** How often a compare-and-set whose expectation is met again, though its condition was not, is tried. */
const CAS_ROUNDS = 8;

const CONFLICT: CasOutcome = Object.freeze({ kind: 'conflict' });
const SAME: PutOutcome = Object.freeze({ kind: 'applied', previous: 'same' });

interface Prepared {
  readonly key: NativeKey;
  readonly item: Item;
}

/** The writes of a store; each is one request, but for a compare-and-set that compares the value, which is two. */
export class Writes {
  readonly #wire: Wire;
  readonly #layout: ItemLayout;
  readonly #reserved: ReservedAttributes;
  readonly #readItem: (key: NativeKey) => Promise<Item | null>;

  constructor(
    wire: Wire,
    layout: ItemLayout,
    reserved: ReservedAttributes,
    readItem: (key: NativeKey) => Promise<Item | null>,
  ) {
    this.#wire = wire;
    this.#layout = layout;
    this.#reserved = reserved;
    this.#readItem = readItem;
  }

  #prepare(entry: Entry): Prepared | Rejection {
    const key = this.#layout.keys.encode(entry.key);
    if (isRejection(key)) return key;
    const item = this.#layout.encode(entry);
    return isRejection(item) ? item : { key, item };
  }

  #builder(): ConditionBuilder {
    return new ConditionBuilder(this.#reserved, this.#layout.keys.partition.attribute);
  }

  /** The term, if one is needed, that keeps (say) a number from overwriting the record of an equal bigint. */
  #kinds(builder: ConditionBuilder, key: NativeKey): string[] {
    return key.ambiguous ? [builder.kindsAre(key.kinds)] : [];
  }

  /** `entry.stamp` decides what kind of write this is: with one, a copy may be sent again. */
  #send(entry: Entry, { key, item }: Prepared, condition: Condition | null, deadline: number): Promise<WriteAnswer> {
    const { sdk, client, table } = this.#wire;
    const common = {
      TableName: table,
      ReturnValues: 'ALL_OLD',
      ...(condition === null ? {} : { ...condition, ReturnValuesOnConditionCheckFailure: 'ALL_OLD' as const }),
    } as const;
    if (entry.stamp === null && entry.value === null) {
      const command = () => new sdk.DeleteItemCommand({ ...common, Key: key.attributes });
      return this.#wire.write('DeleteItem', (abortSignal) => client.send(command(), { abortSignal }), deadline, false);
    }
    const command = () => new sdk.PutItemCommand({ ...common, Item: item });
    const send = (abortSignal: AbortSignal) => client.send(command(), { abortSignal });
    return this.#wire.write('PutItem', send, deadline, entry.stamp !== null);
  }

  #applied(attributes: Item | null): PutOutcome {
    const previous = attributes === null || this.#layout.isTombstone(attributes) ? 'absent' : 'record';
    return { kind: 'applied', previous };
  }

  /** What we hold for fit is refused: by an index that is younger than this process, or a limit that we do not know. */
  #refused(name: string): Rejection {
    return limit(
      `DynamoDB refuses the item (${name}); an index that was added meanwhile may not take one of its fields`,
    );
  }

  #otherKind(): Rejection {
    return constraint('the item of this key belongs to a key of another kind that reads the same (1 and 1n, say)');
  }

  /** What the condition of a write met; null when it is gone again. One more read only where the server does not tell. */
  async #met(answer: Extract<WriteAnswer, { kind: 'unmet' }>, key: NativeKey): Promise<Item | null> {
    if (answer.item !== null || this.#wire.tellsWhatItMet) return answer.item;
    return this.#readItem(key);
  }

  async putIfNewer(entry: Entry, deadline: number): Promise<PutOutcome> {
    const stamp = entry.stamp as Stamp;
    const prepared = this.#prepare(entry);
    if (isRejection(prepared)) return prepared;
    const c = this.#builder();
    const [kinds] = this.#kinds(c, prepared.key);
    const newer = `${c.unstamped()} OR ${c.older(stamp)}`;
    // DynamoDB refuses parentheses that change nothing.
    const condition = c.build(`${c.absent()} OR ${kinds === undefined ? newer : `${kinds} AND (${newer})`}`);
    for (;;) {
      const answer = await this.#send(entry, prepared, condition, deadline);
      if (answer.kind === 'done') return this.#applied(answer.attributes);
      if (answer.kind === 'invalid') return this.#refused(answer.name);
      if (answer.kind === 'expired') return answer;
      const found = await this.#met(answer, prepared.key);
      // A plain delete or a plain write came between the refusal and the look: the condition may hold now.
      if (found === null) continue;
      if (this.#layout.kindsOf(found) !== prepared.key.kinds) return this.#otherKind();
      const stored = this.#layout.stampOf(found);
      if (stored === stamp) return SAME;
      if (stored !== null && stored > stamp) return { kind: 'superseded', stamp: stored };
    }
  }

  /** Single conditional puts, together in flight: BatchWriteItem takes no conditions. */
  async putManyIfNewer(entries: readonly Entry[], deadline: number): Promise<(PutOutcome | PutFault)[]> {
    const winners = new Map<string, number>();
    entries.forEach((entry, i) => {
      const best = winners.get(entry.id);
      if (best === undefined || (entry.stamp as Stamp) > (entries[best]?.stamp as Stamp)) winners.set(entry.id, i);
    });
    const sent = [...winners.values()];
    const answers = await pooled(sent, this.#wire.maxInFlight, (i) => this.#part(entries[i] as Entry, deadline));
    const outcomes: (PutOutcome | PutFault)[] = new Array(entries.length);
    sent.forEach((i, n) => {
      outcomes[i] = answers[n] as PutOutcome | PutFault;
    });
    for (let i = 0; i < entries.length; i += 1) {
      const entry = entries[i] as Entry;
      const winner = winners.get(entry.id) as number;
      if (winner !== i) outcomes[i] = await this.#loser(entry, entries[winner] as Entry, outcomes[winner], deadline);
    }
    return outcomes;
  }

  /** What became of an entry of which the batch held a newer one, or the same again. */
  async #loser(
    entry: Entry,
    winner: Entry,
    outcome: PutOutcome | PutFault | undefined,
    deadline: number,
  ): Promise<PutOutcome | PutFault> {
    if (outcome?.kind === 'applied') {
      return entry.stamp === winner.stamp ? SAME : { kind: 'superseded', stamp: winner.stamp as Stamp };
    }
    // A newer entry that the store rejects supersedes nothing.
    if (outcome?.kind === 'rejected' && entry.stamp !== winner.stamp) return this.#part(entry, deadline);
    return outcome as PutOutcome | PutFault;
  }

  async #part(entry: Entry, deadline: number): Promise<PutOutcome | PutFault> {
    try {
      return await this.putIfNewer(entry, deadline);
    } catch (error) {
      if (!(error instanceof StoreFault)) throw error;
      return { kind: 'fault', outcome: error.outcome, message: error.message, pressure: error.pressure };
    }
  }

  async putPlain(entry: Entry, deadline: number): Promise<PutOutcome> {
    const prepared = this.#prepare(entry);
    if (isRejection(prepared)) return prepared;
    let condition: Condition | null = null;
    if (prepared.key.ambiguous) {
      const c = this.#builder();
      condition = c.build(`${c.absent()} OR ${this.#kinds(c, prepared.key).join('')}`);
    }
    const answer = await this.#send(entry, prepared, condition, deadline);
    if (answer.kind === 'done') return this.#applied(answer.attributes);
    if (answer.kind === 'invalid') return this.#refused(answer.name);
    return answer.kind === 'expired' ? answer : this.#otherKind();
  }

  async compareAndSet(entry: Entry, expected: Expected, deadline: number): Promise<CasOutcome> {
    const prepared = this.#prepare(entry);
    if (isRejection(prepared)) return prepared;
    const absent = expected.kind === 'absent' || (expected.stamp === null && expected.value === null);
    for (let round = 1; round <= CAS_ROUNDS; round += 1) {
      const outcome = absent
        ? await this.#create(entry, prepared, deadline)
        : await this.#replace(entry, prepared, expected as Extract<Expected, { kind: 'version' }>, deadline);
      if (outcome !== null) return outcome;
      await this.#wire.pause(round);
    }
    throw new StoreFault(`${this.#wire.label}: too many writers compare and set one record`, {
      outcome: 'nothing-written',
      pressure: true,
    });
  }

  /** Null: what was met is gone again, so that another try may succeed. */
  async #create(entry: Entry, prepared: Prepared, deadline: number): Promise<CasOutcome | null> {
    const c = this.#builder();
    const older = entry.stamp === null ? [] : [c.older(entry.stamp)];
    const overTombstone = [...this.#kinds(c, prepared.key), c.tombstone(), ...older].join(' AND ');
    const answer = await this.#send(entry, prepared, c.build(`${c.absent()} OR ${overTombstone}`), deadline);
    if (answer.kind !== 'unmet') return this.#plainAnswer(answer);
    const found = await this.#met(answer, prepared.key);
    if (found === null) return null;
    const stored = this.#layout.stampOf(found);
    if (this.#layout.kindsOf(found) !== prepared.key.kinds) return this.#otherKind();
    if (entry.stamp !== null && stored === entry.stamp) return SAME;
    if (!this.#layout.isTombstone(found)) return CONFLICT;
    return entry.stamp !== null && stored !== null && stored > entry.stamp
      ? { kind: 'superseded', stamp: stored }
      : null;
  }

  async #replace(
    entry: Entry,
    prepared: Prepared,
    expected: Extract<Expected, { kind: 'version' }>,
    deadline: number,
  ): Promise<CasOutcome | null> {
    const c = this.#builder();
    const terms = this.#version(c, expected.stamp, prepared.key);
    if (expected.value !== undefined) {
      const marked = await this.#mark(prepared.key, expected, deadline);
      if ('kind' in marked) {
        // Only items of plain writers can be so large: ours leave room for the mark.
        if (marked.kind === 'invalid') return limit('the stored item is too large to be compared with what was read');
        if (marked.kind === 'expired') return marked;
        return this.#unmet(entry, expected, prepared.key, marked);
      }
      const seen = this.#layout.decode(marked.item);
      if (seen.unreadable !== undefined || !equalValues(seen.value, expected.value)) {
        await this.#unmark(prepared.key, marked.nonce, deadline);
        return CONFLICT;
      }
      terms.push(c.marked(marked.nonce));
      const except = new Set([...Object.values(this.#reserved), ...this.#layout.keys.attributes]);
      terms.push(...unchanged(c, marked.item, prepared.item, except));
    }
    if (entry.stamp !== null && expected.stamp !== null) terms.push(c.older(entry.stamp));
    const answer = await this.#send(entry, prepared, c.build(terms.join(' AND ')), deadline);
    if (answer.kind !== 'unmet') return this.#plainAnswer(answer);
    return this.#unmet(entry, expected, prepared.key, answer);
  }

  #version(c: ConditionBuilder, stamp: Stamp | null, key: NativeKey): string[] {
    const version = stamp === null ? [c.present(), c.unstamped()] : [c.stampIs(stamp)];
    return [...version, ...this.#kinds(c, key)];
  }

  #plainAnswer(answer: Exclude<WriteAnswer, { kind: 'unmet' }>): PutOutcome {
    if (answer.kind === 'done') return this.#applied(answer.attributes);
    return answer.kind === 'invalid' ? this.#refused(answer.name) : answer;
  }

  /** Tells why a versioned write was refused; null when what is stored is what was expected. */
  async #unmet(
    entry: Entry,
    expected: Extract<Expected, { kind: 'version' }>,
    key: NativeKey,
    answer: Extract<WriteAnswer, { kind: 'unmet' }>,
  ): Promise<CasOutcome | null> {
    const found = await this.#met(answer, key);
    if (found === null) return CONFLICT;
    const stored = this.#layout.stampOf(found);
    if (entry.stamp !== null && stored === entry.stamp) return SAME;
    if (stored !== expected.stamp || this.#layout.kindsOf(found) !== key.kinds) return CONFLICT;
    if (stored !== null && entry.stamp !== null && stored > entry.stamp) return { kind: 'superseded', stamp: stored };
    return null;
  }

  /**
   * First half of comparing a value: sets a nonce on the item of the expected version and gets the whole item as it
   * was at that very moment. A condition on attributes alone would overlook attributes that a plain writer added;
   * but a plain writer replaces or deletes the item, and the nonce with it, so that the second half, which asks for
   * the nonce, then fails.
   */
  async #mark(
    key: NativeKey,
    expected: Extract<Expected, { kind: 'version' }>,
    deadline: number,
  ): Promise<{ item: Item; nonce: Uint8Array } | Exclude<WriteAnswer, { kind: 'done' }>> {
    const nonce = new Uint8Array(randomBytes(MARK_BYTES));
    const c = this.#builder();
    const condition = c.build(this.#version(c, expected.stamp, key).join(' AND '));
    const answer = await this.#update(key, condition, 'SET #m = :m', { ':m': { B: nonce } }, deadline);
    if (answer.kind !== 'done') return answer;
    // ALL_NEW of an update that was applied is never empty.
    return { item: answer.attributes as Item, nonce };
  }

  /** Takes the nonce away again; when that fails it stays, and harms nobody. */
  async #unmark(key: NativeKey, nonce: Uint8Array, deadline: number): Promise<void> {
    const c = this.#builder();
    const condition = c.build(c.marked(nonce));
    await this.#update(key, condition, 'REMOVE #m', {}, deadline).catch((error: unknown) => {
      if (!(error instanceof StoreFault)) throw error;
    });
  }

  async #update(
    key: NativeKey,
    condition: Condition,
    expression: string,
    values: Record<string, { B: Uint8Array }>,
    deadline: number,
  ): Promise<WriteAnswer> {
    const { sdk, client, table } = this.#wire;
    const allValues = { ...condition.ExpressionAttributeValues, ...values };
    const input = {
      TableName: table,
      Key: key.attributes,
      UpdateExpression: expression,
      ConditionExpression: condition.ConditionExpression,
      ExpressionAttributeNames: { ...condition.ExpressionAttributeNames, '#m': this.#reserved.mark },
      ...(Object.keys(allValues).length === 0 ? {} : { ExpressionAttributeValues: allValues }),
      ReturnValues: 'ALL_NEW',
      ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
    } as const;
    const send = (abortSignal: AbortSignal) => client.send(new sdk.UpdateItemCommand(input), { abortSignal });
    try {
      // Never sent twice: a late copy would set the nonce on an item that nobody compared.
      return await this.#wire.write('UpdateItem', send, deadline, false);
    } catch (error) {
      // The nonce is no part of the record: whether it was set or not, the record was not written.
      if (!(error instanceof StoreFault)) throw error;
      throw new StoreFault(error.message, { outcome: 'nothing-written', pressure: error.pressure, cause: error });
    }
  }
}

import type { CancellationReason } from '@aws-sdk/client-dynamodb';
import type { Item } from './attribute.ts';
import type { PartAnswer } from './batches.ts';
import { ofStatement } from './faults.ts';
import type { InsertWay } from './insert-way.ts';
import type { ItemLayout } from './item-layout.ts';
import type { Wire } from './wire.ts';

/** The reason of a put that would have been done, if the others had been. */
const NO_REASON = 'None';
/** Somebody else writes the item at this moment. */
const CONFLICT = 'TransactionConflict';

/**
 * Conditional puts in one transaction, which is all done or not at all: where one is refused, the others are sent again
 * without it. A put costs twice the write units of one by itself.
 */
export class Transactions implements InsertWay {
  readonly operation = 'TransactWriteItems';
  readonly what = 'transactions';
  readonly finding = 'TransactWriteItems';
  readonly permission = 'the action dynamodb:PutItem in a TransactWriteItems';
  readonly possible = true;
  readonly #wire: Wire;
  readonly #layout: ItemLayout;

  constructor(wire: Wire, layout: ItemLayout) {
    this.#wire = wire;
    this.#layout = layout;
  }

  takes(): boolean {
    return true;
  }

  async send(items: readonly Item[], abortSignal: AbortSignal): Promise<readonly PartAnswer[]> {
    const { sdk, client, table } = this.#wire;
    const condition = {
      TableName: table,
      ConditionExpression: 'attribute_not_exists(#p)',
      ExpressionAttributeNames: { '#p': this.#layout.keys.partition.attribute },
    };
    const puts = items.map((item) => ({ Put: { ...condition, Item: item } }));
    try {
      await client.send(new sdk.TransactWriteItemsCommand({ TransactItems: puts }), { abortSignal });
      return items.map(() => 'applied');
    } catch (error) {
      const reasons = reasonsOf(error);
      if (reasons === null) throw error;
      const told = reasons.some(({ Code }) => Code !== undefined && Code !== NO_REASON);
      return items.map((_, n) => (told ? answerOf(reasons[n]) : 'look'));
    }
  }
}

/** Why a transaction was cancelled, put by put; null where it was not. */
function reasonsOf(error: unknown): readonly CancellationReason[] | null {
  const { name, CancellationReasons } = (error ?? {}) as {
    readonly name?: unknown;
    readonly CancellationReasons?: readonly CancellationReason[];
  };
  return name === 'TransactionCanceledException' ? (CancellationReasons ?? []) : null;
}

function answerOf(reason: CancellationReason | undefined): PartAnswer {
  const code = reason?.Code ?? NO_REASON;
  if (code === NO_REASON) return 'again';
  // By itself it keeps no others waiting.
  return code === CONFLICT ? 'look' : ofStatement(code);
}

import type { Item } from './attribute.ts';
import type { PartAnswer } from './batches.ts';

/** A kind of request that inserts many items, each only where there is none of its key. */
export interface InsertWay {
  readonly operation: string;
  /** How it is spoken of: `inserts by PartiQL`. */
  readonly what: string;
  /** The name of findings about it. */
  readonly finding: string;
  /** What the credentials need for it: `the action dynamodb:PartiQLInsert`. */
  readonly permission: string;
  /** Whether the table can be named so that it works. */
  readonly possible: boolean;
  takes(item: Item): boolean;
  /** Sends one request. What became of each item; a verdict that will not pass says why it was refused. */
  send(items: readonly Item[], abortSignal: AbortSignal): Promise<readonly PartAnswer[]>;
}

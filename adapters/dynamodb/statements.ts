import type { Attribute, Item } from './attribute.ts';
import type { PartAnswer } from './batches.ts';
import { ofStatement } from './faults.ts';
import type { InsertWay } from './insert-way.ts';
import type { Wire } from './wire.ts';

/** What a statement may have, in bytes. */
const MAX_STATEMENT_BYTES = 8_192;
/** Names that a statement would have to escape, or that a parser may trip over. */
const UNQUOTABLE = /['"\\\p{C}]/u;

/** The statement that inserts an item: the names of its attributes stand in its text, values never. */
function insertOf(table: string, item: Item): { readonly Statement: string; readonly Parameters: Attribute[] } {
  const names = Object.keys(item).map((name) => `'${name}':?`);
  return { Statement: `INSERT INTO "${table}" VALUE {${names.join()}}`, Parameters: Object.values(item) };
}

/** PartiQL inserts in one request: each fails by itself, and costs what a put costs. */
export class Statements implements InsertWay {
  readonly operation = 'BatchExecuteStatement';
  readonly what = 'inserts by PartiQL';
  readonly finding = 'PartiQLInsert';
  readonly permission = 'the action dynamodb:PartiQLInsert';
  readonly #wire: Wire;

  constructor(wire: Wire) {
    this.#wire = wire;
  }

  /** A statement names a table by its plain name. */
  get possible(): boolean {
    return !this.#wire.table.startsWith('arn:');
  }

  takes(item: Item): boolean {
    let bytes = insertOf(this.#wire.table, {}).Statement.length;
    for (const name of Object.keys(item)) {
      if (UNQUOTABLE.test(name)) return false;
      bytes += Buffer.byteLength(name) + `'':?,`.length;
    }
    return bytes <= MAX_STATEMENT_BYTES;
  }

  async send(items: readonly Item[], abortSignal: AbortSignal): Promise<readonly PartAnswer[]> {
    const { sdk, client, table } = this.#wire;
    const command = new sdk.BatchExecuteStatementCommand({ Statements: items.map((item) => insertOf(table, item)) });
    const { Responses = [] } = await client.send(command, { abortSignal });
    return items.map((_, n) => {
      const response = Responses[n];
      // Of what a server leaves out nothing is known: a put under a condition finds out.
      if (response === undefined) return 'look';
      return response.Error === undefined ? 'applied' : ofStatement(response.Error.Code);
    });
  }
}

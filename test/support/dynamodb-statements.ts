import type { Fault, SeenRequest } from './faulty-http-proxy.ts';

/** An item as it goes over the wire. */
export type WireItem = Readonly<Record<string, Readonly<Record<string, string>>>>;

interface Statements {
  readonly Statements: readonly { readonly Statement: string; readonly Parameters: readonly WireItem[string][] }[];
}

const NAMES = /'([^']*)':\?/g;

/** The items that a batch of inserts has. */
export function insertedItems(body: string): readonly WireItem[] {
  return (JSON.parse(body) as Statements).Statements.map(({ Statement, Parameters }) =>
    Object.fromEntries([...Statement.matchAll(NAMES)].map(([, name = ''], i) => [name, Parameters[i] ?? {}])),
  );
}

/** Fails the inserts of a batch for which `codeOf` has a code, and passes on the others. */
export function failingInserts({ body }: SeenRequest, codeOf: (item: WireItem) => string | undefined): Fault {
  const codes = insertedItems(body).map(codeOf);
  const { Statements } = JSON.parse(body) as Statements;
  const sound = Statements.filter((_, i) => codes[i] === undefined);
  const failures = codes.map((Code) => (Code === undefined ? null : { Error: { Code, Message: 'planned' } }));
  if (sound.length === 0) return { kind: 'answer', status: 200, body: { Responses: failures } };
  return {
    kind: 'instead',
    body: { Statements: sound },
    answer: (answered) => {
      const { Responses } = answered as { readonly Responses: readonly object[] };
      const rest = Responses.values();
      return { Responses: failures.map((failure) => failure ?? rest.next().value) };
    },
  };
}

interface Transaction {
  readonly TransactItems: readonly { readonly Put: { readonly Item: WireItem } }[];
}

/** Cancels a transaction of puts if `codeOf` has a code for any of them. */
export function failingPuts({ body }: SeenRequest, codeOf: (item: WireItem) => string | undefined): Fault {
  const codes = (JSON.parse(body) as Transaction).TransactItems.map(({ Put: { Item } }) => codeOf(Item));
  if (codes.every((code) => code === undefined)) return { kind: 'pass' };
  const CancellationReasons = codes.map((code) => ({ Code: code ?? 'None' }));
  const __type = 'com.amazonaws.dynamodb.v20120810#TransactionCanceledException';
  return { kind: 'answer', status: 400, body: { __type, CancellationReasons } };
}

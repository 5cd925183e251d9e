import { kindOf, type TableName } from './columns.ts';

/** One test of one column. Several of a `where` all hold. */
export interface ColumnTest {
  readonly column: string;
  readonly operator: '=' | '!=' | '<' | '<=' | '>' | '>=' | 'in';
  /** A list for `in`. */
  readonly value: unknown;
}

const OPERATORS = { lt: '<', lte: '<=', gt: '>', gte: '>=', not: '!=', in: 'in' } as const;

/**
 * The tests that a `where` asks for, the same for every storage:
 * - null is a value of its own: `{ not: 1 }` meets null, `{ in: [null] }` and null itself too;
 * - null is neither less nor greater than anything;
 * - columns of JSON are tested for null only.
 *
 * @throws Error for a `where` that means nothing; undefined in particular, which must not widen a removal.
 */
export function columnTests(table: TableName, where: object): ColumnTest[] {
  const tests: ColumnTest[] = [];
  const add = (column: string, operator: ColumnTest['operator'], value: unknown): void => {
    const values = operator === 'in' ? value : [value];
    if (
      !Array.isArray(values) ||
      values.some((one) => one === undefined || (typeof one === 'object' && one !== null))
    ) {
      throw new Error(`${table}.${column} cannot be compared with that`);
    }
    if (kindOf(table, column).startsWith('json') && !(value === null && (operator === '=' || operator === '!='))) {
      throw new Error(`${table}.${column} holds JSON and can be tested for null only`);
    }
    tests.push({ column, operator, value });
  };
  for (const [column, condition] of Object.entries(where)) {
    if (typeof condition !== 'object' || condition === null) {
      add(column, '=', condition);
      continue;
    }
    for (const [name, value] of Object.entries(condition)) {
      if (!Object.hasOwn(OPERATORS, name)) throw new Error(`there is no condition ${name}`);
      add(column, OPERATORS[name as keyof typeof OPERATORS], value);
    }
  }
  return tests;
}

/** A page's order and length, made whole. */
export interface PagePlan {
  readonly column: string;
  readonly descending: boolean;
  readonly limit: number | null;
}

/** @throws Error for an order by a column of JSON or a limit that is none. */
export function planPage(
  table: TableName,
  primary: string,
  page:
    | {
        readonly orderBy?: string;
        readonly descending?: boolean;
        readonly limit?: number;
        readonly columns?: readonly string[];
      }
    | undefined,
): PagePlan {
  const column = page?.orderBy ?? primary;
  const limit = page?.limit ?? null;
  if (kindOf(table, column).startsWith('json')) throw new Error(`${table}.${column} holds JSON and has no order`);
  if (limit !== null && !(Number.isInteger(limit) && limit >= 0)) throw new Error(`${limit} is no limit`);
  return { column, descending: page?.descending ?? false, limit };
}

import { compareText } from '../core/record-key.ts';
import { checkCell, checkPatch, checkRaise, kindsOf, RULES, type TableName, type TableRules } from './columns.ts';
import { type ColumnTest, columnTests, planPage } from './conditions.ts';

type Cell = string | number | boolean | null;

/** A row as the table keeps it: never changed, only replaced. */
export type MemoryRow = { readonly [column: string]: unknown };

type PrimaryKey = string | number;
type Undo = () => void;

/** Null is below everything; text goes by its UTF-8 bytes, as databases order it. */
function compareCells(a: unknown, b: unknown): number {
  if (a === b) return 0;
  if (a === null) return -1;
  if (b === null) return 1;
  if (typeof a === 'string') return compareText(a, b as string);
  return Number(a) - Number(b);
}

function holds(test: ColumnTest, row: MemoryRow): boolean {
  const cell = row[test.column];
  switch (test.operator) {
    case '=':
      return cell === test.value;
    case '!=':
      return cell !== test.value;
    case 'in':
      return (test.value as readonly unknown[]).includes(cell);
    default:
      break;
  }
  if (cell === null || test.value === null) return false;
  const order = compareCells(cell, test.value);
  switch (test.operator) {
    case '<':
      return order < 0;
    case '<=':
      return order <= 0;
    case '>':
      return order > 0;
    default:
      return order >= 0;
  }
}

/** One table of the memory storage: rows by primary key, one look-up index, one unique constraint, an undo log. */
export class MemoryTable {
  readonly #table: TableName;
  readonly #rules: TableRules;
  readonly #columns: readonly string[];
  readonly #rows = new Map<PrimaryKey, MemoryRow>();
  readonly #lookup = new Map<unknown, Map<PrimaryKey, MemoryRow>>();
  readonly #unique = new Map<string, PrimaryKey>();
  #lastId = 0;

  constructor(table: TableName) {
    this.#table = table;
    this.#rules = RULES[table];
    this.#columns = [...kindsOf(table).keys()];
  }

  insert(row: object, undo: Undo[]): number {
    const { given, primary } = this.#rules;
    const kept: Record<string, unknown> = {};
    const source = row as MemoryRow;
    for (const column of this.#columns) {
      if (given && column === primary) continue;
      checkCell(this.#table, column, source[column]);
      kept[column] = source[column];
    }
    const before = this.#lastId;
    const key: PrimaryKey = given ? before + 1 : (kept[primary] as string);
    kept[primary] = key;
    if (this.#rows.has(key)) throw new Error(`${this.#table} has a row ${key} already`);
    this.#replace(key, kept);
    if (given) this.#lastId = before + 1;
    undo.push(() => {
      this.#replace(key, undefined);
      this.#lastId = before;
    });
    return given ? (key as number) : 0;
  }

  select(where: object, page: Parameters<typeof planPage>[2]): MemoryRow[] {
    const { column, descending, limit } = planPage(this.#table, this.#rules.primary, page);
    const { primary } = this.#rules;
    const rows = this.#matching(where);
    const inOrder = (a: MemoryRow, b: MemoryRow): number =>
      compareCells(a[column], b[column]) || compareCells(a[primary], b[primary]);
    // Rows mostly lie in the order of their ids already.
    if (rows.some((row, i) => i > 0 && inOrder(rows[i - 1] as MemoryRow, row) > 0)) rows.sort(inOrder);
    if (descending) rows.reverse();
    if (limit !== null && rows.length > limit) rows.length = limit;
    const columns = page?.columns;
    if (columns === undefined) return rows.map((row) => ({ ...row }));
    return rows.map((row) => Object.fromEntries(columns.map((name) => [name, row[name]])));
  }

  count(where: object): number {
    return this.#matching(where).length;
  }

  update(where: object, patch: object, raise: object, undo: Undo[]): number {
    const cells = Object.fromEntries(checkPatch(this.#table, patch));
    const raised = checkRaise(this.#table, patch, raise);
    const rows = this.#matching(where);
    for (const row of rows) {
      const key = row[this.#rules.primary] as PrimaryKey;
      const lifted = raised.filter(([column, value]) => compareCells(value, row[column]) > 0);
      this.#replace(key, { ...row, ...cells, ...Object.fromEntries(lifted) });
      undo.push(() => this.#replace(key, row));
    }
    return rows.length;
  }

  remove(where: object, undo: Undo[]): number {
    const rows = this.#matching(where);
    for (const row of rows) {
      const key = row[this.#rules.primary] as PrimaryKey;
      this.#replace(key, undefined);
      undo.push(() => this.#replace(key, row));
    }
    return rows.length;
  }

  #matching(where: object): MemoryRow[] {
    const tests = columnTests(this.#table, where);
    const rows: MemoryRow[] = [];
    for (const row of this.#candidates(tests)) if (tests.every((test) => holds(test, row))) rows.push(row);
    return rows;
  }

  #candidates(tests: readonly ColumnTest[]): Iterable<MemoryRow> {
    for (const { column, operator, value } of tests) {
      if (column === this.#rules.primary && (operator === '=' || operator === 'in')) {
        const keys = operator === '=' ? [value] : new Set(value as readonly unknown[]);
        const rows: MemoryRow[] = [];
        for (const key of keys) {
          const row = this.#rows.get(key as PrimaryKey);
          if (row !== undefined) rows.push(row);
        }
        return rows;
      }
    }
    for (const { column, operator, value } of tests) {
      if (column === this.#rules.lookup && operator === '=') return this.#lookup.get(value)?.values() ?? [];
    }
    return this.#rows.values();
  }

  #uniqueKey(row: MemoryRow): string {
    return (this.#rules.unique ?? []).map((column) => String(row[column] as Cell)).join('\0');
  }

  /** The one place where rows change: keeps the index and the constraint true. */
  #replace(key: PrimaryKey, row: MemoryRow | undefined): void {
    const { lookup, unique } = this.#rules;
    const before = this.#rows.get(key);
    if (unique !== null) {
      const now = row === undefined ? null : this.#uniqueKey(row);
      if (now !== null) {
        const owner = this.#unique.get(now);
        if (owner !== undefined && owner !== key) throw new Error(`${this.#table} has ${unique.join(' and ')} already`);
      }
      if (before !== undefined) this.#unique.delete(this.#uniqueKey(before));
      if (now !== null) this.#unique.set(now, key);
    }
    if (row === undefined) this.#rows.delete(key);
    else this.#rows.set(key, row);
    if (lookup === null) return;
    if (before !== undefined && (row === undefined || before[lookup] !== row[lookup])) {
      const rows = this.#lookup.get(before[lookup]);
      rows?.delete(key);
      if (rows?.size === 0) this.#lookup.delete(before[lookup]);
    }
    if (row !== undefined) {
      let rows = this.#lookup.get(row[lookup]);
      if (rows === undefined) {
        rows = new Map();
        this.#lookup.set(row[lookup], rows);
      }
      rows.set(key, row);
    }
  }
}

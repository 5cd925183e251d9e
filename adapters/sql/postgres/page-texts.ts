import type { KeyColumn } from '../layout.ts';
import { quote } from './catalog.ts';
import type { Plan } from './plan.ts';

/** How a page reads: `layout.names` (of a page of stamps only the key), then 1 if there is no record, and the stamp. */
export interface PageShape {
  /** There is a stamp table. */
  readonly stamped: boolean;
  readonly stampsOnly: boolean;
  /** No tombstones, and all the stamps from the page's beginning to the end of its range are less than a page. */
  readonly fewStamps: boolean;
  readonly after: boolean;
  readonly upTo: boolean;
}

/** Said in the place of that 1 where a page of `fewStamps` has met more stamps than that: some may be missing. */
export const MORE_STAMPS = '2';

const list = (parts: readonly string[], between = ', '): string => parts.join(between);

const marks = (columns: readonly unknown[], from: number): string => list(columns.map((_, i) => `$${from + i}`));

/**
 * A page of a range in the order of the unique index. Parameters: the bounds, then the limit.
 *
 * Of each table the first `limit` rows are read and matched. Whatever belongs to the first `limit` keys of both is among
 * them, so that a page costs no more than two of its size, however few tombstones there are. A join of the tables
 * themselves would be planned as one over all that is behind the page, and all that is before it.
 */
export function pageText(plan: Plan, { stamped, stampsOnly, fewStamps, after, upTo }: PageShape): string {
  const { scanKeys, layout, records, stamps } = plan;
  // With their table: an ORDER BY takes a name by itself for that of an output column, should there be one.
  const columns = scanKeys.map(({ name }) => `x.${quote(name)}`);
  const row = `ROW(${list(columns)})`;
  const bounds = [
    ...(after ? [`${row} > ROW(${marks(columns, 1)})`] : []),
    ...(upTo ? [`${row} <= ROW(${marks(columns, 1 + (after ? columns.length : 0))})`] : []),
  ];
  const limit = `LIMIT $${1 + bounds.length * columns.length}::int8`;
  const where = bounds.length === 0 ? '' : ` WHERE ${list(bounds, ' AND ')}`;
  const first = `${where} ORDER BY ${list(columns)} ${limit}`;
  const names = stampsOnly ? layout.keys.map(({ name }) => name) : layout.names;
  const cells = names.map((_, i) => `c${i}`);
  // The key's columns in the order of the index: as a page of records and one of stamps name them.
  const k = scanKeys.map(({ name }) => `c${names.indexOf(name)}`);
  const live = `SELECT ${list(names.map((name, i) => `x.${quote(name)} AS c${i}`))} FROM ${records} AS x${first}`;
  if (!stamped) return `SELECT ${list(cells)}, NULL, NULL FROM (${live}) AS r ORDER BY ${list(k)}`;
  const keys = list(columns.map((column, i) => `${column} AS ${k[i]}`));
  const stampPage = `SELECT ${keys}, x.${quote(layout.stampColumn)} AS stamp FROM ${stamps} AS x${first}`;
  const same = list(
    k.map((name) => `s.${name} = r.${name}`),
    ' AND ',
  );
  if (fewStamps) {
    // Those of one table alone are in order as they come; what is sorted here is a whole page of records.
    const more = `CASE WHEN (SELECT count(*) FROM (${stampPage}) AS f) = $${1 + bounds.length * columns.length}::int8 THEN ${MORE_STAMPS} END`;
    return (
      `SELECT ${list(cells.map((cell) => `r.${cell}`))}, ${more}, s.stamp ` +
      `FROM (${live}) AS r LEFT JOIN (${stampPage}) AS s ON ${same} ORDER BY ${list(k.map((cell) => `r.${cell}`))}`
    );
  }
  const either = (cell: string): string => (k.includes(cell) ? `coalesce(r.${cell}, s.${cell})` : `r.${cell}`);
  return (
    `SELECT ${list(cells.map(either))}, CASE WHEN r.${k[0]} IS NULL THEN 1 END, s.stamp ` +
    `FROM (${live}) AS r FULL JOIN (${stampPage}) AS s ON ${same} ORDER BY ${list(k.map(either))} ${limit}`
  );
}

/**
 * The records of a unit in the order of bytes. Parameters: the unit, the other key columns that it goes on after, the
 * limit.
 */
export function listText(plan: Plan, stamped: boolean, after: boolean): string {
  const { layout, records, stamps } = plan;
  const { keys, unit, names } = layout;
  const rest = keys.filter((key) => !unit.includes(key));
  const bytewise = ({ name, collate }: KeyColumn): string => `${quote(name)}${collate ? ' COLLATE "C"' : ''}`;
  const order = rest.length === 0 ? '' : ` ORDER BY ${list(rest.map(bytewise))}`;
  const goesOn = after && rest.length > 0;
  const conditions = [
    ...unit.map(({ name }, i) => `${quote(name)} = $${i + 1}`),
    ...(goesOn ? [`ROW(${list(rest.map(bytewise))}) > ROW(${marks(rest, unit.length + 1)})`] : []),
  ];
  const limit = `LIMIT $${1 + unit.length + (goesOn ? rest.length : 0)}::int8`;
  const page = `SELECT ${list(names.map(quote))} FROM ${records} WHERE ${list(conditions, ' AND ')}${order} ${limit}`;
  const join = list(
    keys.map(({ name }) => `s.${quote(name)} = r.${quote(name)}`),
    ' AND ',
  );
  const stamp = stamped ? `s.${quote(layout.stampColumn)}` : 'NULL';
  const selection = [...names.map((name) => `r.${quote(name)}`), 'NULL', stamp];
  const ordered = rest.length === 0 ? '' : ` ORDER BY ${list(rest.map((key) => `r.${bytewise(key)}`))}`;
  return `SELECT ${list(selection)} FROM (${page}) AS r${stamped ? ` LEFT JOIN ${stamps} AS s ON ${join}` : ''}${ordered}`;
}

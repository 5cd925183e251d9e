import { InvalidConfiguration } from '../../src/core/errors.ts';
import type { KeySpec } from '../../src/core/record-key.ts';
import { asKey, type ColumnCodec, isJsonColumn, type ValueForms } from './column-codec.ts';
import type { ColumnDescription, Session, TableDescription } from './dialect.ts';
import type { JsonNotation } from './json-text.ts';
import { FIELD_TYPES, type FieldType, type ResolvedColumn, type ResolvedSqlOptions } from './options.ts';

/** One field and the column that holds it. */
export interface FieldColumn {
  readonly field: string;
  readonly name: string;
  readonly declared: string;
  readonly nullable: boolean;
  readonly filledIn: boolean;
  readonly type: FieldType;
  /** The other types that a column of this declaration holds. */
  readonly otherTypes: readonly FieldType[];
  readonly codec: ColumnCodec;
}

/** A column of the key. */
export interface KeyColumn extends FieldColumn {
  /** Its place among {@link Layout.names}. */
  readonly index: number;
  /** Comparisons must name the collation, as the column's own is not known to be the order of bytes. */
  readonly collate: boolean;
}

/** The column of the fields that have none of their own. */
export interface DocumentColumn {
  readonly name: string;
  readonly notation: JsonNotation;
}

/** How a table holds the records of a migration: options and the table's declaration brought together. */
export interface Layout {
  readonly table: string;
  readonly stampTable: string;
  /** The names of the columns of the stamp table beside the key's. */
  readonly stampColumn: string;
  readonly deletedColumn: string;
  readonly columns: readonly FieldColumn[];
  /** In the order of the key's fields. */
  readonly keys: readonly KeyColumn[];
  /** Those of {@link Layout.keys} that make the unit, in the order of its fields. */
  readonly unit: readonly KeyColumn[];
  readonly document: DocumentColumn | null;
  readonly nulls: 'null' | 'absent';
  /** All columns that are read and written, the document last. */
  readonly names: readonly string[];
}

const LEAVE_OUT = 'leave the column out: name in `columns` those that belong to the records';

function wrong(table: string, what: string, expected: string, remedy?: string): never {
  throw new InvalidConfiguration(`table ${table}: ${what}`, { expected, ...(remedy !== undefined && { remedy }) });
}

/** How to say that a field is of one of these types. */
export const typeRemedy = (field: string, column: string, types: readonly FieldType[]): string => {
  const name = column === field ? '' : `column: ${JSON.stringify(column)}, `;
  const type = types.map((each) => `'${each}'`).join(' or ');
  return `\`columns: { ${JSON.stringify(field)}: { ${name}type: ${type} } }\`, beside all other columns of the records: those not named are left out`;
};

function resolve(options: ResolvedSqlOptions, keys: KeySpec, own: TableDescription): readonly ResolvedColumn[] {
  if (options.columns === null) {
    return own.columns
      .filter(({ name, generated }) => (!generated || keys.fields.includes(name)) && name !== options.document)
      .map(({ name }) => ({ field: name, column: name, type: null }));
  }
  const named = new Set(options.columns.map(({ field }) => field));
  const rest = keys.fields.filter((field) => !named.has(field));
  return [...rest.map((field) => ({ field, column: field, type: null })), ...options.columns];
}

/** The column of a field and how it is held. @throws InvalidConfiguration when that is not clear or not exact. */
function fieldColumn(
  session: Session,
  table: string,
  option: ResolvedColumn,
  described: ColumnDescription | undefined,
  forms: ValueForms,
): FieldColumn {
  const { field, column } = option;
  if (described === undefined) {
    return wrong(table, `there is no column "${column}" for the field "${field}"`, 'the name of a column of the table');
  }
  const { name, declared, nullable, filledIn, generated } = described;
  if (generated) {
    wrong(table, `the column "${name}" is computed and cannot be written`, 'a column that holds values', LEAVE_OUT);
  }
  const type = option.type ?? session.fieldType(described);
  const types = FIELD_TYPES.filter((each) => typeof session.codec(each, described, forms) !== 'string');
  const remedy = types.length === 0 ? LEAVE_OUT : typeRemedy(field, name, types);
  if (type === null) {
    const what = `the declaration "${declared}" of the column "${name}" does not tell its type`;
    return wrong(table, what, types.length === 0 ? 'a column of a type that can be held exactly' : 'a type', remedy);
  }
  const codec = session.codec(type, described, forms);
  if (typeof codec === 'string') {
    return wrong(table, `the column "${name}" ${codec}`, `a column for ${type} values`, remedy);
  }
  const otherTypes = types.filter((each) => each !== type);
  return { field, name, declared, nullable, filledIn, type, otherTypes, codec };
}

/** Says why a column cannot be part of a key, and which type would make it one. */
function unfitForKeys(session: Session, table: string, column: FieldColumn, own: ColumnDescription, forms: ValueForms) {
  const { field, name, declared, type, otherTypes } = column;
  const fitting = otherTypes.filter((each) => {
    const codec = session.codec(each, own, forms);
    return typeof codec !== 'string' && codec.key;
  });
  const what = `the column "${name}", declared "${declared}", cannot be part of a key as ${type}: it is ordered otherwise than keys are`;
  const remedy = fitting.length === 0 ? undefined : typeRemedy(field, name, fitting);
  return wrong(table, what, 'text of a limited length, integers, bytes, dates or truth values', remedy);
}

function documentColumn(
  session: Session,
  table: string,
  name: string,
  find: (column: string) => ColumnDescription | undefined,
  forms: ValueForms,
): DocumentColumn {
  const found = find(name);
  if (found === undefined) {
    return wrong(table, `there is no column "${name}" for the document`, 'the name of a text column');
  }
  const codec = session.codec('json', found, forms);
  if (typeof codec === 'string') return wrong(table, `the column "${found.name}" ${codec}`, 'a column for JSON text');
  if (!isJsonColumn(codec)) return wrong(table, `the column "${found.name}" is not for JSON`, 'a column for JSON text');
  return { name: found.name, notation: codec.notation };
}

/** Brings options and declaration together. @throws InvalidConfiguration when records could not be held exactly. */
export function makeLayout(
  session: Session,
  options: ResolvedSqlOptions,
  spec: KeySpec,
  own: TableDescription,
  forms: ValueForms,
): Layout {
  const { table, stampTable, nulls } = options;
  const find = (column: string): ColumnDescription | undefined =>
    own.columns.find(({ name }) => name === column) ??
    own.columns.find(({ name }) => name.toLowerCase() === column.toLowerCase());
  const document = options.document === null ? null : documentColumn(session, table, options.document, find, forms);
  const columns = resolve(options, spec, own).map((option) =>
    fieldColumn(session, table, option, find(option.column), forms),
  );
  const keys = spec.fields.map((field): KeyColumn => {
    const index = columns.findIndex((column) => column.field === field);
    const column = columns[index];
    if (column === undefined) {
      return wrong(
        table,
        `the key field "${field}" has no column`,
        `a column "${field}", or \`columns\` that name one`,
      );
    }
    if (!column.codec.key) {
      unfitForKeys(session, table, column, find(column.name) as ColumnDescription, forms);
    }
    return { ...column, codec: asKey(column.codec), index, collate: column.codec.text && !own.binary.has(column.name) };
  });
  const keyNames = new Set(keys.map(({ name }) => name));
  if (!own.unique.some((names) => names.every((name) => keyNames.has(name)))) {
    throw new InvalidConfiguration(`table ${table}: nothing makes the key (${[...keyNames].join(', ')}) unique`, {
      expected: 'a primary key or unique index over columns of the key, and no tables that inherit from this one',
      remedy: 'create a unique index over the key columns',
    });
  }
  const free = (wish: string): string => {
    const taken = [...keyNames].some((name) => name.toLowerCase() === wish);
    return taken ? free(`changeover_${wish}`) : wish;
  };
  return Object.freeze({
    table,
    stampTable,
    stampColumn: free('stamp'),
    deletedColumn: free('deleted'),
    columns,
    keys,
    unit: spec.unitFields.map((field) => keys.find((column) => column.field === field) as KeyColumn),
    document,
    nulls,
    names: [...columns.map(({ name }) => name), ...(document === null ? [] : [document.name])],
  });
}

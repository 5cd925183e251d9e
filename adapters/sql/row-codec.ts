import { inspect } from 'node:util';
import { equalValues } from '../../src/core/canonical.ts';
import { InvalidArgument, InvalidRecord } from '../../src/core/errors.ts';
import type { KeySpec } from '../../src/core/record-key.ts';
import { shortId } from '../../src/core/short-id.ts';
import type { Stamp } from '../../src/core/stamp.ts';
import { type Codec, type Entry, identityCodec, type Rejection } from '../../src/core/store.ts';
import {
  cloneValue,
  isPlainObject,
  type Key,
  type StoredRecord,
  Unreadable,
  type Value,
} from '../../src/core/value.ts';
import type { Bound } from './column-codec.ts';
import type { HeldAt } from './dialect.ts';
import { type DocumentColumn, type FieldColumn, type KeyColumn, type Layout, typeRemedy } from './layout.ts';
import { Unfit } from './unfit.ts';

/** A record as it is bound to statements; `row` null deletes. */
export interface BoundEntry {
  readonly key: readonly Bound[];
  readonly row: readonly Bound[] | null;
  /** Why it cannot be written, or null; the row is then not to be used. */
  readonly rejection: Rejection | null;
}

const rejected = (reason: Rejection['reason'], message: string): Rejection => ({ kind: 'rejected', reason, message });

/** Sets a field whatever its name; `__proto__` too. */
function setField(record: Record<string, Value>, field: string, value: Value): void {
  if (field !== '__proto__') record[field] = value;
  else Object.defineProperty(record, field, { value, enumerable: true, configurable: true, writable: true });
}

/** Turns entries into rows and back, exactly or not at all. */
export class RowCodec {
  readonly #layout: Layout;
  readonly #spec: KeySpec;
  readonly #codec: Codec;
  readonly #fields: ReadonlySet<string>;
  /** The place in the key of each column; -1: none. */
  readonly #keyPlaces: readonly number[];

  constructor(layout: Layout, spec: KeySpec, codec: Codec) {
    this.#layout = layout;
    this.#spec = spec;
    this.#codec = codec;
    this.#fields = new Set(layout.columns.map(({ field }) => field));
    this.#keyPlaces = layout.columns.map(({ field }) => layout.keys.findIndex((key) => key.field === field));
  }

  /** The columns of a key, or of the part of it that `columns` are; a rejection when no record could have it. */
  bindKey(key: Key, columns: readonly KeyColumn[] = this.#layout.keys): readonly Bound[] | Rejection {
    const bound: Bound[] = [];
    for (const { field, codec } of columns) {
      const value = codec.encode(key[field]);
      if (value instanceof Unfit) return rejected('limit', `the key field "${field}" ${value.why}`);
      bound.push(value);
    }
    return bound;
  }

  /** The columns of a key that a record has. */
  boundKey(key: Key): readonly Bound[] {
    const bound = this.bindKey(key);
    if ('kind' in bound) throw new InvalidArgument(bound.message);
    return bound;
  }

  /** An entry, bound; a rejection when not even its key can be. */
  bind(entry: Entry): BoundEntry | Rejection {
    const key = this.bindKey(entry.key);
    if ('kind' in key) return key;
    if (entry.value === null) return { key, row: null, rejection: null };
    const row = this.#bindRecord(entry.key, key, entry.value);
    return 'kind' in row ? { key, row: null, rejection: row } : { key, row, rejection: null };
  }

  /**
   * Whether a live entry is surely read from its row as the very record that it was made of: every column has a field that
   * it holds. False says nothing: what is not so plain is bound and read to be known.
   */
  holdsPlainly({ key, value }: Entry): boolean {
    const { columns, keys, document } = this.#layout;
    if (value === null || document !== null || this.#codec !== identityCodec) return false;
    for (let i = 0; i < keys.length; i += 1) {
      const { field, codec } = keys[i] as KeyColumn;
      const part = key[field];
      if (typeof part === 'object' || !Object.is(value[field], part) || codec.encode(part) instanceof Unfit)
        return false;
    }
    for (let i = 0; i < columns.length; i += 1) {
      const { field, codec } = columns[i] as FieldColumn;
      const held = Object.hasOwn(value, field) ? value[field] : undefined;
      if (held === undefined || held === null) return false;
      if ((this.#keyPlaces[i] as number) < 0 && codec.encode(held) instanceof Unfit) return false;
    }
    return Object.keys(value).length === columns.length;
  }

  #bindRecord(key: Key, boundKey: readonly Bound[], value: StoredRecord): readonly Bound[] | Rejection {
    let record = value;
    if (this.#codec !== identityCodec) {
      try {
        record = this.#codec.encode(cloneValue(value));
      } catch (error) {
        if (error instanceof InvalidRecord) return rejected('limit', error.message);
        throw error;
      }
    }
    const { columns, document, nulls } = this.#layout;
    const row: Bound[] = [];
    const rest = document === null ? null : (Object.create(null) as Record<string, Value>);
    for (let i = 0; i < columns.length; i += 1) {
      const column = columns[i] as FieldColumn;
      const { field } = column;
      const place = this.#keyPlaces[i] as number;
      const held = Object.hasOwn(record, field) ? record[field] : undefined;
      if (place >= 0) {
        if (held !== undefined && !equalValues(held, key[field])) {
          return rejected('limit', `the field "${field}" differs from the key`);
        }
        row.push(boundKey[place] as Bound);
      } else if (held === undefined || held === null) {
        const missing = this.#bindNothing(column, held);
        if (missing !== null) return missing;
        if (rest !== null && held === null && nulls === 'absent') rest[field] = null;
        row.push(null);
      } else {
        const bound = column.codec.encode(held);
        if (bound instanceof Unfit) return rejected('limit', `the field "${field}" ${bound.why}`);
        row.push(bound);
      }
    }
    for (const field of Object.keys(record)) {
      const held = record[field];
      if (held === undefined || this.#fields.has(field)) continue;
      if (document === null || rest === null) return rejected('limit', `the field "${field}" has no column`);
      const why = document.notation.why(held);
      if (why !== null) return rejected('limit', `the field "${field}" ${why}`);
      rest[field] = held;
    }
    if (document !== null && rest !== null) {
      // The fields were looked at one by one, so that it can only be the name of one.
      const why = document.notation.why(rest);
      if (why !== null) return rejected('limit', `the record ${why}`);
      row.push(document.notation.write(rest));
    }
    return row;
  }

  /** Why a field that is null or absent cannot be, or null. */
  #bindNothing({ field, name, nullable, filledIn }: FieldColumn, held: null | undefined): Rejection | null {
    const what = held === null ? 'null' : 'absent';
    if (filledIn) return rejected('limit', `the field "${field}" is ${what}, which the column "${name}" fills in`);
    if (what !== this.#layout.nulls && !(held === null && this.#layout.document !== null)) {
      return rejected('limit', `the field "${field}" is ${what}, which SQL does not tell from ${this.#layout.nulls}`);
    }
    return nullable
      ? null
      : rejected('constraint', `the field "${field}" is ${what}, and the column "${name}" NOT NULL`);
  }

  /**
   * The record of a row in the order of `layout.names`; `id` is its key's. @throws InvalidRecord names the column that is
   * not readable, and the record.
   */
  record(row: readonly unknown[], id: string | null = null): StoredRecord {
    const { columns, document, nulls } = this.#layout;
    const stored: Record<string, Value> = {};
    const rest = document === null ? null : this.#document(document, row[columns.length], id);
    for (let i = 0; i < columns.length; i += 1) {
      const column = columns[i] as FieldColumn;
      const cell = row[i];
      if (cell !== null) setField(stored, column.field, this.#cell(column, cell, id));
      else if (nulls === 'null' || (rest !== null && Object.hasOwn(rest, column.field))) {
        setField(stored, column.field, null);
      }
    }
    if (rest !== null) {
      for (const field of Object.keys(rest)) {
        if (!this.#fields.has(field)) setField(stored, field, rest[field]);
      }
    }
    return this.#codec === identityCodec ? stored : this.#codec.decode(stored);
  }

  /** A live entry of its row, whatever it holds. */
  read(id: string, key: Key, stamp: Stamp | null, row: readonly unknown[]): Entry {
    try {
      return { id, key, stamp, value: this.record(row, id) };
    } catch (error) {
      if (!(error instanceof InvalidRecord)) throw error;
      return { id, key, stamp, value: this.#asFarAsRead(row), unreadable: error };
    }
  }

  /** Every cell by the field that it is for, with an `Unreadable` for what cannot be read. */
  #asFarAsRead(row: readonly unknown[]): StoredRecord {
    const { columns, document } = this.#layout;
    const stored: Record<string, Value> = {};
    const told = (field: string, cell: unknown, value: Value): void =>
      setField(stored, field, value === undefined ? (new Unreadable(inspect(cell)) as unknown as Value) : value);
    columns.forEach(({ field, codec }, i) => {
      if (row[i] !== null) told(field, row[i], codec.decode(row[i]));
    });
    if (document !== null && row[columns.length] !== null) {
      told(document.name, row[columns.length], undefined);
    }
    return stored;
  }

  #document({ name, notation }: DocumentColumn, cell: unknown, id: string | null): StoredRecord {
    if (cell === null) return {};
    let value: unknown;
    try {
      value = notation.read(typeof cell === 'string' ? cell : '');
    } catch {
      value = undefined;
    }
    if (isPlainObject(value)) return value as StoredRecord;
    return this.#unreadable(name, id, 'a JSON object without numbers of more digits than a double holds');
  }

  #cell(column: FieldColumn, cell: unknown, id: string | null): Value {
    const value = column.codec.decode(cell);
    if (value !== undefined) return value;
    const { field, name, declared, type, otherTypes } = column;
    const other = otherTypes.length === 0 ? undefined : typeRemedy(field, name, otherTypes);
    return this.#unreadable(name, id, `${type}, as a column declared "${declared}" is read`, other);
  }

  #unreadable(column: string, id: string | null, expected: string, other?: string): never {
    const { table } = this.#layout;
    const whose = id === null ? '' : ` of the record ${shortId(id)}`;
    throw new InvalidRecord(`table ${table}: a value in the column "${column}"${whose} cannot be read exactly`, {
      expected,
      remedy: `mend the rows${other === undefined ? '' : `, or give the field another type: ${other}`}`,
      details: { table, column, ...(id !== null && { id }) },
    });
  }

  /** The key of its columns. @throws InvalidRecord for what could not be found again under the key that it reads as. */
  key(cells: readonly unknown[]): Key {
    const key: Record<string, Value> = {};
    const { keys } = this.#layout;
    for (let i = 0; i < keys.length; i += 1) {
      const column = keys[i] as KeyColumn;
      const cell = cells[i];
      if (cell === null) this.#unreadable(column.name, null, 'no NULL in a key');
      const value = this.#cell(column, cell, null);
      // A date in another form than ours would be looked for, and written, beside itself.
      if (typeof cell === 'string' && column.codec.encode(value) !== cell) {
        this.#unreadable(column.name, null, 'the form in which keys are written');
      }
      setField(key, column.field, value);
    }
    return this.#spec.keyOf(key);
  }

  /** What a scan met, as an entry; without values when only stamps are wanted. */
  entry(held: HeldAt, stampsOnly: boolean): Entry {
    const key = this.key(held.key);
    const id = this.#spec.id(key);
    const { row, stamp } = held;
    if (row === null || stampsOnly) return { id, key, stamp, value: row === null ? null : key };
    return this.read(id, key, stamp, row);
  }

  /** A native row (an object by column names) as an entry without stamp. @throws InvalidRecord */
  native(row: unknown): Entry {
    if (typeof row !== 'object' || row === null) {
      throw new InvalidRecord('a native row is no object', { expected: 'rows as knex gives them' });
    }
    const cells = this.#layout.names.map((name): unknown => {
      const cell: unknown = (row as Record<string, unknown>)[name];
      if (cell !== undefined) return cell;
      throw new InvalidRecord(`a native row lacks the column "${name}"`, {
        expected: `all of: ${this.#layout.names.join(', ')}`,
        remedy: `select "${this.#layout.table}".*`,
      });
    });
    const key = this.key(this.#layout.keys.map(({ index }) => cells[index]));
    const id = this.#spec.id(key);
    return { id, key, stamp: null, value: this.record(cells, id) };
  }
}

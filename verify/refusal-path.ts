import type { Entry, Rejection } from '../src/core/store.ts';
import { isPlainObject, type StoredRecord, type Value } from '../src/core/value.ts';

/** One step into a record: a field, or any item of a list. */
export type PathStep = { readonly field: string } | 'item';

type Ask = (value: StoredRecord) => Rejection | null;

/** How many fields may be refused together before the whole record is named. */
const MOST_TOGETHER = 3;
/** How often a store is asked about one record. */
const MOST_ASKED = 400;
/** Parts of one value that are tried. */
const MOST_TRIED = 100;

/**
 * The places because of which a store refuses a record, found by leaving them out: `refuse` is asked about the record
 * without them. One path without steps where it is the record as a whole (its size, its key).
 */
export function refusalPaths(
  entry: Entry,
  keyFields: readonly string[],
  refuse: (entry: Entry) => Rejection | null,
): readonly (readonly PathStep[])[] {
  const record = entry.value as StoredRecord;
  let asked = 0;
  let first: Rejection | null = null;
  const ask: Ask = (value) => {
    asked += 1;
    // Given up: the same answer to everything leads nowhere.
    return asked > MOST_ASKED ? first : refuse({ ...entry, value });
  };
  first = ask(record);
  return (first === null ? null : culprits(record, new Set(keyFields), first, ask, 0)) ?? [[]];
}

/** The fields without which the record is not refused; null where there are none such. */
function culprits(
  record: StoredRecord,
  keep: ReadonlySet<string>,
  refusal: Rejection,
  ask: Ask,
  depth: number,
): readonly (readonly PathStep[])[] | null {
  const fields = Object.keys(record).filter((field) => record[field] !== undefined && !keep.has(field));
  const others: (readonly [field: string, rest: StoredRecord])[] = [];
  for (const field of fields.slice(0, MOST_TRIED)) {
    const left = ask(without(record, field));
    if (left === null) return [deeper(record, field, ask)];
    if (left.message === refusal.message) continue;
    // Another complaint: this field's own was the first of several, or the field was needed; it may then be null.
    const emptied = { ...record, [field]: null };
    const empty = ask(emptied);
    if (empty === null) return [deeper(record, field, ask)];
    if (empty.message !== refusal.message) others.push([field, without(record, field)], [field, emptied]);
  }
  if (depth === MOST_TOGETHER - 1) return null;
  for (const [field, rest] of others) {
    const more = culprits(rest, keep, ask(rest) as Rejection, ask, depth + 1);
    if (more === null) continue;
    // What else is wrong is out of the way now, so this field can be looked into.
    const alone = { ...record };
    for (const [step] of more)
      if (step !== undefined && step !== 'item') delete (alone as Record<string, Value>)[step.field];
    return [deeper(alone, field, ask), ...more];
  }
  return null;
}

const without = (record: StoredRecord, field: string): StoredRecord =>
  Object.fromEntries(Object.entries(record).filter(([name]) => name !== field));

/** The smallest part of a field without which the record is not refused. */
function deeper(record: StoredRecord, field: string, ask: Ask): readonly PathStep[] {
  const put = (value: Value): StoredRecord => ({ ...record, [field]: value });
  return [{ field }, ...inside(record[field], put, ask)];
}

function inside(value: Value, put: (value: Value) => StoredRecord, ask: Ask): readonly PathStep[] {
  if (Array.isArray(value)) {
    for (const [i, item] of value.slice(0, MOST_TRIED).entries()) {
      const rest = value.toSpliced(i, 1) as readonly Value[];
      if (ask(put(rest)) === null) {
        return ['item', ...inside(item as Value, (part) => put(value.with(i, part) as readonly Value[]), ask)];
      }
    }
  } else if (isPlainObject(value)) {
    const record = value as StoredRecord;
    for (const field of Object.keys(record).slice(0, MOST_TRIED)) {
      if (ask(put(without(record, field))) === null) {
        return [{ field }, ...inside(record[field], (part) => put({ ...record, [field]: part }), ask)];
      }
    }
  }
  return [];
}

import { isBson } from '../src/core/bson.ts';
import { equalValues } from '../src/core/canonical.ts';
import { type KeyJson, keyToJson } from '../src/core/key-json.ts';
import type { Rejection } from '../src/core/store.ts';
import { Decimal, isPlainObject, type Key } from '../src/core/value.ts';
import { type CompareRules, compareRecords, type FieldDifference, maskValue } from './compare.ts';
import { fieldPath } from './field-path.ts';
import type { PathStep } from './refusal-path.ts';

/** What became of the values at one place of the records. */
export interface PathLoss {
  /** Such as `payload.items[].id`; `*` stands for many fields; empty for the record as a whole. */
  readonly path: string;
  /** Came back as they were, or counted as equal by the compare rules. */
  readonly kept: number;
  /** Did not come back. */
  readonly lost: number;
  /** The store or the codec would not take the record because of them. */
  readonly refused: readonly { readonly reason: string; readonly message: string; readonly count: number }[];
  /** Came back as something else: `Date` → `string`, `number` → `another number`. */
  readonly changed: readonly { readonly from: string; readonly to: string; readonly count: number }[];
  /** One of those that were lost, changed or refused; values are masked unless they were asked for. */
  readonly example: { readonly key: KeyJson; readonly given: unknown; readonly back: unknown } | null;
}

/** What one store makes of the records that are given to it, place by place. */
export interface LossMatrix {
  readonly records: number;
  /** Records that came back as they were. */
  readonly same: number;
  /** Records that were refused. */
  readonly refused: number;
  /** What loses something first, then in order. */
  readonly paths: readonly PathLoss[];
  /** There are more paths than are listed. */
  readonly truncated: boolean;
}

/** Fields of one place that are told apart while each is in most of the records; more are keys of a map. */
const MOST_SPARSE = 50;
const MOST_FIELDS = 500;
const MOST_PLACES = 20_000;
const MOST_PATHS = 2_000;

/** What is known of one place. */
class Place {
  seen = 0;
  kept = 0;
  lost = 0;
  readonly changed = new Map<string, { readonly from: string; readonly to: string; count: number }>();
  readonly refused = new Map<string, { readonly reason: string; readonly message: string; count: number }>();
  example: { readonly key: Key; readonly given: unknown; readonly back: unknown } | null = null;
  readonly fields = new Map<string, Place>();
  any: Place | null = null;
  item: Place | null = null;

  get loses(): boolean {
    return this.lost > 0 || this.changed.size > 0 || this.refused.size > 0;
  }

  /** Takes in what is known of another place that is no longer told apart from this one. */
  merge(other: Place): void {
    this.seen += other.seen;
    this.kept += other.kept;
    this.lost += other.lost;
    this.example ??= other.example;
    for (const [name, line] of other.changed) add(this.changed, name, line, line.count);
    for (const [name, line] of other.refused) add(this.refused, name, line, line.count);
    for (const [field, place] of other.fields) {
      const target = this.any ?? this.fields.get(field);
      if (target === undefined) this.fields.set(field, place);
      else target.merge(place);
    }
    if (other.any !== null) {
      this.collapse();
      this.any?.merge(other.any);
    }
    if (other.item !== null) {
      if (this.item === null) this.item = other.item;
      else this.item.merge(other.item);
    }
  }

  /** Forgets which field is which. */
  collapse(): void {
    this.any ??= new Place();
    const fields = [...this.fields.values()];
    this.fields.clear();
    for (const place of fields) this.any.merge(place);
  }
}

function add<T extends { count: number }>(lines: Map<string, T>, name: string, line: T, count: number): void {
  const known = lines.get(name);
  if (known === undefined) lines.set(name, { ...line, count });
  else known.count += count;
}

/** Collects, in bounded memory, what a round trip through one store does to records, field path by field path. */
export class Lossiness {
  readonly #rules: CompareRules;
  readonly #root = new Place();
  #places = 1;
  #records = 0;
  #same = 0;
  #refused = 0;

  constructor(rules: CompareRules) {
    this.#rules = rules;
  }

  /** A record and what came back for it. */
  compare(key: Key, given: unknown, back: unknown): void {
    this.#records += 1;
    if (given === back || equalValues(given, back)) {
      this.#same += 1;
      this.#keep(this.#root, given);
      return;
    }
    const differences = compareRecords(given, back, this.#rules, Number.POSITIVE_INFINITY);
    if (differences.length === 0) this.#same += 1;
    this.#walk(this.#root, given, back, '', key, new Map(differences.map((each) => [each.path, each])));
  }

  /** A record that is refused, because of what stands at these places. */
  refuse(
    key: Key,
    given: unknown,
    paths: readonly (readonly PathStep[])[],
    why: Pick<Rejection, 'message'>,
    reason: string,
  ): void {
    this.#records += 1;
    this.#refused += 1;
    for (const path of paths) {
      let place = this.#root;
      let value = given;
      for (const step of path) {
        place.seen += 1;
        place = step === 'item' ? this.#item(place) : this.#field(place, step.field);
        value = step !== 'item' && isPlainObject(value) ? value[step.field] : undefined;
      }
      place.seen += 1;
      add(place.refused, reason, { reason, message: why.message, count: 0 }, 1);
      place.example ??= { key, given: path.length === 0 ? undefined : value, back: undefined };
    }
  }

  /** One text a place and kind of loss: what an acceptance names. */
  losses(side: string): readonly string[] {
    const found: string[] = [];
    for (const [path, place] of places(this.#root, '')) {
      const where = `${side} store: ${path === '' ? '(the whole record)' : path}`;
      if (place.lost > 0) found.push(`${where} lost`);
      for (const { from, to } of place.changed.values()) found.push(`${where} ${from} → ${to}`);
      for (const { reason } of place.refused.values()) found.push(`${where} refused (${reason})`);
    }
    return found.sort();
  }

  report(showValues: boolean): LossMatrix {
    const show = (value: unknown): unknown =>
      value === undefined ? null : showValues ? plain(value) : maskValue(value);
    const found = [...places(this.#root, '')].filter(([, place]) => place.loses || place.kept > 0);
    found.sort(([a, x], [b, y]) => Number(y.loses) - Number(x.loses) || (a < b ? -1 : 1));
    const paths = found.slice(0, MOST_PATHS).map(([path, { kept, lost, refused, changed, example }]): PathLoss => {
      return {
        path,
        kept,
        lost,
        refused: [...refused.values()],
        changed: [...changed.values()],
        example:
          example === null
            ? null
            : { key: keyToJson(example.key), given: show(example.given), back: show(example.back) },
      };
    });
    return {
      records: this.#records,
      same: this.#same,
      refused: this.#refused,
      paths,
      truncated: found.length > paths.length,
    };
  }

  /** All of it came back as it was. */
  #keep(place: Place, value: unknown): void {
    place.seen += 1;
    if (typeof value !== 'object' || value === null) {
      place.kept += 1;
    } else if (Array.isArray(value)) {
      if (value.length === 0) place.kept += 1;
      for (const item of value) this.#keep(this.#item(place), item);
    } else if (isPlainObject(value)) {
      let fields = 0;
      for (const field of Object.keys(value)) {
        const part = value[field];
        fields += 1;
        if (part !== undefined) this.#keep(this.#field(place, field), part);
      }
      if (fields === 0) place.kept += 1;
    } else {
      place.kept += 1;
    }
  }

  #walk(
    place: Place,
    given: unknown,
    back: unknown,
    path: string,
    key: Key,
    differences: ReadonlyMap<string, FieldDifference>,
  ): void {
    place.seen += 1;
    const difference = differences.get(path);
    if (difference !== undefined) {
      this.#differs(place, key, difference);
    } else if (Array.isArray(given) && Array.isArray(back)) {
      const length = Math.max(given.length, back.length);
      if (length === 0) place.kept += 1;
      for (let i = 0; i < length; i += 1) {
        this.#walk(this.#item(place), given[i], back[i], `${path}[${i}]`, key, differences);
      }
    } else if (isPlainObject(given) && isPlainObject(back)) {
      const fields = new Set([...Object.keys(given), ...Object.keys(back)]);
      if (fields.size === 0) place.kept += 1;
      for (const field of fields) {
        const [a, b] = [own(given, field), own(back, field)];
        if (a === undefined && b === undefined) continue;
        this.#walk(this.#field(place, field), a, b, fieldPath(path, field), key, differences);
      }
    } else if (given !== undefined) {
      place.kept += 1;
    }
  }

  #differs(place: Place, key: Key, { old: given, new: back }: FieldDifference): void {
    place.example ??= { key, given, back };
    if (back === undefined) {
      place.lost += 1;
      return;
    }
    const [from, type] = [typeName(given), typeName(back)];
    const to = from === type ? `another ${type}` : type;
    add(place.changed, `${from} ${to}`, { from, to, count: 0 }, 1);
  }

  #item(place: Place): Place {
    place.item ??= this.#make();
    return place.item;
  }

  #field(place: Place, field: string): Place {
    if (place.any !== null) return place.any;
    const known = place.fields.get(field);
    if (known !== undefined) return known;
    const { size } = place.fields;
    if (size >= MOST_FIELDS || this.#places >= MOST_PLACES || (size >= MOST_SPARSE && isMap(place))) {
      place.collapse();
      return place.any as unknown as Place;
    }
    const made = this.#make();
    place.fields.set(field, made);
    return made;
  }

  #make(): Place {
    this.#places += 1;
    return new Place();
  }
}

/** Whether the fields of a place are keys of data rather than of a schema: most records have few of them. */
function isMap(place: Place): boolean {
  let seen = 0;
  for (const child of place.fields.values()) seen += child.seen;
  return seen / place.fields.size < place.seen / 2;
}

function* places(place: Place, path: string): Generator<readonly [path: string, place: Place]> {
  yield [path, place];
  if (place.item !== null) yield* places(place.item, `${path}[]`);
  if (place.any !== null) yield* places(place.any, path === '' ? '*' : `${path}.*`);
  for (const [field, child] of place.fields) yield* places(child, fieldPath(path, field));
}

const own = (record: Record<string, unknown>, field: string): unknown =>
  Object.hasOwn(record, field) ? record[field] : undefined;

/** A value's type for people. */
function typeName(value: unknown): string {
  if (value === undefined) return 'absent';
  if (value === null) return 'null';
  if (typeof value !== 'object') return typeof value;
  if (Array.isArray(value)) return 'array';
  if (value instanceof Date) return 'Date';
  if (value instanceof Decimal) return 'Decimal';
  if (value instanceof Uint8Array) return 'bytes';
  if (value instanceof Set) return 'set';
  return isBson(value) ? value._bsontype : 'object';
}

const LONGEST_SHOWN = 500;

/** A value as JSON can carry it; what JSON lacks becomes its text. */
function plain(value: unknown): unknown {
  const text = JSON.stringify(value, (_, item: unknown) => (typeof item === 'bigint' ? `${item}n` : item));
  return text.length <= LONGEST_SHOWN ? JSON.parse(text) : `${text.slice(0, LONGEST_SHOWN)}…`;
}

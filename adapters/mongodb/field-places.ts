import { mustBeName } from './native.ts';
import { Unstorable } from './rejection.ts';

/** Names that are kept in mind; where records have ever new ones, the rest is looked at each time. */
const KEPT = 1_024;

/** Where a field of a record stands in a document: as it is, in the `_id`, or at this place beside the `_id`. */
export type FieldPlace = 'value' | 'id' | number;

/** Finds out once for each name what would otherwise be asked of every record. */
export class FieldPlaces {
  readonly #taken: ReadonlySet<string>;
  readonly #ofId: ReadonlySet<string>;
  readonly #beside: readonly string[];
  readonly #known = new Map<string, FieldPlace>();

  constructor(taken: readonly string[], ofId: readonly string[], beside: readonly string[]) {
    this.#taken = new Set(taken);
    this.#ofId = new Set(ofId);
    this.#beside = beside;
  }

  /** Whether {@link of} knows the place of a field, and will always find it. */
  has(field: string): boolean {
    if (this.#known.has(field)) return true;
    try {
      this.of(field);
      return true;
    } catch (error) {
      if (error instanceof Unstorable) return false;
      throw error;
    }
  }

  /** @throws Unstorable for a name that no document has, or that is ours */
  of(field: string): FieldPlace {
    const known = this.#known.get(field);
    if (known !== undefined) return known;
    const place = this.#find(field);
    if (this.#known.size < KEPT) this.#known.set(field, place);
    return place;
  }

  #find(field: string): FieldPlace {
    if (this.#taken.has(field)) throw new Unstorable(`the field "${field}" has the name of a reserved field`);
    if (this.#ofId.has(field)) return 'id';
    const place = this.#beside.indexOf(field);
    if (place >= 0) return place;
    mustBeName(field);
    return 'value';
  }
}

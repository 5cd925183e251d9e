import type { Bound } from '../column-codec.ts';
import { keyToText } from '../key-text.ts';
import type { Layout } from '../layout.ts';
import { Unfit } from '../unfit.ts';
import { columnType } from './column-type.ts';

const WHOLE = new Set(['bigint', 'decimal']);

/** Cells of the key as they are bound, and not as the driver prints them. */
export class KeyReader {
  readonly #layout: Layout;
  /** Columns whose integers come as text. */
  readonly #whole: readonly boolean[];

  constructor(layout: Layout) {
    this.#layout = layout;
    this.#whole = layout.keys.map(({ declared }) => WHOLE.has(columnType(declared).base));
  }

  cells(row: readonly unknown[]): readonly unknown[] {
    return row.map((cell, i) => (this.#whole[i] && typeof cell === 'string' ? BigInt(cell) : cell));
  }

  /** The key as it is bound; null for one that is none of ours. */
  bound(row: readonly unknown[]): readonly Bound[] | null {
    const cells = this.cells(row);
    const bound: Bound[] = [];
    for (const [i, { codec }] of this.#layout.keys.entries()) {
      const value = codec.decode(cells[i]);
      const part = value === undefined ? undefined : codec.encode(value);
      if (part === undefined || part instanceof Unfit) return null;
      bound.push(part);
    }
    return bound;
  }

  /** The same as one text, for looking it up. */
  text(row: readonly unknown[]): string {
    const bound = this.bound(row);
    return bound === null ? '' : keyToText(bound);
  }
}

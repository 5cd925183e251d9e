import type { Entry } from './store.ts';
import type { Value } from './value.ts';

/** What one page may hold in memory, about. */
const PAGE_BYTES = 4 * 1024 * 1024;
/** What all pages that were read and not yet put may. */
const OPEN_BYTES = 12 * PAGE_BYTES;
/** Entries of a page that are weighed. */
const WEIGHED = 32;
/** No page is larger than this, whatever is wanted of it. */
const MOST = 2_000;
/** Before anything was seen, records may be of any size; and no page has so many times the entries of any before it. */
const FIRST = 1;
const GROWTH = 16;
/** How much the newest page says. */
const NEWS = 0.5;

/**
 * How many entries the next page is to have: as many as give a full batch, with what is not wanted of them, and no more
 * than memory allows.
 */
export class PageSize {
  readonly #most: number;
  #bytes = 0;
  #wanted = 1;
  #reach = FIRST;

  constructor(most = MOST) {
    this.#most = most;
  }

  /** For batches of this size. */
  for(batch: number): number {
    const fit = Math.floor(PAGE_BYTES / this.#bytes);
    return Math.max(1, Math.min(Math.ceil(batch / Math.max(this.#wanted, 0.05)), fit, this.#reach, this.#most));
  }

  /** How many pages for batches of this size memory allows at all. */
  fitting(batch: number): number {
    return Math.max(1, Math.floor(OPEN_BYTES / (this.#bytes * this.for(batch) + 1)));
  }

  /** What a page was like. */
  learn(entries: readonly Entry[], wanted = entries.length): void {
    if (entries.length === 0) return;
    this.#reach = Math.max(this.#reach, entries.length * GROWTH);
    const step = Math.max(1, Math.floor(entries.length / WEIGHED));
    let bytes = 0;
    let weighed = 0;
    for (let i = 0; i < entries.length; i += step) {
      bytes += weigh(entries[i] as Entry);
      weighed += 1;
    }
    const mean = bytes / weighed;
    // Larger records than before are believed at once.
    this.#bytes = Math.max(mean, this.#bytes + NEWS * (mean - this.#bytes));
    this.#wanted += NEWS * (wanted / entries.length - this.#wanted);
  }
}

/** Scans are begun anew for a page size that differs by this factor: doing so costs a request in some stores. */
const WORTHWHILE = 1.5;
export const isOtherSize = (size: number, now: number): boolean => size > now * WORTHWHILE || now > size * WORTHWHILE;

/** As much by itself as a page. */
export const isLarge = (entry: Entry): boolean => weigh(entry) >= PAGE_BYTES;

/** About what an entry takes in memory. */
const weigh = ({ value }: Entry): number => 200 + (value === null ? 0 : weighValue(value));

/** About what a value takes in memory, in bytes. */
export function weighValue(value: Value | undefined): number {
  if (typeof value === 'string') return 16 + value.length;
  if (value instanceof Uint8Array) return 64 + value.byteLength;
  if (typeof value !== 'object' || value === null) return 16;
  let bytes = 64;
  for (const part of Array.isArray(value) ? value : Object.values(value)) bytes += weighValue(part as Value);
  return bytes;
}

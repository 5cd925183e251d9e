import type { Clock } from './clock.ts';
import { InvalidArgument, StampExhausted } from './errors.ts';

declare const stampBrand: unique symbol;

/**
 * The version of an entry: a hybrid logical clock reading of 12 bytes (48-bit ms, 16-bit counter, 32-bit
 * incarnation), held as 24 lower-case hex digits, so that `<` on strings is `<` on stamps and adapters store
 * the bytes. (Kulkarni et al., "Logical Physical Clocks", 2014.)
 */
export type Stamp = string & { readonly [stampBrand]: true };

const MAX_MS = 2 ** 48 - 1;
const MAX_COUNTER = 0xffff;
const MAX_INCARNATION = 0xffff_ffff;
const FORM = /^[0-9a-f]{24}$/;

/** The lowest stamp; no write ever carries it. */
export const STAMP_MIN = '0'.repeat(24) as Stamp;

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0');

const BYTES: readonly string[] = Array.from({ length: 256 }, (_, byte) => hex(byte, 2));

/** Makes a stamp of its parts (`ms` 0…2^48−1, `counter` 0…65535, `incarnation` 0…2^32−1). */
export function makeStamp(ms: number, counter: number, incarnation: number): Stamp {
  return (hex(Math.floor(ms), 12) + hex(counter, 4) + hex(incarnation, 8)) as Stamp;
}

/** Reads a stamp from its 24 hex digits. @throws InvalidArgument when the text is none. */
export function parseStamp(text: string): Stamp {
  if (!FORM.test(text)) {
    throw new InvalidArgument(`not a stamp: ${JSON.stringify(text)}`, { expected: '24 lower-case hex digits' });
  }
  return text as Stamp;
}

export const stampMs = (stamp: Stamp): number => Number.parseInt(stamp.slice(0, 12), 16);
export const stampCounter = (stamp: Stamp): number => Number.parseInt(stamp.slice(12, 16), 16);
export const stampIncarnation = (stamp: Stamp): number => Number.parseInt(stamp.slice(16), 16);

/** The 12 bytes of a stamp, for BINARY(12), bytea, Binary and B columns. */
export const stampToBytes = (stamp: Stamp): Buffer => Buffer.from(stamp, 'hex');

/** The stamp of 12 stored bytes. @throws InvalidArgument when there are not 12. */
export function stampFromBytes(bytes: Uint8Array): Stamp {
  if (bytes.byteLength !== 12) {
    throw new InvalidArgument(`a stored stamp has ${bytes.byteLength} bytes`, { expected: '12 bytes' });
  }
  return Buffer.from(bytes.buffer, bytes.byteOffset, 12).toString('hex') as Stamp;
}

/** The greater of two stamps, either of which may be missing. */
export function maxStamp(a: Stamp | null, b: Stamp | null): Stamp | null {
  if (a === null) return b;
  return b === null || a > b ? a : b;
}

/**
 * Issues the stamps of one incarnation: each greater than every one issued or observed before, whatever the wall
 * clock does. A clock that stands still or goes back counts up; a counter that is full borrows a millisecond.
 */
export class StampClock {
  readonly #clock: Pick<Clock, 'now'>;
  /** The last ten digits of a stamp by the low byte of its counter: a stamp is two texts put together, every write has one. */
  readonly #tails: readonly string[];
  #ms = 0;
  #counter = 0;
  #prefix = hex(0, 12);
  /** The first fourteen digits. */
  #head = hex(0, 14);

  constructor(clock: Pick<Clock, 'now'>, incarnation: number) {
    if (!Number.isInteger(incarnation) || incarnation < 0 || incarnation > MAX_INCARNATION) {
      throw new InvalidArgument(`incarnation ${incarnation} is out of range`, { expected: '0 … 4294967295' });
    }
    this.#clock = clock;
    const suffix = hex(incarnation, 8);
    this.#tails = BYTES.map((byte) => byte + suffix);
  }

  /** The time of the greatest stamp issued or observed, ms. */
  get ms(): number {
    return this.#ms;
  }

  /** The next stamp. @throws StampExhausted at the end of the 48-bit range. */
  next(): Stamp {
    const now = Math.min(Math.max(0, Math.floor(this.#clock.now())), MAX_MS);
    if (now > this.#ms) this.#set(now, 0);
    else if (this.#counter < MAX_COUNTER) this.#set(this.#ms, this.#counter + 1);
    else if (this.#ms < MAX_MS) this.#set(this.#ms + 1, 0);
    else {
      throw new StampExhausted('no greater stamp exists', {
        expected: 'stored stamps in the past or the near future',
        remedy: 'find the writer whose clock stood at the end of time, then `changeover repair`',
      });
    }
    return this.highWater();
  }

  /** Makes every later stamp greater than `seen` (R3). */
  observe(seen: Stamp): void {
    const ms = stampMs(seen);
    const counter = stampCounter(seen);
    if (ms > this.#ms || (ms === this.#ms && counter > this.#counter)) this.#set(ms, counter);
  }

  /** How far the clock of the stamps runs ahead of the wall clock, in ms: somebody's clock is that fast. */
  aheadMs(): number {
    return Math.max(0, this.#ms - this.#clock.now());
  }

  /** A stamp that no later one of this clock is below: what is reported as the greatest one issued. */
  highWater(): Stamp {
    return (this.#head + (this.#tails[this.#counter & 0xff] as string)) as Stamp;
  }

  #set(ms: number, counter: number): void {
    if (ms !== this.#ms) this.#prefix = hex(ms, 12);
    if (ms !== this.#ms || counter >> 8 !== this.#counter >> 8) {
      this.#head = this.#prefix + (BYTES[counter >> 8] as string);
    }
    this.#ms = ms;
    this.#counter = counter;
  }
}

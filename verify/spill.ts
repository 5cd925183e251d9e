import { STAMP_MIN, type Stamp } from '../src/core/stamp.ts';
import { digestText } from './record-digest.ts';
import type { SpillFile, TemporaryDirectory } from './temporary-directory.ts';

/*
 * A spilled record is 25 bytes and its id: digest (12), stamp (12, zeros for none: no write carries that stamp), length
 * of the id (1; 5 from 255 bytes on), id in UTF-8. In the arena, before sorting, the number of its partition (2) stands
 * in front. The key itself is not kept: its id is injective and can be read back (key-text.ts).
 */
const PARTITION = 2;
const DIGEST = 12;
const STAMP = 12;
const FIXED = DIGEST + STAMP;
const LONG = 255;
const SMALLEST = 4096;
/** 32-bit parts of a digest. */
const LANES = 3;
/** So that a place within what is kept in memory at once is a 32-bit number. */
const LARGEST = 2 ** 30;
/** The most partitions that the two bytes can number. */
export const MOST_PARTITIONS = 65_536;

/** Records by partition: those of `p` are from `starts[p]` to `starts[p + 1]`. */
interface Sorted {
  readonly buffer: Buffer;
  readonly starts: Uint32Array;
}

/** What was written to the file at once, four bytes a partition: an object for each would grow with the records. */
interface Run {
  readonly at: number;
  readonly starts: Uint32Array;
}

/** One record as it was scanned. `digest` and the record's place are valid until the callback returns. */
export interface SpilledRecord {
  readonly buffer: Buffer;
  /** Where the digest begins. */
  readonly at: number;
  /** Where the record ends. */
  readonly end: number;
}

/** Where the id of the record at a place begins. */
const idAt = (buffer: Buffer, at: number): number => at + FIXED + (buffer[at + FIXED] === LONG ? 5 : 1);

/** Where the record at a place ends. */
function endOf(buffer: Buffer, at: number): number {
  const length = buffer[at + FIXED] as number;
  return length === LONG ? at + FIXED + 5 + buffer.readUInt32LE(at + FIXED + 1) : at + FIXED + 1 + length;
}

export const spilledId = ({ buffer, at, end }: SpilledRecord): string => buffer.toString('utf8', idAt(buffer, at), end);

export function spilledStamp({ buffer, at }: SpilledRecord): Stamp | null {
  const stamp = buffer.toString('hex', at + DIGEST, at + FIXED) as Stamp;
  return stamp === STAMP_MIN ? null : stamp;
}

/** Whether two records have the same digest. */
export const sameDigest = (a: SpilledRecord, b: SpilledRecord): boolean =>
  a.buffer.compare(b.buffer, b.at, b.at + DIGEST, a.at, a.at + DIGEST) === 0;

/** Orders two versions of one record by their stamps. */
export const compareVersions = (a: SpilledRecord, b: SpilledRecord): number =>
  a.buffer.compare(b.buffer, b.at + DIGEST, b.at + FIXED, a.at + DIGEST, a.at + FIXED);

export const spilledDigest = ({ buffer, at }: SpilledRecord): string =>
  digestText(buffer.readInt32LE(at), buffer.readInt32LE(at + 4), buffer.readInt32LE(at + 8));

/** The value of a hexadecimal digit, by its code. */
const NIBBLE = Uint8Array.from({ length: 128 }, (_, code) => Number.parseInt(String.fromCharCode(code), 16) || 0);

/** Writes a stamp's bytes. By hand, as the id: a call into the runtime costs more than the few bytes it writes. */
function writeStamp(to: Buffer, at: number, stamp: Stamp | null): void {
  if (stamp === null) {
    to.fill(0, at, at + STAMP);
    return;
  }
  for (let i = 0; i < STAMP; i += 1) {
    const high = NIBBLE[stamp.charCodeAt(2 * i)] as number;
    to[at + i] = (high << 4) | (NIBBLE[stamp.charCodeAt(2 * i + 1)] as number);
  }
}

function writeLane(to: Buffer, at: number, lane: number): void {
  to[at] = lane;
  to[at + 1] = lane >>> 8;
  to[at + 2] = lane >>> 16;
  to[at + 3] = lane >>> 24;
}

const SHORT_ID = 96;

/** Writes an id with its length; gives the end. */
function writeId(to: Buffer, at: number, id: string): number {
  if (id.length <= SHORT_ID) {
    let i = 0;
    for (; i < id.length; i += 1) {
      const code = id.charCodeAt(i);
      if (code >= 0x80) break;
      to[at + 1 + i] = code;
    }
    if (i === id.length) {
      to[at] = i;
      return at + 1 + i;
    }
  }
  const length = Buffer.byteLength(id);
  to[at] = Math.min(length, LONG);
  const text = length < LONG ? at + 1 : to.writeUInt32LE(length, at + 1);
  return text + to.write(id, text, 'utf8');
}

/** The most that a record may take with its partition's number in front. */
export const spilledRoom = (id: string): number => PARTITION + FIXED + 5 + id.length * 3;

/** Writes a record with its partition's number in front; gives the end. */
export function writeSpilled(
  to: Buffer,
  from: number,
  partition: number,
  id: string,
  digest: Int32Array,
  stamp: Stamp | null,
): number {
  const at = from + PARTITION;
  to[from] = partition;
  to[from + 1] = partition >>> 8;
  writeLane(to, at, digest[0] as number);
  writeLane(to, at + 4, digest[1] as number);
  writeLane(to, at + 8, digest[2] as number);
  writeStamp(to, at + DIGEST, stamp);
  return writeId(to, at + FIXED, id);
}

/**
 * What one side's scan saw, by hash partition: a count and a sum modulo 2^96 of each partition's digests, and the
 * records themselves, in memory up to `limitBytes` and in one sequentially written file beyond.
 */
export class Spill {
  readonly partitions: number;
  readonly #directory: TemporaryDirectory;
  readonly #limit: number;
  #arena = Buffer.allocUnsafeSlow(SMALLEST);
  #used = 0;
  readonly #counts: Float64Array;
  readonly #bytes: Float64Array;
  readonly #sums: Uint32Array;
  readonly #runs: Run[] = [];
  #file: SpillFile | null = null;
  #fileBytes = 0;
  #writing: Promise<void> = Promise.resolve();
  /** What was never written: sorted by partition once the scan is over. */
  #resident: Sorted | null = null;

  constructor(partitions: number, limitBytes: number, directory: TemporaryDirectory) {
    this.partitions = partitions;
    this.#directory = directory;
    this.#limit = Math.min(LARGEST, Math.max(SMALLEST, limitBytes));
    this.#counts = new Float64Array(partitions);
    this.#bytes = new Float64Array(partitions);
    this.#sums = new Uint32Array(partitions * LANES);
  }

  /** Bytes that the records take, in memory or in the file. */
  get totalBytes(): number {
    return this.#bytes.reduce((sum, bytes) => sum + bytes, 0);
  }

  /** Bytes written to the file. */
  get fileBytes(): number {
    return this.#fileBytes;
  }

  count(partition: number): number {
    return this.#counts[partition] ?? 0;
  }

  bytes(partition: number): number {
    return this.#bytes[partition] ?? 0;
  }

  /** Whether both sides of a partition hold the same records: same count, same sum. */
  agrees(other: Spill, partition: number): boolean {
    if (this.count(partition) !== other.count(partition)) return false;
    for (let lane = partition * LANES; lane < (partition + 1) * LANES; lane += 1) {
      if (this.#sums[lane] !== other.#sums[lane]) return false;
    }
    return true;
  }

  /** Takes a record; the digest is of its key and value together. Follow up with {@link relieve} now and then. */
  append(partition: number, id: string, digest: Int32Array, stamp: Stamp | null): void {
    this.#reserve(spilledRoom(id));
    const from = this.#used;
    this.#used = writeSpilled(this.#arena, from, partition, id, digest, stamp);
    const bytes = this.#used - from - PARTITION;
    this.#tally(partition, digest[0] as number, digest[1] as number, digest[2] as number, bytes);
  }

  /** Takes over records that {@link writeSpilled} wrote one behind the other. Follow up with {@link relieve}. */
  adoptAll(records: Buffer): void {
    for (let from = 0; from < records.length; ) {
      const at = from + PARTITION;
      const end = endOf(records, at);
      this.adopt(records.readUInt16LE(from), { buffer: records, at, end });
      from = end;
    }
  }

  /** Takes a record over from another spill. */
  adopt(partition: number, { buffer, at, end }: SpilledRecord): void {
    this.#reserve(PARTITION + end - at);
    const start = this.#arena.writeUInt16LE(partition, this.#used);
    this.#used = start + buffer.copy(this.#arena, start, at, end);
    const lane = (i: number): number => buffer.readInt32LE(at + 4 * i);
    this.#tally(partition, lane(0), lane(1), lane(2), end - at);
  }

  /** Writes to the file what is beyond the limit. */
  async relieve(): Promise<void> {
    if (this.#used >= this.#limit) {
      const sorted = this.#sort();
      this.#used = 0;
      this.#writing = this.#writing.then(() => this.#write(sorted));
      // The failure is met below by everybody who waits; this keeps it from counting as unhandled meanwhile.
      this.#writing.catch(() => undefined);
    }
    await this.#writing;
  }

  /** The end of the scan: from here on only reading. */
  async seal(): Promise<void> {
    await this.#writing;
    this.#resident = this.#sort();
    this.#arena = Buffer.alloc(0);
    this.#used = 0;
  }

  /** Hands the records of a partition over, one run after the other. */
  async forEach(
    partition: number,
    visit: (record: SpilledRecord) => void,
    between?: () => Promise<void>,
  ): Promise<void> {
    for (const { at, starts } of this.#runs) {
      const from = starts[partition] as number;
      const buffer = Buffer.allocUnsafeSlow((starts[partition + 1] as number) - from);
      if (buffer.length === 0) continue;
      await this.#file?.read(buffer, at + from);
      visitAll(buffer, 0, buffer.length, visit);
      await between?.();
    }
    if (this.#resident === null) return;
    const { buffer, starts } = this.#resident;
    visitAll(buffer, starts[partition] as number, starts[partition + 1] as number, visit);
    await between?.();
  }

  /** Gives memory and file back. */
  async dispose(): Promise<void> {
    await this.#file?.close();
    this.#file = null;
    this.#resident = null;
    this.#arena = Buffer.alloc(0);
  }

  #reserve(bytes: number): void {
    const needed = this.#used + bytes;
    if (needed <= this.#arena.length) return;
    const capped = Math.min(this.#arena.length * 2, this.#limit + this.#limit / 8);
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, Math.ceil(capped)));
    this.#arena.copy(grown, 0, 0, this.#used);
    this.#arena = grown;
  }

  #tally(partition: number, a: number, b: number, c: number, bytes: number): void {
    const sums = this.#sums;
    const at = partition * LANES;
    this.#counts[partition] = this.count(partition) + 1;
    this.#bytes[partition] = this.bytes(partition) + bytes;
    // Uint32Array keeps each sum modulo 2^32.
    const first = (sums[at] as number) + (a >>> 0);
    const second = (sums[at + 1] as number) + (b >>> 0) + (first > 0xffff_ffff ? 1 : 0);
    sums[at] = first;
    sums[at + 1] = second;
    sums[at + 2] = (sums[at + 2] as number) + (c >>> 0) + (second > 0xffff_ffff ? 1 : 0);
  }

  /** The arena's records by partition (a counting sort), without their partition numbers. */
  #sort(): Sorted {
    const arena = this.#arena;
    const starts = new Uint32Array(this.partitions + 1);
    const partitionAt = (at: number): number => (arena[at] as number) | ((arena[at + 1] as number) << 8);
    for (let at = 0; at < this.#used; ) {
      const end = endOf(arena, at + PARTITION);
      const partition = partitionAt(at);
      starts[partition + 1] = (starts[partition + 1] ?? 0) + end - at - PARTITION;
      at = end;
    }
    for (let p = 0; p < this.partitions; p += 1) starts[p + 1] = (starts[p + 1] ?? 0) + (starts[p] ?? 0);
    const buffer = Buffer.allocUnsafeSlow(starts[this.partitions] ?? 0);
    const next = starts.slice();
    for (let at = 0; at < this.#used; ) {
      const end = endOf(arena, at + PARTITION);
      const partition = partitionAt(at);
      const to = next[partition] ?? 0;
      arena.copy(buffer, to, at + PARTITION, end);
      next[partition] = to + end - at - PARTITION;
      at = end;
    }
    return { buffer, starts };
  }

  async #write({ buffer, starts }: Sorted): Promise<void> {
    this.#file ??= await this.#directory.file();
    await this.#file.write(buffer, this.#fileBytes);
    this.#runs.push({ at: this.#fileBytes, starts });
    this.#fileBytes += buffer.length;
  }
}

function visitAll(buffer: Buffer, from: number, to: number, visit: (record: SpilledRecord) => void): void {
  for (let at = from; at < to; ) {
    const end = endOf(buffer, at);
    visit({ buffer, at, end });
    at = end;
  }
}

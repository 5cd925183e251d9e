import { STAMP_MIN, type Stamp } from '../src/core/stamp.ts';
import type { SpillFile, TemporaryDirectory } from './temporary-directory.ts';

/*
 * A spilled record is 32 bytes and its id: digest (16), stamp (12, zeros for none: no write carries that stamp),
 * length of the id (4), id in UTF-8. In the arena, before sorting, the number of its partition (4) stands in front.
 * The key itself is not kept: its id is injective and can be read back (key-text.ts).
 */
const DIGEST = 16;
const STAMP = 12;
const HEADER = DIGEST + STAMP + 4;
const SMALLEST = 4096;

/** Where the records of a partition lie in a spill file. */
interface Extent {
  readonly at: number;
  readonly bytes: number;
}

/** One record as it was scanned. `digest` and the record's place are valid until the callback returns. */
export interface SpilledRecord {
  readonly buffer: Buffer;
  /** Where the digest begins. */
  readonly at: number;
  /** Where the record ends. */
  readonly end: number;
}

export const spilledId = ({ buffer, at, end }: SpilledRecord): string => buffer.toString('utf8', at + HEADER, end);

export function spilledStamp({ buffer, at }: SpilledRecord): Stamp | null {
  const stamp = buffer.toString('hex', at + DIGEST, at + DIGEST + STAMP) as Stamp;
  return stamp === STAMP_MIN ? null : stamp;
}

/** Whether two records have the same digest. */
export const sameDigest = (a: SpilledRecord, b: SpilledRecord): boolean =>
  a.buffer.compare(b.buffer, b.at, b.at + DIGEST, a.at, a.at + DIGEST) === 0;

/** Orders two versions of one record by their stamps. */
export const compareVersions = (a: SpilledRecord, b: SpilledRecord): number =>
  a.buffer.compare(b.buffer, b.at + DIGEST, b.at + DIGEST + STAMP, a.at + DIGEST, a.at + DIGEST + STAMP);

export const digestText = ({ buffer, at }: SpilledRecord): string => buffer.toString('hex', at, at + DIGEST);

/**
 * What one side's scan saw, by hash partition: a count and a sum modulo 2^128 of each partition's digests, and the
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
  readonly #extents: Extent[][];
  #file: SpillFile | null = null;
  #fileBytes = 0;
  #writing: Promise<void> = Promise.resolve();
  /** What was never written: sorted by partition once the scan is over. */
  #resident: { readonly buffer: Buffer; readonly starts: Float64Array } | null = null;

  constructor(partitions: number, limitBytes: number, directory: TemporaryDirectory) {
    this.partitions = partitions;
    this.#directory = directory;
    this.#limit = Math.max(SMALLEST, limitBytes);
    this.#counts = new Float64Array(partitions);
    this.#bytes = new Float64Array(partitions);
    this.#sums = new Uint32Array(partitions * 4);
    this.#extents = Array.from({ length: partitions }, () => []);
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
    for (let lane = partition * 4; lane < partition * 4 + 4; lane += 1) {
      if (this.#sums[lane] !== other.#sums[lane]) return false;
    }
    return true;
  }

  /** Takes a record; `digest` is of its key and value together. Follow up with {@link relieve} now and then. */
  append(partition: number, id: string, digest: string, stamp: Stamp | null): void {
    this.#reserve(4 + HEADER + id.length * 3);
    const arena = this.#arena;
    const at = arena.writeUInt32LE(partition, this.#used);
    // One call into the runtime for both: each costs more than the bytes it writes.
    arena.write(digest + (stamp ?? STAMP_MIN), at, DIGEST + STAMP, 'hex');
    const length = arena.write(id, at + HEADER, 'utf8');
    arena.writeUInt32LE(length, at + DIGEST + STAMP);
    this.#used = at + HEADER + length;
    this.#tally(partition, arena, at, HEADER + length);
  }

  /** Takes a record over from another spill. */
  adopt(partition: number, { buffer, at, end }: SpilledRecord): void {
    this.#reserve(4 + end - at);
    const start = this.#arena.writeUInt32LE(partition, this.#used);
    this.#used = start + buffer.copy(this.#arena, start, at, end);
    this.#tally(partition, buffer, at, end - at);
  }

  /** Writes to the file what is beyond the limit. */
  async relieve(): Promise<void> {
    if (this.#used >= this.#limit) {
      const sorted = this.#sort();
      this.#used = 0;
      this.#writing = this.#writing.then(() => this.#write(sorted.buffer, sorted.starts));
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

  /** Hands the records of a partition over, one extent after the other. */
  async forEach(
    partition: number,
    visit: (record: SpilledRecord) => void,
    between?: () => Promise<void>,
  ): Promise<void> {
    for (const { at, bytes } of this.#extents[partition] ?? []) {
      const buffer = Buffer.allocUnsafeSlow(bytes);
      await this.#file?.read(buffer, at);
      visitAll(buffer, 0, bytes, visit);
      await between?.();
    }
    if (this.#resident === null) return;
    const { buffer, starts } = this.#resident;
    visitAll(buffer, starts[partition] ?? 0, starts[partition + 1] ?? 0, visit);
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

  #tally(partition: number, digest: Buffer, at: number, bytes: number): void {
    this.#counts[partition] = this.count(partition) + 1;
    this.#bytes[partition] = this.bytes(partition) + bytes;
    let carry = 0;
    for (let lane = 0; lane < 4; lane += 1) {
      const sum = (this.#sums[partition * 4 + lane] ?? 0) + digest.readUInt32LE(at + lane * 4) + carry;
      this.#sums[partition * 4 + lane] = sum; // Uint32Array keeps it modulo 2^32
      carry = sum > 0xffff_ffff ? 1 : 0;
    }
  }

  /** The arena's records by partition (a counting sort), without their partition numbers. */
  #sort(): { readonly buffer: Buffer; readonly starts: Float64Array } {
    const arena = this.#arena;
    const starts = new Float64Array(this.partitions + 1);
    const size = (at: number): number => HEADER + arena.readUInt32LE(at + 4 + DIGEST + STAMP);
    for (let at = 0; at < this.#used; at += 4 + size(at)) {
      const partition = arena.readUInt32LE(at);
      starts[partition + 1] = (starts[partition + 1] ?? 0) + size(at);
    }
    for (let p = 0; p < this.partitions; p += 1) starts[p + 1] = (starts[p + 1] ?? 0) + (starts[p] ?? 0);
    const buffer = Buffer.allocUnsafeSlow(starts[this.partitions] ?? 0);
    const next = starts.slice();
    for (let at = 0; at < this.#used; ) {
      const partition = arena.readUInt32LE(at);
      const bytes = size(at);
      const to = next[partition] ?? 0;
      arena.copy(buffer, to, at + 4, at + 4 + bytes);
      next[partition] = to + bytes;
      at += 4 + bytes;
    }
    return { buffer, starts };
  }

  async #write(buffer: Buffer, starts: Float64Array): Promise<void> {
    this.#file ??= await this.#directory.file();
    const base = this.#fileBytes;
    await this.#file.write(buffer, base);
    this.#fileBytes += buffer.length;
    for (let p = 0; p < this.partitions; p += 1) {
      const at = starts[p] ?? 0;
      const bytes = (starts[p + 1] ?? 0) - at;
      if (bytes > 0) this.#extents[p]?.push({ at: base + at, bytes });
    }
  }
}

function visitAll(buffer: Buffer, from: number, to: number, visit: (record: SpilledRecord) => void): void {
  for (let at = from; at < to; ) {
    const end = at + HEADER + buffer.readUInt32LE(at + DIGEST + STAMP);
    visit({ buffer, at, end });
    at = end;
  }
}

import { closeSync, fstatSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';

/** What a write does to its key. `count` is an update that only increments; `update` one that any write may meet. */
export type WriteKind = 'create' | 'put' | 'update' | 'count' | 'delete';

/**
 * What a caller knows of a write: `applied`, `failed` (nothing was written, for certain), `unknown` (told so, or cut
 * off before the answer).
 */
export type WriteOutcome = 'applied' | 'failed' | 'unknown';

/** A write as the audit sees it. Times are microseconds of the host's one monotonic clock. */
export interface WriteRecord {
  readonly kind: WriteKind;
  readonly key: string;
  /** Names this write and no other; the record carries it. */
  readonly write: string;
  readonly start: number;
  /** When the caller had its answer; Infinity where the write may still take effect later. */
  readonly end: number;
  readonly outcome: WriteOutcome;
  /** For applied updates: the write whose record they changed; null where there was none. */
  readonly from?: string | null;
  /** For applied updates: the counter that they wrote. */
  readonly count?: number;
}

/** A record that a caller read, or that it found none. */
export interface ReadRecord {
  readonly key: string;
  readonly start: number;
  readonly end: number;
  readonly write: string | null;
  /** The record had fields that no service writes. */
  readonly foreign: boolean;
}

/** Everything that one or more services did. */
export interface History {
  readonly writes: readonly WriteRecord[];
  readonly reads: readonly ReadRecord[];
  /** Calls begun, lists included. */
  readonly calls: number;
  /** Answers other than success, by error code. */
  readonly errors: ReadonlyMap<string, number>;
  /** Writes whose process ended before they had an answer. */
  readonly cutOff: number;
}

type Line =
  | { readonly p: 'before'; readonly o: WriteKind; readonly k: string; readonly w: string; readonly t: number }
  | {
      readonly p: 'after';
      readonly w: string;
      readonly t: number;
      readonly r: WriteOutcome;
      readonly c?: string;
      readonly f?: string | null;
      readonly n?: number;
    }
  | {
      readonly p: 'read';
      readonly t: readonly [number, number];
      readonly v: readonly (readonly [key: string, write: string | null, foreign: 0 | 1])[];
      readonly c?: string;
    };

/** Microseconds of the monotonic clock that all processes of a host share. */
export const hostMicros = (): number => Number(process.hrtime.bigint() / 1_000n);

/** The key as journals name it. */
export const keyText = (key: { readonly userKey: string; readonly id: string }): string => `${key.userKey}/${key.id}`;

/**
 * An append-only file of one service. Every line is handed to the operating system before the call returns, so that a
 * kill -9 loses what was not written yet and nothing else.
 */
export class Journal {
  readonly #file: number;

  constructor(path: string) {
    this.#file = openSync(path, 'a');
  }

  /** A write is about to begin. */
  before(kind: WriteKind, key: string, write: string): void {
    this.#append({ p: 'before', o: kind, k: key, w: write, t: hostMicros() });
  }

  /** It has its answer. */
  after(
    write: string,
    outcome: WriteOutcome,
    details: { readonly code?: string; readonly from?: string | null; readonly count?: number } = {},
  ): void {
    const { code, from, count } = details;
    this.#append({
      p: 'after',
      w: write,
      t: hostMicros(),
      r: outcome,
      ...(code === undefined ? {} : { c: code }),
      ...(from === undefined ? {} : { f: from }),
      ...(count === undefined ? {} : { n: count }),
    });
  }

  /** A read that began at `start` has ended. */
  read(
    start: number,
    seen: readonly (readonly [key: string, write: string | null, foreign: boolean])[],
    code?: string,
  ): void {
    this.#append({
      p: 'read',
      t: [start, hostMicros()],
      v: seen.map(([key, write, foreign]) => [key, write, foreign ? 1 : 0]),
      ...(code === undefined ? {} : { c: code }),
    });
  }

  close(): void {
    closeSync(this.#file);
  }

  #append(line: Line): void {
    writeSync(this.#file, `${JSON.stringify(line)}\n`);
  }
}

const TAIL_BYTES = 400;

/** The end of a journal that somebody else is writing. */
export class JournalTail {
  readonly #file: number;
  readonly #bytes = Buffer.alloc(TAIL_BYTES);

  constructor(path: string) {
    this.#file = openSync(path, 'r');
  }

  /** Whether the last line is a write that has begun. */
  endsInWrite(): boolean {
    const { size } = fstatSync(this.#file);
    const length = readSync(this.#file, this.#bytes, 0, TAIL_BYTES, Math.max(0, size - TAIL_BYTES));
    const lines = this.#bytes.toString('utf8', 0, length).split('\n');
    return lines.at(-2)?.startsWith('{"p":"before"') === true;
  }

  close(): void {
    closeSync(this.#file);
  }
}

/** Reads journals back; a last line that a kill cut in two is none. */
export function readJournals(paths: readonly string[]): History {
  const writes: WriteRecord[] = [];
  const reads: ReadRecord[] = [];
  const errors = new Map<string, number>();
  let calls = 0;
  let cutOff = 0;
  for (const path of paths) {
    const open = new Map<string, Extract<Line, { p: 'before' }>>();
    for (const line of linesOf(path)) {
      if (line.p !== 'before' && line.c !== undefined) errors.set(line.c, (errors.get(line.c) ?? 0) + 1);
      if (line.p === 'before') {
        calls += 1;
        open.set(line.w, line);
      } else if (line.p === 'after') {
        const begun = open.get(line.w);
        if (begun === undefined) throw new Error(`the journal ${path} ends the write ${line.w} that it never began`);
        open.delete(line.w);
        const { o: kind, k: key, w: write, t: start } = begun;
        writes.push({
          kind,
          key,
          write,
          start,
          end: line.r === 'unknown' ? Number.POSITIVE_INFINITY : line.t,
          outcome: line.r,
          ...(line.f === undefined ? {} : { from: line.f }),
          ...(line.n === undefined ? {} : { count: line.n }),
        });
      } else {
        calls += 1;
        const [start, end] = line.t;
        for (const [key, write, foreign] of line.v) reads.push({ key, start, end, write, foreign: foreign === 1 });
      }
    }
    cutOff += open.size;
    for (const { o: kind, k: key, w: write, t: start } of open.values()) {
      writes.push({ kind, key, write, start, end: Number.POSITIVE_INFINITY, outcome: 'unknown' });
    }
  }
  return { writes, reads, calls, errors, cutOff };
}

function* linesOf(path: string): Iterable<Line> {
  const text = readFileSync(path, 'utf8');
  for (const line of text.slice(0, text.lastIndexOf('\n') + 1).split('\n')) {
    if (line !== '') yield JSON.parse(line) as Line;
  }
}

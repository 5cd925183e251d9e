import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type AuditInput, audit, type FinalRecord } from '../../src/cli/demo/audit.ts';
import type { ReadRecord, WriteKind, WriteRecord } from '../../src/cli/demo/journal.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');

function run(...args: string[]): Promise<{ readonly code: number; readonly out: string; readonly err: string }> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [join(root, 'src/cli/main.ts'), ...args],
      { cwd: root, timeout: 170_000, env: { ...process.env, NO_COLOR: '1' } },
      (error, out, err) => resolve({ code: error === null ? 0 : Number(error.code ?? 1), out, err }),
    );
  });
}

describe('the demonstration', () => {
  test('walks a live migration from end to end, keeps every promise, and cleans up', { timeout: 180_000 }, async () => {
    const { code, out, err } = await run('demo');
    expect(code, out + err).toBe(0);
    expect(out).not.toContain('✗ ✗');
    for (const line of [
      'shadow reads found the corruption, field by field',
      'cutover 1 % was refused, and nothing changed',
      'both stores hold the same, record by record',
      'what the killed process left is repaired',
      'nobody noticed: 0 calls failed',
      'the new store leads everything',
      'everything was back on the old store within',
      'new store: 0 lost, 0 resurrected',
      'old store, as it was when it retired: 0 lost, 0 resurrected',
    ]) {
      expect(out.replace(/\s+/g, ' ')).toContain(line);
    }
    const folder = /in (\/\S*changeover\S*)/.exec(out)?.[1];
    if (folder !== undefined) expect(existsSync(folder)).toBe(false);
  });
});

let names = 0;
const write = (kind: WriteKind, start: number, end: number, parts: Partial<WriteRecord> = {}): WriteRecord => {
  names += 1;
  return { kind, key: 'k', write: `w${names}`, start, end, outcome: 'applied', ...parts };
};
const unknown = (kind: WriteKind, start: number): WriteRecord =>
  write(kind, start, Number.POSITIVE_INFINITY, { outcome: 'unknown' });
const holds = (by: WriteRecord | null, parts: Partial<FinalRecord> = {}): ReadonlyMap<string, FinalRecord> =>
  by === null ? new Map() : new Map([[by.key, { write: by.write, count: 1, fault: null, ...parts }]]);
const kinds = (input: Partial<AuditInput>): readonly string[] =>
  audit({ writes: [], reads: [], final: new Map(), ...input }).findings.map(({ kind }) => kind);

describe('the audit of the demonstration', () => {
  test('finds nothing where every record is that of the last write', () => {
    const writes = [write('create', 0, 1), write('put', 2, 3)];
    expect(kinds({ writes, final: holds(writes[1]!) })).toEqual([]);
  });

  test('finds a record that was acknowledged and is gone', () => {
    expect(kinds({ writes: [write('create', 0, 1)] })).toEqual(['lost']);
  });

  test('finds a record that is back after its acknowledged delete', () => {
    const put = write('put', 0, 1);
    expect(kinds({ writes: [put, write('delete', 2, 3)], final: holds(put) })).toEqual(['resurrected']);
  });

  test('finds an older record where a newer one was acknowledged', () => {
    const older = write('put', 0, 1);
    expect(kinds({ writes: [older, write('put', 2, 3)], final: holds(older) })).toEqual(['stale']);
  });

  test('finds a record that nobody wrote, and one of a write that was refused', () => {
    const refused = write('put', 0, 1, { outcome: 'failed' });
    expect(kinds({ writes: [refused], final: holds(refused) })).toEqual(['unexplained']);
    expect(kinds({ final: holds(write('put', 0, 1)) })).toEqual(['unexplained']);
  });

  test('finds content that is not what was written', () => {
    const put = write('put', 0, 1);
    expect(kinds({ writes: [put], final: holds(put, { fault: 'hello is "joe"' }) })).toEqual(['corrupt']);
  });

  test('finds two updates that changed the same version', () => {
    const put = write('put', 0, 1);
    const one = write('update', 2, 3, { from: put.write, count: 2 });
    const two = write('update', 2, 4, { from: put.write, count: 2 });
    expect(kinds({ writes: [put, one, two], final: holds(two) })).toContain('lost update');
  });

  test('finds a counter that missed an increment', () => {
    const counts = [write('count', 0, 1, { count: 1 }), write('count', 2, 3, { count: 2 })];
    expect(kinds({ writes: counts, final: holds(counts[1]!, { count: 1 }) })).toEqual(['lost update']);
  });

  test('finds a read of what was overwritten before it began', () => {
    const [older, newer] = [write('put', 0, 1), write('put', 2, 3)];
    const read: ReadRecord = { key: 'k', start: 4, end: 5, write: older.write, foreign: false };
    expect(kinds({ writes: [older, newer], reads: [read], final: holds(newer) })).toEqual(['stale read']);
  });

  test('lets a write without an answer have happened or not, at any later time', () => {
    const put = write('put', 0, 1);
    const lost = unknown('put', 2);
    const gone = unknown('delete', 2);
    for (const final of [holds(put), holds(lost)]) expect(kinds({ writes: [put, lost], final })).toEqual([]);
    expect(kinds({ writes: [put, gone] })).toEqual([]);
  });

  test('accepts whatever a single register can come to, and nothing older than its last write', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ kind: fc.constantFrom<WriteKind>('put', 'delete'), gap: fc.nat(5), length: fc.nat(20) }), {
          minLength: 1,
          maxLength: 12,
        }),
        (steps) => {
          // Each write takes effect at a point within its interval, in order; intervals may overlap.
          let at = 0;
          const writes = steps.map(({ kind, gap, length }) => {
            at += gap + 1;
            return write(kind, at - Math.min(length, at), at + length);
          });
          const last = writes.at(-1)!;
          expect(kinds({ writes, final: holds(last.kind === 'delete' ? null : last) })).toEqual([]);
          const after = write('put', 1_000, 1_001);
          const stale = kinds({ writes: [...writes, after], final: holds(last.kind === 'delete' ? null : last) });
          expect(stale).toEqual([last.kind === 'delete' ? 'lost' : 'stale']);
        },
      ),
    );
  });
});

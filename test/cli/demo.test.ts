import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type AuditInput, audit, type FinalRecord, type FindingKind, historyUntil } from '../../src/cli/demo/audit.ts';
import { eventOf, seedKey } from '../../src/cli/demo/events.ts';
import {
  Journal,
  JournalTail,
  type ReadRecord,
  readJournals,
  type WriteKind,
  type WriteRecord,
} from '../../src/cli/demo/journal.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');

let directory = '';

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'changeover-demo-test-'));
});

afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

/** Runs the demonstration with a temporary directory of its own; interrupts it once it has said `until`. */
async function runDemo(until?: string): Promise<{ readonly code: number | null; readonly out: string }> {
  const child = spawn(process.execPath, [join(root, 'src/cli/main.ts'), 'demo', '--rate', '40'], {
    cwd: root,
    env: { ...process.env, NO_COLOR: '1', TMPDIR: directory },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  let interrupted = false;
  const hear = (chunk: Buffer): void => {
    out += chunk.toString();
    if (until === undefined || interrupted || !out.includes(until)) return;
    interrupted = true;
    child.kill('SIGINT');
  };
  child.stdout.on('data', hear);
  child.stderr.on('data', hear);
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, out };
}

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

const pidsIn = (out: string): readonly number[] => (/\(pids ([\d, ]+)\)/.exec(out)?.[1] ?? '').split(', ').map(Number);

describe('the demonstration', () => {
  test('walks a live migration from end to end, keeps every promise, and cleans up', { timeout: 900_000 }, async () => {
    const { code, out } = await runDemo();
    expect(code, out).toBe(0);
    expect(out).not.toContain('✗');
    for (const line of [
      'Watch it in a browser: http://127.0.0.1:',
      'The token to sign in with: chg_',
      'the canaries hold the same in both stores',
      'hello: old –, new "joe"',
      'shadow reads found the corruption, field by field',
      'refused  coverage',
      'cutover 1 % was refused, and nothing changed',
      'both stores hold the same, record by record',
      'what the killed process left is repaired',
      'nobody noticed: of ',
      'the new store leads everything',
      'everything was back on the old store within',
      'new store: 0 lost, 0 resurrected, 0 corrupt, 0 stale reads',
      'old store, as it was when it retired: 0 lost, 0 resurrected, 0 corrupt, 0 stale reads',
    ]) {
      expect(out).toContain(line);
    }
    expect(readdirSync(directory)).toEqual([]);
    expect(pidsIn(out).filter(isAlive)).toEqual([]);
  });

  test('leaves neither processes nor files when it is interrupted', { timeout: 900_000 }, async () => {
    const { code, out } = await runDemo('cohort events');
    expect(code, out).toBe(2);
    expect(out).toContain('Interrupted');
    expect(readdirSync(directory)).toEqual([]);
    expect(pidsIn(out)).toHaveLength(3);
    expect(pidsIn(out).filter(isAlive)).toEqual([]);
  });
});

describe('the events of the demonstration', () => {
  test('are the payloads that GitHub sends, found again by their key alone', () => {
    const written = { lastWrite: 'w', deliveries: 1, receivedAt: '2026-01-01T00:00:00.000Z' };
    for (let n = 0; n < 1_000; n += 1) {
      const event = eventOf(seedKey(n), written);
      const sender = event?.payload['sender'] as { readonly login: string };
      expect(event?.userKey.startsWith(sender.login)).toBe(true);
    }
    expect(eventOf({ userKey: 'ada', id: 'nothing of ours' }, written)).toBeUndefined();
  });
});

describe('the journal of a service', () => {
  test('tells what was acknowledged, refused and cut off, and ignores half a line', () => {
    const path = join(directory, 'a.jsonl');
    const journal = new Journal(path);
    journal.before('put', 'k', 'w1');
    journal.after('w1', 'applied');
    journal.before('update', 'k', 'w2');
    journal.after('w2', 'applied', { from: 'w1', count: 2 });
    journal.before('create', 'k', 'w3');
    journal.after('w3', 'failed');
    journal.before('delete', 'k', 'w4');
    journal.after('w4', 'unknown', { code: 'OUTCOME_UNKNOWN' });
    journal.read(1, [['k', 'w2', false]]);
    journal.before('put', 'k', 'w5');
    const tail = new JournalTail(path);
    expect(tail.endsInWrite()).toBe(true);
    tail.close();
    journal.close();
    appendFileSync(path, '{"p":"after","w":"w5","t":');
    const { writes, reads, calls, errors, cutOff } = readJournals([path]);
    const told = new Map(writes.map(({ write, outcome, end }) => [write, [outcome, Number.isFinite(end)]]));
    expect(Object.fromEntries(told)).toEqual({
      w1: ['applied', true],
      w2: ['applied', true],
      w3: ['failed', true],
      w4: ['unknown', false],
      w5: ['unknown', false],
    });
    expect(writes.find(({ write }) => write === 'w2')).toMatchObject({ from: 'w1', count: 2 });
    expect(reads).toMatchObject([{ key: 'k', write: 'w2', foreign: false, start: 1 }]);
    expect([calls, cutOff, [...errors]]).toEqual([6, 1, [['OUTCOME_UNKNOWN', 1]]]);
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
const kinds = (input: Partial<AuditInput>): readonly FindingKind[] =>
  audit({ writes: [], reads: [], final: new Map(), ...input }).findings.map(({ kind }) => kind);
const read = (start: number, end: number, of: WriteRecord | null, foreign = false): ReadRecord => ({
  key: 'k',
  start,
  end,
  write: of?.write ?? null,
  foreign,
});

describe('the audit of the demonstration', () => {
  test('finds nothing where every record is that of the last write', () => {
    const writes = [write('create', 0, 1), write('put', 2, 3)];
    expect(kinds({ writes, final: holds(writes[1]!) })).toEqual([]);
  });

  test('finds a record that was acknowledged and is gone', () => {
    expect(kinds({ writes: [write('create', 0, 1)] })).toEqual(['lost']);
    expect(kinds({ writes: [write('delete', 0, 1), write('put', 2, 3)] })).toEqual(['lost']);
  });

  test('finds a record that is back after its acknowledged delete', () => {
    const put = write('put', 0, 1);
    expect(kinds({ writes: [put, write('delete', 2, 3)], final: holds(put) })).toEqual(['resurrected']);
  });

  test('finds an older record where a newer one was acknowledged', () => {
    const older = write('put', 0, 1);
    expect(kinds({ writes: [older, write('put', 2, 3)], final: holds(older) })).toEqual(['stale']);
  });

  test('finds a version that an acknowledged update has changed, also where the intervals would excuse it', () => {
    const put = write('put', 0, 10);
    const update = write('update', 2, 3, { from: put.write, count: 2 });
    expect(kinds({ writes: [put, update], final: holds(put) })).toEqual(['stale']);
  });

  test('lets concurrent writes have happened in either order', () => {
    const [one, two] = [write('put', 0, 10), write('put', 5, 15)];
    const gone = write('delete', 8, 20);
    for (const last of [one, two, null]) expect(kinds({ writes: [one, two, gone], final: holds(last) })).toEqual([]);
  });

  test('finds a record that nobody wrote, and one of a write that was refused', () => {
    const refused = write('put', 0, 1, { outcome: 'failed' });
    expect(kinds({ writes: [refused], final: holds(refused) })).toEqual(['unexplained']);
    expect(kinds({ final: holds(write('put', 0, 1)) })).toEqual(['unexplained']);
  });

  test('finds content that is not what was written, stored or read', () => {
    const put = write('put', 0, 1);
    expect(kinds({ writes: [put], final: holds(put, { fault: 'hello is "joe"' }) })).toEqual(['corrupt']);
    expect(kinds({ writes: [put], reads: [read(2, 3, put, true)], final: holds(put) })).toEqual(['corrupt']);
  });

  test('finds two updates that changed the same version', () => {
    const put = write('put', 0, 1);
    const one = write('update', 2, 3, { from: put.write, count: 2 });
    const two = write('update', 2, 4, { from: put.write, count: 2 });
    expect(kinds({ writes: [put, one, two], final: holds(two) })).toContain('lost update');
  });

  test('wants a counter between the acknowledged increments and the attempted ones', () => {
    const counts = [write('count', 0, 1, { count: 1 }), write('count', 2, 3, { count: 2 })];
    const open = unknown('count', 2);
    const at = (count: number): readonly FindingKind[] =>
      kinds({ writes: [...counts, open], final: holds(counts[1]!, { count }) });
    expect([at(1), at(2), at(3), at(4)]).toEqual([['lost update'], [], [], ['lost update']]);
    const twice = [counts[0]!, write('count', 2, 3, { count: 1 })];
    expect(kinds({ writes: twice, final: holds(twice[1]!, { count: 2 }) })).toEqual(['lost update']);
  });

  test('finds a read of what was certainly overwritten, not yet written, or missed', () => {
    const [older, newer] = [write('put', 0, 1), write('put', 2, 3)];
    const writes = [older, newer];
    const found = (one: ReadRecord): readonly FindingKind[] => kinds({ writes, reads: [one], final: holds(newer) });
    expect(found(read(4, 5, older))).toEqual(['stale read']);
    expect(found(read(4, 5, null))).toEqual(['stale read']);
    expect(found(read(0, 1, newer))).toEqual(['unexplained']);
    expect(found(read(2, 5, older))).toEqual([]);
    expect(found(read(4, 5, newer))).toEqual([]);
  });

  test('lets a write without an answer have happened or not, at any later time', () => {
    const put = write('put', 0, 1);
    const open = unknown('put', 2);
    for (const final of [holds(put), holds(open)]) expect(kinds({ writes: [put, open], final })).toEqual([]);
    expect(kinds({ writes: [put, unknown('delete', 2)] })).toEqual([]);
  });

  test('takes a store that retired for complete up to then, and asks nothing later of it', () => {
    const before = write('put', 0, 1);
    const meanwhile = write('put', 4, 6);
    const writes = historyUntil([before, meanwhile, write('put', 9, 10)], 5, 8);
    for (const final of [holds(before), holds(meanwhile)]) expect(kinds({ writes, final })).toEqual([]);
    expect(kinds({ writes })).toEqual(['lost']);
  });

  const histories = fc.array(
    fc.record({
      kind: fc.constantFrom<WriteKind>('put', 'delete'),
      step: fc.integer({ min: 1, max: 5 }),
      before: fc.nat(20),
      after: fc.nat(20),
      fate: fc.constantFrom('answered', 'answered', 'answered', 'applied in silence', 'never applied'),
    }),
    { minLength: 1, maxLength: 14 },
  );

  test('accepts whatever a single register can come to, and finds what is planted after it', () => {
    fc.assert(
      fc.property(histories, (steps) => {
        // Each write takes effect at one moment within its interval; the moments are in order, the intervals overlap.
        let moment = 0;
        let value: WriteRecord | null = null;
        const writes: WriteRecord[] = [];
        const reads: ReadRecord[] = [];
        for (const { kind, step, before, after, fate } of steps) {
          moment += step;
          const one =
            fate === 'answered' ? write(kind, moment - before, moment + after) : unknown(kind, moment - before);
          writes.push(one);
          if (fate !== 'never applied') value = one.kind === 'delete' ? null : one;
          reads.push(read(moment - before, moment + after, value));
        }
        expect(kinds({ writes, reads, final: holds(value) })).toEqual([]);

        const certain = writes.filter(({ outcome }) => outcome === 'applied');
        const [put, gone] = [write('put', 1_000, 1_001), write('delete', 1_000, 1_001)];
        expect(kinds({ writes: [...certain, put] })).toEqual(['lost']);
        for (const older of certain.filter(({ kind }) => kind === 'put')) {
          expect(kinds({ writes: [...certain, put], final: holds(older) })).toEqual(['stale']);
          expect(kinds({ writes: [...certain, gone], final: holds(older) })).toEqual(['resurrected']);
        }
      }),
    );
  });
});

import { describe, expect, test } from 'vitest';
import { item } from '../support/memory-service.ts';
import { oneProcess } from '../support/one-process.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

/** A process whose new store refuses what `breaks` says, and how much of that it names. */
async function losing(namedKeys: number, breaks: () => 'fail' | 'reject' = () => 'fail') {
  const clock = new VirtualClock();
  const process = await oneProcess(
    clock,
    { mirrorTimeoutMs: 1_000, breakerFailures: 1_000_000 },
    {
      new: ({ op }) =>
        op === 'putIfNewer'
          ? breaks() === 'fail'
            ? { kind: 'fail' }
            : { kind: 'reject', reason: 'constraint' }
          : undefined,
    },
    { namedKeys },
  );
  let at = 0;
  /** Loses one write of each of so many users, each of them with a position of its own, and waits until it is told. */
  const lose = async (users: number): Promise<void> => {
    for (let n = 0; n < users; n += 1) await process.items.put(item(`user-${n}`, String(at)));
    at += 1;
    await clock.advance(3_000);
  };
  const told = (): { named: number; positions: number } => {
    const lines = process.told.splice(0);
    const named = lines.filter(({ key }) => key !== null).length;
    return { named, positions: lines.length - named };
  };
  return { ...process, lines: process.told, clock, lose, told };
}

describe('what a process loses', () => {
  test('is named up to so many keys, then told by position until a minute has gone without a loss', async () => {
    const process = await losing(7);
    await process.lose(5);
    expect(process.told()).toEqual({ named: 5, positions: 0 });
    await process.lose(5);
    expect(process.told()).toEqual({ named: 2, positions: 3 });
    for (let i = 0; i < 30; i += 1) await process.lose(4);
    expect(process.told()).toMatchObject({ named: 0 });
    await process.clock.advance(55_000);
    await process.lose(4);
    await process.clock.advance(55_000);
    await process.lose(4);
    expect(process.told()).toMatchObject({ named: 0 });
    await process.clock.advance(61_000);
    await process.lose(9);
    expect(process.told()).toEqual({ named: 7, positions: 2 });
    await process.close();
  });

  test('is one name a report, however often the same key is lost', async () => {
    const process = await losing(20);
    for (let i = 0; i < 50; i += 1) await process.items.put(item('hot', '1', i));
    await process.lose(5);
    expect(process.told()).toMatchObject({ positions: 0 });
    await process.close();
  });

  test('is told again with each report, as a replay may have begun in between', async () => {
    const process = await losing(0);
    for (let i = 0; i < 3; i += 1) {
      await process.lose(6);
      expect(process.told()).toEqual({ named: 0, positions: 6 });
    }
    await process.close();
  });

  test('is known once a position while the control plane is away, however long and however much', async () => {
    const process = await losing(10);
    process.away(true);
    for (let i = 0; i < 40; i += 1) {
      await process.lose(25);
      await process.clock.advance(20_000);
    }
    process.away(false);
    await process.clock.advance(30_000);
    expect(process.told()).toEqual({ named: 10, positions: 25 });
    await process.close();
  });

  test('is a line for each store and each revision where it is not named', async () => {
    const process = await losing(0);
    const lost = { kind: 'lost', key: { user: 'ada', id: '1' }, position: 5, cause: 'test', notBefore: null } as const;
    const lines = [
      { target: 'new', revision: 3 },
      { target: 'old', revision: 3 },
      { target: 'new', revision: 4 },
      { target: 'old', revision: 4 },
      { target: 'old', revision: 4, position: 6 },
    ] as const;
    for (const line of [...lines, ...lines]) process.migration.markDirty({ ...lost, ...line });
    await process.clock.advance(3_000);
    expect(process.lines.map(({ target, revision, position }) => [target, revision, position])).toEqual(
      lines.map((line) => [line.target, line.revision, 'position' in line ? line.position : 5]),
    );
    await process.close();
  });

  test('is named in any case where the write may still come', async () => {
    const process = await losing(0);
    const lost = { target: 'new', kind: 'lost', revision: 3, position: 5, cause: 'test' } as const;
    for (const user of ['ada', 'bob']) {
      process.migration.markDirty({ ...lost, key: { user, id: '1' }, notBefore: 7_000 });
      process.migration.markDirty({ ...lost, key: { user, id: '1' }, notBefore: null });
    }
    await process.clock.advance(3_000);
    expect(process.lines.map(({ key, notBefore }) => [key?.['user'] ?? null, notBefore])).toEqual([
      ['ada', 7_000],
      [null, null],
      ['bob', 7_000],
    ]);
    await process.close();
  });

  test('is named in any case where the follower refuses it', async () => {
    const process = await losing(3, () => 'reject');
    await process.lose(20);
    expect(process.told()).toEqual({ named: 20, positions: 0 });
    await process.close();
  });
});

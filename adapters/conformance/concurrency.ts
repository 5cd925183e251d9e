import { describe, expect, it } from 'vitest';
import { type Stamp, StampClock } from '../../src/core/stamp.ts';
import type { CasOutcome, Entry, Store } from '../../src/core/store.ts';
import { expectEntry, expectValue, type Fixture, seeded, shuffled, stampOf } from './fixture.ts';

const range = (count: number, from = 0): number[] => Array.from({ length: count }, (_, i) => from + i);

/** Adds one to the number field until a compare-and-set is applied; every write has a stamp of its own. */
async function increment(kit: Fixture, store: Store, n: number, clock: StampClock): Promise<void> {
  const { number } = kit.harness.fields;
  const { id, key } = kit.ref(n);
  for (;;) {
    const current = await store.get(id, key);
    if (current?.stamp) clock.observe(current.stamp);
    const count = Number(current?.value?.[number] ?? 0);
    const entry: Entry = { ...kit.entry(n, count + 1), stamp: clock.next() };
    const absent = current === undefined || current.value === null;
    const expected = absent ? ({ kind: 'absent' } as const) : ({ kind: 'version', stamp: current.stamp } as const);
    const outcome = await kit.cas(store, entry, expected);
    if (outcome.kind === 'applied') return;
    if (outcome.kind === 'superseded') clock.observe(outcome.stamp);
    else expect(outcome.kind).toBe('conflict');
  }
}

/** Several writers, on two clients, truly at the same time. */
export function describeConcurrency(kit: Fixture): void {
  describe('concurrent writers', () => {
    it('of one key leave the greatest stamp that was applied, with its own value', async () => {
      const store = await kit.open();
      const other = await kit.second();
      const writers = kit.scaled(8, 3);
      const rounds = kit.scaled(25, 8);
      const random = seeded(kit.seed);
      const stamps = shuffled(range(writers * rounds, 1), random);
      const kinds = stamps.map(() => random());
      const applied: Entry[] = [];
      const outcomes = new Map<Stamp, CasOutcome>();

      const write = async (client: Store, i: number): Promise<void> => {
        const s = stamps[i] as number;
        const kind = kinds[i] as number;
        const entry = kind < 0.25 ? kit.tombstone(1, s) : kit.entry(1, s);
        let outcome: CasOutcome;
        if (kind < 0.7) {
          outcome = await kit.put(client, entry);
        } else {
          const current = await kit.read(client, 1);
          outcome = await kit.cas(
            client,
            entry,
            current === undefined || current.value === null
              ? { kind: 'absent' }
              : { kind: 'version', stamp: current.stamp },
          );
        }
        outcomes.set(entry.stamp as Stamp, outcome);
        if (outcome.kind === 'applied') applied.push(entry);
        if (outcome.kind === 'superseded') expect(outcome.stamp > (entry.stamp as Stamp)).toBe(true);
        expect(['applied', 'superseded', 'conflict']).toContain(outcome.kind);
      };

      await Promise.all(
        range(writers).map(async (writer) => {
          for (const round of range(rounds)) await write(writer % 2 === 0 ? store : other, writer * rounds + round);
        }),
      );
      const winner = applied.reduce((a, b) => ((a.stamp as Stamp) > (b.stamp as Stamp) ? a : b));
      expectEntry(await kit.read(store, 1), winner, `seed ${kit.seed}`);
      expectEntry(await kit.read(other, 1), winner, `seed ${kit.seed}`);
      // A blind put of the greatest stamp of all cannot have lost.
      const greatest = stamps.indexOf(writers * rounds);
      if ((kinds[greatest] as number) < 0.7) expect(winner.stamp).toBe(stampOf(writers * rounds));
    });

    it('of many keys leave the greatest stamp of each', async () => {
      const store = await kit.open();
      const other = await kit.second();
      const keys = kit.scaled(20, 8);
      const versions = kit.scaled(8, 4);
      const work = shuffled(
        range(keys).flatMap((n) => range(versions, 1).map((s) => ({ n, s }))),
        seeded(kit.seed),
      );
      const entryOf = (n: number, s: number) => ((n + s) % 3 === 0 ? kit.tombstone(n, s) : kit.entry(n, s));
      const queue = work.values();
      await Promise.all(
        range(8).map(async (worker) => {
          for (const { n, s } of queue) await kit.put(worker % 2 === 0 ? store : other, entryOf(n, s));
        }),
      );
      for (const n of range(keys)) expectEntry(await kit.read(store, n), entryOf(n, versions), `seed ${kit.seed}`);
    });

    it('that compare and set lose no update: the count is the number of those applied', async () => {
      const store = await kit.open();
      const other = await kit.second();
      const writers = kit.scaled(5, 3);
      const rounds = kit.scaled(12, 5);
      await Promise.all(
        range(writers).map(async (writer) => {
          const client = writer % 2 === 0 ? store : other;
          const clock = new StampClock(client, writer + 1);
          for (const _ of range(rounds)) await increment(kit, client, 1, clock);
        }),
      );
      const final = await kit.read(store, 1);
      expect(final?.value?.[kit.harness.fields.number]).toBe(writers * rounds);
    });

    it('that send each compare-and-set twice at once still apply it exactly once', async () => {
      const store = await kit.open();
      const other = await kit.second();
      await kit.put(store, kit.entry(1, 0));
      for (const s of range(kit.scaled(20, 8), 1)) {
        const expected = { kind: 'version', stamp: stampOf(s - 1) } as const;
        const outcomes = await Promise.all([
          kit.cas(store, kit.entry(1, s), expected),
          kit.cas(other, kit.entry(1, s), expected),
        ]);
        expect(outcomes.map(({ kind }) => kind)).toEqual(['applied', 'applied']);
        expectEntry(await kit.read(store, 1), kit.entry(1, s));
      }
    });

    it('of which many create one key let exactly one through', async () => {
      const store = await kit.open();
      const other = await kit.second();
      for (const n of range(kit.scaled(8, 3))) {
        const outcomes = await Promise.all(
          range(6, 1).map((s) => kit.cas(s % 2 === 0 ? store : other, kit.entry(n, s), { kind: 'absent' })),
        );
        const winners = outcomes.flatMap(({ kind }, i) => (kind === 'applied' ? [i + 1] : []));
        expect(winners).toHaveLength(1);
        expectEntry(await kit.read(store, n), kit.entry(n, winners[0] as number));
      }
    });

    it('of which one deletes while another inserts for the first time leave stamp and value agreeing', async () => {
      const store = await kit.open();
      const other = await kit.second();
      const rounds = kit.scaled(40, 15);
      for (const n of range(rounds)) {
        const deleteWins = n % 2 === 0;
        const remove = kit.tombstone(n, deleteWins ? 20 : 10);
        const insert = kit.entry(n, deleteWins ? 10 : 20);
        const calls = [() => kit.put(store, remove), () => kit.put(other, insert)];
        await Promise.all((n % 4 < 2 ? calls : calls.toReversed()).map((call) => call()));
        expectEntry(await kit.read(store, n), deleteWins ? remove : insert);
      }
      const scanned = new Map((await kit.scanAll(store)).map((entry) => [entry.id, entry]));
      for (const n of range(rounds)) {
        expectEntry(scanned.get(kit.ref(n).id), n % 2 === 0 ? kit.tombstone(n, 20) : kit.entry(n, 20));
      }
    });

    it('of which one stamps while another writes plainly leave one of the two, whole', async () => {
      const store = await kit.open();
      const other = await kit.second();
      for (const n of range(kit.scaled(20, 8))) {
        await Promise.all([kit.put(store, kit.entry(n, 10)), kit.putPlain(other, kit.plain(n, 99))]);
        const found = await kit.read(store, n);
        const number = found?.value?.[kit.harness.fields.number];
        expect([10, 99]).toContain(number);
        expectValue(found?.value, kit.plain(n, Number(number)).value, 'neither of the two');
      }
    });

    it('never show a reader stamp and value of different versions', async () => {
      const store = await kit.open();
      const other = await kit.second();
      await kit.put(store, kit.entry(1, 1));
      let writing = true;
      const writer = (async () => {
        for (const s of range(kit.scaled(60, 20), 2)) {
          await kit.put(store, s % 5 === 0 ? kit.tombstone(1, s) : kit.entry(1, s));
        }
      })().finally(() => {
        writing = false;
      });
      while (writing) {
        const found = await kit.read(other, 1);
        if (found?.value) expect(found.stamp).toBe(stampOf(Number(found.value[kit.harness.fields.number])));
      }
      await writer;
    });
  });
}

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Codec, Finding } from '../../src/core/store.ts';
import type { StoredRecord } from '../../src/core/value.ts';
import { expectSameEntries, expectValue, type Fixture } from './fixture.ts';
import { UNUSUAL_VALUES, type UnusualValue } from './unusual.ts';

const MUST_BE_UNIQUE = new Set<Finding['kind']>(['unique', 'check', 'trigger']);

/** What a store says of itself and of entries before anything is written. */
export function describePreflight(kit: Fixture): void {
  describe('an inspection', () => {
    it('names the server, and each finding once, with what it is and what to do', async () => {
      const inspection = await (await kit.open()).inspect();
      expect(inspection.server).not.toBe('');
      const names = inspection.findings.map(({ name }) => name);
      expect(new Set(names).size).toBe(names.length);
      for (const { name, kind, level, message, remedy } of inspection.findings) {
        expect(name).toMatch(/^[a-z-]+:\S/);
        expect(kind).not.toBe('');
        expect(message, name).not.toBe('');
        // A risk or a problem that nothing can be done about helps nobody.
        expect(remedy !== '' || level === 'info', `${name} has no remedy`).toBe(true);
      }
    });

    it('changes nothing, and says the same again', async () => {
      const store = await kit.open();
      for (let n = 0; n < 8; n += 1) await kit.put(store, n % 3 === 0 ? kit.tombstone(n, 10) : kit.entry(n, 10));
      const before = await kit.scanAll(store);
      const first = await store.inspect();
      expectSameEntries(await kit.scanAll(store), before);
      const again = await (await kit.second()).inspect();
      expect(again.findings.map(({ name, level }) => [name, level])).toEqual(
        first.findings.map(({ name, level }) => [name, level]),
      );
    });

    it('works on a store that was never prepared, and prepares nothing', async ({ skip }) => {
      const store = await kit.unprepared();
      if (store === null) return skip('nothing needs to be prepared');
      expect((await store.inspect()).server).not.toBe('');
      expect(await store.prepared()).toBe(false);
    });

    it('of a store with nothing odd about it has no problem', async () => {
      const inspection = await (await kit.open()).inspect();
      expect(inspection.findings.filter(({ level }) => level === 'problem')).toEqual([]);
    });

    it('finds what must be unique', async ({ skip }) => {
      if (kit.harness.breaksUnique === null) return skip('nothing must be unique');
      const inspection = await (await kit.open()).inspect();
      const risks = inspection.findings.filter(({ level, kind }) => level === 'risk' && MUST_BE_UNIQUE.has(kind));
      expect(risks.length).toBeGreaterThan(0);
    });
  });

  describe('a round trip without I/O', () => {
    const codec: Codec = {
      encode: (record) => ({ ...record, [kit.harness.fields.text]: `<${record[kit.harness.fields.text]}>` }),
      decode: (stored) => {
        const text = String(stored[kit.harness.fields.text]);
        return { ...stored, [kit.harness.fields.text]: text.slice(1, -1) };
      },
    };

    it.for(Object.keys(UNUSUAL_VALUES) as UnusualValue[])(
      '%s: says what the store gives back, or refuses what it refuses',
      async (name, { skip }) => {
        const { any } = kit.harness.fields;
        const store = await kit.open();
        if (any === null) return skip('no field holds any value');
        const entry = kit.entry(1, 10, { [any]: UNUSUAL_VALUES[name]() });
        const answer = store.roundTrip(entry);
        if (answer.kind === 'rejected') {
          expect(store.check(entry)).toEqual(answer);
          return;
        }
        expect(store.check(entry)).toBeNull();
        expect((await kit.put(store, entry)).kind).toBe('applied');
        expectValue((await store.get(entry.id, entry.key))?.value, answer.value, name);
      },
    );

    it('says of text and numbers of all kinds what the store gives back, or refuses what it refuses', async () => {
      const { text, number } = kit.harness.fields;
      const store = await kit.open();
      const texts = fc.oneof(
        fc.string({ unit: 'binary' }),
        fc.string(),
        fc.constantFrom('', ' ', 'a ', 'a\0', '\ud800'),
      );
      const odd = fc.constantFrom(
        0,
        -0,
        Number.NaN,
        Number.POSITIVE_INFINITY,
        2 ** 31,
        -(2 ** 31) - 1,
        2 ** 53,
        0.1,
        null,
      );
      const fields = fc.record({ [text]: texts, [number]: fc.oneof(fc.integer(), fc.double(), odd) });
      let n = 0;
      let held = 0;
      const property = fc.asyncProperty(fields, async (values) => {
        n += 1;
        const entry = kit.entry(n, 10, values);
        const answer = store.roundTrip(entry);
        const refused = store.check(entry);
        if (answer.kind === 'rejected') {
          expect(refused).toEqual(answer);
          return;
        }
        expect(refused).toBeNull();
        const outcome = await kit.put(store, entry);
        // A check of the table is known to the server alone.
        if (outcome.kind === 'rejected' && outcome.reason === 'constraint') return;
        expect(outcome.kind).toBe('applied');
        expectValue((await store.get(entry.id, entry.key))?.value, answer.value, 'the record');
        held += 1;
      });
      await fc.assert(property, { numRuns: 40, seed: kit.seed });
      expect(held).toBeGreaterThan(0);
    });

    it('goes through the codec both ways, and needs nothing stored', async () => {
      const store = await kit.open({ codec });
      const entry = kit.entry(3, 10);
      const answer = store.roundTrip(entry);
      expect(answer.kind).toBe('held');
      if (answer.kind === 'held') expectValue(answer.value, entry.value, 'the record');
      await kit.expectEmpty(store);
    });

    it('shows what a codec makes of a record', async () => {
      const { number } = kit.harness.fields;
      const lossy: Codec = {
        encode: (record) => Object.fromEntries(Object.entries(record).filter(([field]) => field !== number)),
        decode: (stored) => stored,
      };
      const store = await kit.open({ codec: lossy });
      const entry = kit.entry(4, 10);
      const answer = store.roundTrip(entry);
      if (answer.kind === 'rejected') return;
      expect((await kit.put(store, entry)).kind).toBe('applied');
      const held = (await store.get(entry.id, entry.key))?.value as StoredRecord;
      expectValue(answer.value, held, 'the record');
      expect(answer.value[number] ?? null).toBeNull();
    });
  });
}

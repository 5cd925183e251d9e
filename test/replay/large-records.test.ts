import { describe, expect, test } from 'vitest';
import { PageSize } from '../../src/core/page-size.ts';
import type { Entry, ScanPage } from '../../src/core/store.ts';
import { putNewer } from '../../src/replay/put-newer.ts';
import { SeededRandom } from '../simulation/random.ts';
import { entryOf, Rig } from './rig.ts';

const MEGABYTE = 'x'.repeat(1_000_000);
const textOf = ({ value }: Entry): number => String(value?.['text'] ?? '').length;
const sum = (entries: readonly Entry[]): number => entries.reduce((total, entry) => total + textOf(entry), 0);

describe('large records', () => {
  test.each([
    [120, 1, 60],
    [24, 20, 80],
  ])('are read few at once, from the first page on (%i of %i MB: at most %i MB)', async (records, size, atMost) => {
    const rig = await Rig.create({ records, text: MEGABYTE.repeat(size) });
    const scan = rig.stores.old.scan.bind(rig.stores.old);
    let [open, most] = [0, 0];
    rig.stores.old.scan = async function* (partition, options): AsyncIterable<ScanPage> {
      for await (const page of scan(partition, options)) {
        open += sum(page.entries);
        most = Math.max(most, open);
        yield page;
      }
    };
    const put = rig.stores.new.putManyIfNewer.bind(rig.stores.new);
    rig.stores.new.putManyIfNewer = async (entries, deadline) => {
      const outcomes = await put(entries, deadline);
      open -= sum(entries);
      return outcomes;
    };
    await rig.clock.runUntil(rig.run());
    expect([rig.total('scanned'), rig.total('applied')]).toStrictEqual([records, records]);
    expect(open).toBe(0);
    expect(most).toBeGreaterThan(0);
    expect(most).toBeLessThanOrEqual(atMost * 1_000_000);
  });

  test('that come too late together are put in parts, and counted once', async () => {
    const rig = await Rig.create({ records: 0 });
    const { new: target } = rig.stores;
    const entries = Array.from({ length: 16 }, (_, n) => entryOf(n, 'y'));
    const put = target.putManyIfNewer.bind(target);
    await put(entries.slice(0, 2), 10 ** 15);
    const sizes: number[] = [];
    target.putManyIfNewer = async (batch, deadline) => {
      sizes.push(batch.length);
      return batch.length > 3 ? batch.map(() => ({ kind: 'expired' })) : put(batch, deadline);
    };
    const random = new SeededRandom(1).next;
    const deadline = async (): Promise<number> => target.now() + 3_000;
    const done = putNewer(entries, { target, clock: rig.clock, random, deadline, ask: false });
    expect(await rig.clock.runUntil(done)).toMatchObject({ applied: 16, skipped: 0, rejected: [] });
    expect(sizes).toStrictEqual([16, 8, 4, 2, 2, 2, 2, 2, 2, 2, 2]);
  });

  test('of which a few get in each time all get in, in smaller parts', async () => {
    const rig = await Rig.create({ records: 0 });
    const { new: target } = rig.stores;
    const entries = Array.from({ length: 60 }, (_, n) => entryOf(n, 'y'));
    const put = target.putManyIfNewer.bind(target);
    const sizes: number[] = [];
    target.putManyIfNewer = async (batch, deadline) => {
      sizes.push(batch.length);
      const inTime = await put(batch.slice(0, 2), deadline);
      return batch.map((_, i) => inTime[i] ?? { kind: 'fault', outcome: 'unknown', message: 'late', pressure: false });
    };
    const random = new SeededRandom(2).next;
    const deadline = async (): Promise<number> => target.now() + 3_000;
    const done = putNewer(entries, { target, clock: rig.clock, random, deadline, ask: false });
    expect(await rig.clock.runUntil(done)).toMatchObject({ applied: 60, skipped: 0, rejected: [] });
    expect(sizes.slice(0, 5)).toStrictEqual([60, 30, 15, 8, 4]);
    expect(Math.max(...sizes.slice(4))).toBe(4);
  });

  test('make the next page small at once, and small ones let it grow step by step', () => {
    const pages = new PageSize();
    const wanted: number[] = [];
    for (let page = 0; page < 5; page += 1) {
      wanted.push(pages.for(2_000));
      pages.learn(Array.from({ length: wanted.at(-1) ?? 0 }, (_, n) => entryOf(7 * n, 'x')));
    }
    expect(wanted).toStrictEqual([1, 16, 256, 2_000, 2_000]);
    pages.learn([entryOf(0, MEGABYTE)]);
    expect(pages.for(2_000)).toBe(4);
  });
});

import { expect } from 'vitest';
import { DeadlineExceeded, OutcomeUnknown } from '../../src/core/errors.ts';
import { failure, keyOf, record, scenario } from './fleet.ts';

scenario(
  'stamps a put again when a faster clock wrote the key, so that the later put wins (scenario 1)',
  async (fleet) => {
    const [slow, fast] = await fleet.start(2, {}, [-5_000, 5_000]);
    await fleet.dualWrite();
    await fast!.repository.put(record('ada', 'of the fast clock'));
    await slow!.repository.put(record('ada', 'of the slow clock'));
    const [refused, accepted] = fleet.sentBy(slow!, 'old', 'putIfNewer');
    const before = fleet.sentBy(fast!, 'old', 'putIfNewer')[0]!;
    expect(refused!.stamp! < before.stamp!).toBe(true);
    expect(accepted!.stamp! > before.stamp!).toBe(true);
    await fleet.settled();
    expect(fleet.held('old', 'ada')).toBe('of the slow clock');
    expect(await fast!.repository.get(keyOf('ada'))).toEqual(record('ada', 'of the slow clock'));
    fleet.expectEqual();
    expect(await fleet.dirtLines()).toEqual([]);
  },
);

scenario(
  're-sends a timed-out lead put with the same stamp and says OutcomeUnknown when it was overwritten meanwhile (scenario 2)',
  async (fleet) => {
    const [a, b] = await fleet.start();
    await fleet.dualWrite();
    const lost = fleet.strike([a!, 'old', 'putIfNewer'], { kind: 'lose-answer' });
    const put = fleet.begin(a!.repository.put(record('ada', 'first')));
    await lost.hit;
    await fleet.sleep(5);
    expect(fleet.held('old', 'ada')).toBe('first');
    await b!.repository.put(record('ada', 'second'));
    expect(fleet.sentBy(a!, 'old', 'putIfNewer')).toHaveLength(1);
    expect(await failure(put.promise)).toBeInstanceOf(OutcomeUnknown);
    const copies = fleet.sentBy(a!, 'old', 'putIfNewer');
    expect(copies).toHaveLength(2);
    expect(copies[1]!.stamp).toBe(copies[0]!.stamp);
    expect(copies[1]!.deadline).toBeGreaterThan(copies[0]!.deadline!);
    await fleet.sleep(1_000);
    expect(fleet.held('old', 'ada')).toBe('second');
    expect(await fleet.dirtLines()).toEqual(['new lost ada/1']);
    expect(fleet.sentBy(a!, 'new', 'putIfNewer')).toEqual([]);
    await fleet.repair();
    expect(await fleet.dirtLines()).toEqual([]);
    fleet.expectEqual();
  },
);

scenario(
  're-sends a timed-out lead put with the same stamp until it is known to be applied, mirrors it and succeeds (scenario 3)',
  async (fleet) => {
    const [a] = await fleet.start();
    await fleet.dualWrite();
    const lost = fleet.strike([a!, 'old', 'putIfNewer'], { kind: 'lose-answer' });
    await a!.repository.put(record('ada', 'first'));
    expect(lost.count).toBe(1);
    const copies = fleet.sentBy(a!, 'old', 'putIfNewer');
    expect(copies).toHaveLength(2);
    expect(copies[1]!.stamp).toBe(copies[0]!.stamp);
    await fleet.sleep(100);
    expect(fleet.sentBy(a!, 'new', 'putIfNewer').map(({ stamp }) => stamp)).toEqual([copies[0]!.stamp]);
    expect(fleet.held('new', 'ada')).toBe('first');
    fleet.expectEqual();
    expect(await fleet.dirtLines()).toEqual([]);
  },
);

scenario(
  'does not run the function of a timed-out update again when its re-send conflicts (scenario 4)',
  async (fleet) => {
    const [a, b] = await fleet.start();
    await fleet.dualWrite();
    await b!.repository.put(record('ada', '0'));
    await fleet.sleep(5);
    const lost = fleet.strike([a!, 'old', 'compareAndSet'], { kind: 'lose-answer' });
    const seen: unknown[] = [];
    const update = fleet.begin(
      a!.repository.update(keyOf('ada'), (present) => {
        seen.push(present?.value);
        return record('ada', `${present?.value}+a`);
      }),
    );
    await lost.hit;
    await fleet.sleep(5);
    expect(fleet.held('old', 'ada')).toBe('0+a');
    await b!.repository.put(record('ada', 'b'));
    expect(await failure(update.promise)).toBeInstanceOf(OutcomeUnknown);
    expect(seen).toEqual(['0']);
    const copies = fleet.sentBy(a!, 'old', 'compareAndSet');
    expect(copies.map(({ stamp }) => stamp)).toEqual([copies[0]!.stamp, copies[0]!.stamp]);
    await fleet.sleep(1_000);
    expect(fleet.held('old', 'ada')).toBe('b');
    expect(await fleet.dirtLines()).toEqual(['new lost ada/1']);
    await fleet.repair();
    fleet.expectEqual();
  },
);

scenario(
  'calls a put unknown and its key dirty, not failed, when only its re-sent copies expired (scenario 23)',
  async (fleet) => {
    const [a] = await fleet.start();
    await fleet.dualWrite();
    const lost = fleet.strike([a!, 'old', 'putIfNewer'], { kind: 'lose-answer' });
    const put = fleet.begin(a!.repository.put(record('ada', 'first')));
    await lost.hit;
    const expired = fleet.answer([a!, 'old', 'putIfNewer'], { kind: 'expired' }, 1_000);
    expect(await failure(put.promise)).toBeInstanceOf(OutcomeUnknown);
    expect(expired.count).toBeGreaterThan(0);
    expect(new Set(fleet.sentBy(a!, 'old', 'putIfNewer').map(({ stamp }) => stamp)).size).toBe(1);
    await fleet.until(async () => (await fleet.dirt()).length > 0, 'the dirt');
    expect(await fleet.dirtLines()).toEqual(['new lost ada/1']);
    expect(fleet.held('old', 'ada')).toBe('first');
    expect(fleet.held('new', 'ada')).toBeUndefined();
    await fleet.repair();
    fleet.expectEqual();
  },
);

scenario(
  'leaves the row as it is when a put arrives after its deadline, and says so for certain (scenario 24)',
  async (fleet) => {
    const [a, b] = await fleet.start();
    await fleet.dualWrite();
    await b!.repository.put(record('ada', 'before'));
    await fleet.settled();
    const before = fleet.snapshot();
    // Each copy is under way for longer than its deadline, and answered before its caller gives it up.
    const late = fleet.strike([a!, 'old', 'putIfNewer'], { kind: 'slow', requestMs: 900 }, 1_000);
    expect(await failure(a!.repository.put(record('ada', 'late')))).toBeInstanceOf(DeadlineExceeded);
    expect(late.count).toBeGreaterThan(1);
    await fleet.sleep(10_000);
    expect(fleet.snapshot()).toEqual(before);
    expect(await fleet.dirtLines()).toEqual([]);
    expect(fleet.sentBy(a!, 'new', 'putIfNewer')).toEqual([]);
  },
);

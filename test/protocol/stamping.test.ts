import { expect } from 'vitest';
import { ALL } from '../../src/core/dial.ts';
import { FleetTimeout, OutcomeUnknown } from '../../src/core/errors.ts';
import { MIGRATION, type SimNode } from '../simulation/world.ts';
import { type Fleet, failure, forced, keyOf, record, scenario, why } from './fleet.ts';

/** One node that stamps beside another one that has not heard of it. */
async function mixed(fleet: Fleet): Promise<{ stamping: SimNode; plain: SimNode; heal: () => void }> {
  const [stamping, plain] = await fleet.start();
  await fleet.settled();
  const heal = fleet.deaf(plain!, (document) => document.stamping !== 'off');
  await fleet.plane.advanceStamping(MIGRATION, why);
  const { revision } = await fleet.document();
  await fleet.until(() => fleet.applied(stamping!) === revision);
  await fleet.sleep(50);
  expect([stamping!, plain!].map((node) => node.repository.route('ada').stamping)).toEqual(['starting', 'off']);
  return { stamping: stamping!, plain: plain!, heal };
}

scenario(
  'makes an update of a stamping node conflict with the plain write that came after its read (scenario 26)',
  async (fleet) => {
    const { stamping, plain } = await mixed(fleet);
    await plain.repository.put(record('ada', 'plain 1'));
    const sending = fleet.holdUp([stamping, 'old', 'compareAndSet']);
    const seen: unknown[] = [];
    const update = fleet.begin(
      stamping.repository.update(keyOf('ada'), (present) => {
        seen.push(present?.value);
        return record('ada', `${present?.value} + update`);
      }),
    );
    await sending.hit;
    await plain.repository.put(record('ada', 'plain 2'));
    expect(fleet.entry('old', 'ada')).toMatchObject({ stamp: null });
    sending.release();
    await update.promise;
    expect(seen).toEqual(['plain 1', 'plain 2']);
    expect(fleet.held('old', 'ada')).toBe('plain 2 + update');
    expect(fleet.entry('old', 'ada')!.stamp).not.toBeNull();
    expect(await plain.repository.get(keyOf('ada'))).toEqual(record('ada', 'plain 2 + update'));
    expect(fleet.snapshot()).toMatchObject({ new: [] });
  },
);

scenario('does not re-send a put that timed out while others may still write plainly (scenario 27)', async (fleet) => {
  const { stamping, plain } = await mixed(fleet);
  const lost = fleet.strike([stamping, 'old', 'putIfNewer'], { kind: 'lose-answer' });
  const put = fleet.begin(stamping.repository.put(record('ada', 'stamped')));
  await lost.hit;
  await fleet.sleep(5);
  expect(fleet.held('old', 'ada')).toBe('stamped');
  // Physically: a re-sent copy would meet nothing and bring the record back.
  expect(await plain.repository.delete(keyOf('ada'))).toBe(true);
  expect(fleet.entry('old', 'ada')).toBeUndefined();
  expect(await failure(put.promise)).toBeInstanceOf(OutcomeUnknown);
  await fleet.sleep(20_000);
  expect(fleet.sentBy(stamping, 'old', 'putIfNewer')).toHaveLength(1);
  expect(fleet.snapshot()).toEqual({ old: [], new: [] });
  expect(await fleet.dirtLines()).toEqual([]);
});

scenario(
  'refuses to turn the mirror on before everybody has acknowledged that stamping starts (scenario 28)',
  async (fleet) => {
    const { plain, heal } = await mixed(fleet);
    const before = await fleet.document();
    const { controller } = await fleet.operator();
    const move = { dial: 'dual-write', to: ALL } as const;
    const evidence = { prepared: { old: true, new: true }, findings: { old: [], new: [] }, mapping: 'sim' };
    const asked = { migration: MIGRATION, move, evidence, dryRun: false, ifRevision: null, ...forced };
    expect(await fleet.plane.move(asked)).toMatchObject({ document: null, next: 'stamping' });
    const step = await fleet.plane.advanceStamping(MIGRATION, why);
    expect(step?.waitingFor).toMatchObject([{ incarnation: plain.session.incarnation }]);
    const refused = await failure(controller.set(move, forced));
    expect(refused).toBeInstanceOf(FleetTimeout);
    expect(refused.details).toMatchObject({ behind: [plain.session.incarnation] });
    expect(await fleet.document()).toEqual(before);
    expect(fleet.snapshot()).toEqual({ old: [], new: [] });
    heal();
    await controller.set(move, forced);
    expect(await fleet.document()).toMatchObject({ stamping: 'on', dials: { dualWrite: ALL } });
    await plain.repository.put(record('ada', 'first'));
    await fleet.sleep(10);
    fleet.expectEqual();
  },
);

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bucketOf } from '../../src/core/bucket.ts';
import { ALL, CANARY, CANARY_POSITION, EVERY_BUCKET, KEPT_BACK_POSITION, NOBODY } from '../../src/core/dial.ts';
import { InvalidArgument } from '../../src/core/errors.ts';
import { includes, intervals } from '../../src/core/intervals.ts';
import {
  type Handover,
  initialRuleset,
  mirroredTo,
  Ruleset,
  type RulesetDocument,
  validateRuleset,
} from '../../src/core/ruleset.ts';
import { DIALS_OFF, type Dials, STAGE_TABLE, stageAt } from '../../src/core/stage.ts';

const base = initialRuleset('events');
const withDials = (dials: Partial<Dials>): RulesetDocument => ({
  ...base,
  stamping: 'on',
  dials: { ...DIALS_OFF, ...dials },
});

const handover = (patch: Partial<Handover>): Handover => ({
  kind: 'fenced',
  positions: [],
  units: null,
  cohort: null,
  from: NOBODY,
  to: NOBODY,
  holdSince: 1,
  movedAt: null,
  cancelled: false,
  startedAt: 0,
  actor: 'ada',
  reason: 'test',
  ...patch,
});

const stand = fc.oneof(
  fc.constantFrom(NOBODY, CANARY, 1, EVERY_BUCKET - 1, EVERY_BUCKET, ALL),
  fc.integer({ min: NOBODY, max: ALL }),
);

const someDials: fc.Arbitrary<Dials> = fc.tuple(stand, stand, stand, fc.boolean()).map(([a, b, c, retire]) => {
  const dualWrite = Math.max(a, b, c);
  return { dualWrite, shadowRead: b, cutover: c, retireOld: retire && c === ALL };
});

const someHold = fc.option(
  fc.record({
    kind: fc.constantFrom('fenced' as const, 'emergency' as const),
    positions: fc.array(fc.tuple(stand, stand), { maxLength: 3 }).map((ranges) => intervals(ranges)),
  }),
);

describe('a compiled ruleset', () => {
  test('routes every position as a plain evaluation of its document does', () => {
    fc.assert(
      fc.property(someDials, someHold, fc.boolean(), (dials, hold, finished) => {
        const document = { ...withDials(dials), finished, handover: hold === null ? null : handover(hold) };
        const ruleset = new Ruleset(document);
        const edges = [
          dials.dualWrite,
          dials.shadowRead,
          dials.cutover,
          ...(hold?.positions.flat() ?? []),
          0,
          EVERY_BUCKET,
        ];
        const positions = edges.flatMap((edge) => [edge - 1, edge, edge + 1]).filter((at) => at >= -1 && at < ALL);
        for (const position of new Set(positions)) {
          const stage = stageAt(dials, position);
          const rule = STAGE_TABLE[stage];
          const held = hold !== null && includes(hold.positions, position);
          expect(ruleset.routeAt(position), `position ${position}`).toMatchObject({
            stage,
            authority: rule.authority,
            mirror: rule.mirror && !finished,
            compare: rule.compare && !finished,
            hold: !held ? 'nothing' : hold.kind === 'emergency' ? 'everything' : 'writes',
            stamping: 'on',
          });
        }
      }),
    );
  });

  test('routes a unit by its bucket', () => {
    fc.assert(
      fc.property(someDials, fc.string(), (dials, unit) => {
        const ruleset = new Ruleset(withDials(dials));
        expect(ruleset.position(unit)).toBe(bucketOf('events', unit));
        expect(ruleset.route(unit)).toBe(ruleset.routeAt(bucketOf('events', unit)));
      }),
    );
  });

  test('routes every unit by its position, also where all but some take one route', () => {
    const units = fc.uniqueArray(fc.constantFrom('ada', 'bob', 'cy', 'dan'));
    const halves = units.map((names) => ({ canary: names.slice(0, 1), keptBack: names.slice(1, 2) }));
    fc.assert(
      fc.property(someDials, someHold, halves, (dials, hold, cohorts) => {
        const ruleset = new Ruleset({
          ...withDials(dials),
          cohorts,
          handover: hold === null ? null : handover(hold),
        });
        for (const unit of ['ada', 'bob', 'cy', 'dan']) {
          expect(ruleset.route(unit), unit).toBe(ruleset.routeAt(ruleset.position(unit)));
        }
      }),
    );
  });

  test('puts canaries before all buckets and kept-back units behind them', () => {
    const cohorts = { canary: ['ada'], keptBack: ['bob'] };
    const at = (dualWrite: number): string[] => {
      const ruleset = new Ruleset({ ...withDials({ dualWrite }), cohorts });
      return ['ada', 'cy', 'bob'].map((unit) => ruleset.route(unit).stage);
    };
    expect(at(NOBODY)).toStrictEqual(['off', 'off', 'off']);
    expect(at(CANARY)).toStrictEqual(['dualwrite', 'off', 'off']);
    expect(at(EVERY_BUCKET)).toStrictEqual(['dualwrite', 'dualwrite', 'off']);
    expect(at(ALL)).toStrictEqual(['dualwrite', 'dualwrite', 'dualwrite']);
    const ruleset = new Ruleset({ ...base, cohorts });
    expect([ruleset.position('ada'), ruleset.position('bob')]).toStrictEqual([CANARY_POSITION, KEPT_BACK_POSITION]);
  });

  test('holds single units, and nobody beside them in their bucket', () => {
    const hold = handover({ units: ['ada'], positions: [[-1, ALL]] });
    const ruleset = new Ruleset({ ...withDials({ dualWrite: ALL }), handover: hold });
    expect(ruleset.route('ada')).toMatchObject({ hold: 'writes', stage: 'dualwrite' });
    expect(ruleset.route('bob')).toMatchObject({ hold: 'nothing', stage: 'dualwrite' });
    expect(ruleset.routeAt(ruleset.position('ada'))).toMatchObject({ hold: 'nothing' });
  });

  test('says why', () => {
    const ruleset = new Ruleset(withDials({ dualWrite: 40_000, shadowRead: 10_000 }));
    expect(ruleset.routeAt(20_000).reason).toBe('below dual-write, not below shadow-read, not below cutover');
    const held = new Ruleset({ ...withDials({ dualWrite: ALL }), handover: handover({ positions: [[0, 5]] }) });
    expect(held.routeAt(2).reason).toContain('fenced handover holds writes');
    expect(held.routeAt(7).reason).not.toContain('handover');
    expect(new Ruleset(withDials({ dualWrite: ALL, cutover: ALL, retireOld: true })).routeAt(0).reason).toBe(
      'the old store is retired',
    );
    expect(new Ruleset({ ...withDials({}), finished: true }).routeAt(0).reason).toBe('the migration is finished');
  });

  test('cannot be changed through its routes or its document', () => {
    const ruleset = new Ruleset(withDials({ dualWrite: ALL }));
    expect(Object.isFrozen(ruleset.routeAt(0))).toBe(true);
    expect(Object.isFrozen(ruleset.document)).toBe(true);
    const document = { ...withDials({ dualWrite: 50_000 }), cohorts: { canary: ['ada'], keptBack: [] as string[] } };
    const compiled = new Ruleset(document);
    document.cohorts.canary.push('bob');
    (document.dials as { dualWrite: number }).dualWrite = 0;
    expect(compiled.position('bob')).toBe(bucketOf('events', 'bob'));
    expect(compiled.routeAt(10).stage).toBe('dualwrite');
  });

  test('comes back from its JSON', () => {
    fc.assert(
      fc.property(someDials, someHold, (dials, hold) => {
        const document = { ...withDials(dials), handover: hold === null ? null : handover(hold) };
        const copy = new Ruleset(JSON.parse(JSON.stringify(document)));
        expect(copy.document).toStrictEqual(validateRuleset(document));
      }),
    );
  });
});

describe('mirroring', () => {
  test('goes to the follower of every position and nowhere else', () => {
    fc.assert(
      fc.property(someDials, fc.boolean(), stand, (dials, finished, position) => {
        fc.pre(position < ALL);
        const document = { ...withDials(dials), finished };
        const route = new Ruleset(document).routeAt(position);
        for (const side of ['old', 'new'] as const) {
          expect(includes(mirroredTo(document, side), position)).toBe(route.mirror && route.authority !== side);
        }
      }),
    );
  });
});

describe('a ruleset document', () => {
  test('begins with everything off and its settings at their defaults', () => {
    expect(validateRuleset(base)).toStrictEqual(base);
    expect(new Ruleset(base).routeAt(0)).toMatchObject({
      stage: 'off',
      authority: 'old',
      mirror: false,
      hold: 'nothing',
      stamping: 'off',
    });
    expect(initialRuleset('events', { shadowSample: 0.5 }).settings.shadowSample).toBe(0.5);
  });

  test.each<[string, unknown, string]>([
    ['no object', null, 'is not an object'],
    ['text', '{}', 'is not an object'],
    ['another format', { ...base, format: 2 }, 'format 2'],
    ['no migration', { ...base, migration: '' }, 'names no migration'],
    ['revision 0', { ...base, revision: 0 }, 'no revision'],
    ['half a revision', { ...base, revision: 1.5 }, 'no revision'],
    ['no dials', { ...base, dials: undefined }, 'no valid dualWrite'],
    ['a dial below nobody', withDials({ dualWrite: -2 }), 'no valid dualWrite'],
    ['a dial above all', withDials({ dualWrite: ALL + 1 }), 'no valid dualWrite'],
    ['a dial between two stands', withDials({ dualWrite: 10, shadowRead: 0.5 }), 'no valid shadowRead'],
    ['a cutover that is no number', withDials({ cutover: '10' as unknown as number }), 'no valid cutover'],
    ['retireOld as a word', withDials({ retireOld: 'yes' as unknown as boolean }), 'no valid retireOld'],
    ['cutover above dual-write', withDials({ cutover: 1 }), 'cutover may not be above dual-write'],
    ['retire-old too early', withDials({ dualWrite: ALL, cutover: EVERY_BUCKET, retireOld: true }), 'retire-old needs'],
    ['unknown stamping', { ...base, stamping: 'maybe' }, 'no valid stamping'],
    ['no cohorts', { ...base, cohorts: undefined }, 'no valid cohorts'],
    ['a cohort of numbers', { ...base, cohorts: { canary: [1], keptBack: [] } }, 'no valid cohorts'],
    ['a unit in both cohorts', { ...base, cohorts: { canary: ['a'], keptBack: ['a'] } }, 'in both cohorts'],
    ['a handover without positions', { ...base, handover: {} }, 'no valid handover'],
    [
      'a handover with half a range',
      { ...base, handover: handover({ positions: [[1] as never] }) },
      'no valid handover',
    ],
    ['a floor that is no stamp', { ...base, stampFloor: 'now' }, 'not a stamp'],
    ['a setting out of range', { ...base, settings: { ...base.settings, shadowSample: 2 } }, 'shadowSample'],
    ['no settings', { ...base, settings: undefined }, 'no settings'],
  ])('with %s is refused and says so', (_, document, message) => {
    expect(() => new Ruleset(document)).toThrow(InvalidArgument);
    expect(() => validateRuleset(document)).toThrow(message);
  });
});

import { describe, expect, test } from 'vitest';
import { ALL, CANARY, EVERY_BUCKET, NOBODY } from '../../src/core/dial.ts';
import {
  DIALS_OFF,
  type DialMove,
  type Dials,
  dialsConflict,
  otherSide,
  planStage,
  STAGE_DIALS,
  STAGE_TABLE,
  STAGES,
  stageAt,
  stageOf,
} from '../../src/core/stage.ts';

const STANDS = [NOBODY, CANARY, 1, 25_000, EVERY_BUCKET - 1, EVERY_BUCKET, ALL];
const POSITIONS = [-1, 0, 1, 24_999, 25_000, EVERY_BUCKET - 2, EVERY_BUCKET - 1, EVERY_BUCKET];

const everyDials = STANDS.flatMap((dualWrite) =>
  STANDS.flatMap((shadowRead) =>
    STANDS.flatMap((cutover) =>
      [false, true].map((retireOld): Dials => ({ dualWrite, shadowRead, cutover, retireOld })),
    ),
  ),
);
const legalDials = everyDials.filter((dials) => dialsConflict(dials) === null);

function movedBy(dials: Dials, move: DialMove): Dials {
  switch (move.dial) {
    case 'dual-write':
      return { ...dials, dualWrite: move.to };
    case 'shadow-read':
      return { ...dials, shadowRead: move.to };
    case 'cutover':
      return { ...dials, cutover: move.to };
    case 'retire-old':
      return { ...dials, retireOld: move.to };
  }
}

describe('the stage table', () => {
  test('says for each of the six stages who leads, whether writes are mirrored and whether reads are compared', () => {
    expect(
      STAGES.map((stage) => [
        stage,
        STAGE_TABLE[stage].authority,
        STAGE_TABLE[stage].mirror,
        STAGE_TABLE[stage].compare,
      ]),
    ).toStrictEqual([
      ['off', 'old', false, false],
      ['dualwrite', 'old', true, false],
      ['shadow', 'old', true, true],
      ['live', 'new', true, true],
      ['rampdown', 'new', true, false],
      ['complete', 'new', false, false],
    ]);
    expect([otherSide('old'), otherSide('new')]).toStrictEqual(['new', 'old']);
  });

  test('gives every position under all legal dials exactly the rule that the dials mean', () => {
    for (const dials of legalDials) {
      for (const position of POSITIONS) {
        const rule = STAGE_TABLE[stageAt(dials, position)];
        expect(rule).toStrictEqual({
          authority: dials.retireOld || position < dials.cutover ? 'new' : 'old',
          mirror: !dials.retireOld && position < dials.dualWrite,
          compare: !dials.retireOld && position < dials.shadowRead,
        });
      }
    }
  });

  test('refuses dials in a wrong order, and says which', () => {
    for (const dials of everyDials) {
      const { dualWrite, shadowRead, cutover, retireOld } = dials;
      const fit = cutover <= dualWrite && shadowRead <= dualWrite && (!retireOld || cutover === ALL);
      expect(dialsConflict(dials) === null).toBe(fit);
    }
    expect(dialsConflict({ ...DIALS_OFF, cutover: 5 })).toContain('cutover');
    expect(dialsConflict({ ...DIALS_OFF, shadowRead: 5 })).toContain('shadow-read');
    expect(dialsConflict({ ...DIALS_OFF, retireOld: true })).toContain('retire-old');
  });

  test('calls a migration mixed exactly when its buckets are in different stages', () => {
    for (const dials of legalDials) {
      const stages = new Set(
        [0, 1, 24_999, 25_000, EVERY_BUCKET - 2, EVERY_BUCKET - 1].map((at) => stageAt(dials, at)),
      );
      expect(stageOf(dials)).toBe(stages.size === 1 ? [...stages][0] : 'mixed');
    }
  });
});

describe('a plan for a stage', () => {
  test('leads from all legal dials to each stage through legal dials only, one dial a move', () => {
    for (const start of legalDials) {
      for (const target of STAGES) {
        let dials = start;
        const moves = planStage(start, target);
        for (const move of moves) {
          const next = movedBy(dials, move);
          const path = JSON.stringify({ start, target, moves, next });
          expect(dialsConflict(next), path).toBeNull();
          expect(next, `a move that moves nothing: ${path}`).not.toStrictEqual(dials);
          dials = next;
        }
        expect(stageOf(dials), JSON.stringify({ start, target, moves })).toBe(target);
        expect(planStage(dials, target), 'there is nothing left to do').toStrictEqual([]);
      }
    }
  });

  test('never gives up authority on the way that it means to keep', () => {
    for (const start of legalDials.filter(({ cutover }) => cutover >= EVERY_BUCKET)) {
      for (const target of ['live', 'rampdown', 'complete'] as const) {
        let dials = start;
        for (const move of planStage(start, target)) {
          dials = movedBy(dials, move);
          expect(dials.cutover).toBeGreaterThanOrEqual(EVERY_BUCKET);
        }
      }
    }
  });

  test('from off goes up dual-write, shadow-read, cutover, retire-old', () => {
    expect(planStage(DIALS_OFF, 'live')).toStrictEqual([
      { dial: 'dual-write', to: EVERY_BUCKET },
      { dial: 'shadow-read', to: EVERY_BUCKET },
      { dial: 'cutover', to: EVERY_BUCKET },
    ]);
    expect(planStage(STAGE_DIALS.complete, 'off')).toStrictEqual([
      { dial: 'retire-old', to: false },
      { dial: 'cutover', to: NOBODY },
      { dial: 'dual-write', to: NOBODY },
    ]);
  });

  test('leaves a dial at all where the stage asks for 100 %', () => {
    const dials: Dials = { dualWrite: ALL, shadowRead: NOBODY, cutover: ALL, retireOld: false };
    expect(planStage(dials, 'rampdown')).toStrictEqual([]);
  });
});

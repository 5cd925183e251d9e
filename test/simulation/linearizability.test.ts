import { describe, expect, test } from 'vitest';
import { type Content, linearizable, type Recorded } from './linearizability.ts';

const op = (
  kind: Recorded['kind'],
  invoked: number,
  answered: number,
  parts: { wrote?: Content; saw?: Content; unknown?: boolean } = {},
): Recorded => ({
  kind,
  invoked,
  answered: parts.unknown === true ? Number.POSITIVE_INFINITY : answered,
  unknown: parts.unknown ?? false,
  wrote: parts.wrote ?? null,
  saw: parts.saw,
});

describe('the judge of histories', () => {
  test.each<[string, boolean, Recorded[]]>([
    ['a read of what was written before', true, [op('write', 0, 1, { wrote: 'a' }), op('read', 2, 3, { saw: 'a' })]],
    ['a read of nothing after a write', false, [op('write', 0, 1, { wrote: 'a' }), op('read', 2, 3, { saw: null })]],
    [
      'concurrent writes in either order',
      true,
      [op('write', 0, 9, { wrote: 'a' }), op('write', 1, 8, { wrote: 'b' }), op('read', 10, 11, { saw: 'a' })],
    ],
    [
      'a value that comes back after it was overwritten',
      false,
      [
        op('write', 0, 1, { wrote: 'a' }),
        op('write', 2, 3, { wrote: 'b' }),
        op('read', 4, 5, { saw: 'b' }),
        op('read', 6, 7, { saw: 'a' }),
      ],
    ],
    [
      'a write of unknown outcome that appears late',
      true,
      [
        op('write', 0, 1, { wrote: 'a' }),
        op('write', 2, 0, { wrote: 'b', unknown: true }),
        op('read', 4, 5, { saw: 'a' }),
        op('read', 6, 7, { saw: 'b' }),
      ],
    ],
    [
      'a write of unknown outcome that never appears',
      true,
      [op('write', 0, 0, { wrote: 'a', unknown: true }), op('read', 4, 5, { saw: null })],
    ],
    [
      'an update that lost another one',
      false,
      [
        op('write', 0, 1, { wrote: 'a' }),
        op('update', 2, 5, { saw: 'a', wrote: 'b' }),
        op('update', 3, 6, { saw: 'a', wrote: 'c' }),
      ],
    ],
    ['a create over a record', false, [op('write', 0, 1, { wrote: 'a' }), op('create', 2, 3, { wrote: 'b' })]],
    ['a create refused where nothing is', false, [op('occupied', 2, 3)]],
    [
      'a deleted record that returns',
      false,
      [op('write', 0, 1, { wrote: 'a' }), op('delete', 2, 3), op('read', 4, 5, { saw: 'a' })],
    ],
    [
      'a delete that found nothing where a record was',
      false,
      [op('write', 0, 1, { wrote: 'a' }), op('delete', 2, 3, { saw: null })],
    ],
  ])('%s: %s', (_, verdict, history) => {
    expect(linearizable(history, null)).toBe(verdict);
  });
});

import { createHash } from 'node:crypto';
import { StructuralHash } from '../../src/core/structural-hash.ts';
import { atMost, type Line, type Result } from '../line.ts';
import { microseconds, type Pairing, paired } from '../paired.ts';

/** About 420 bytes of JSON: a user's event. */
const record = (i: number) => ({
  userKey: `user-${i}`,
  id: `0b7f8f1e-6f3c-4f0e-9d55-${String(i).padStart(12, '0')}`,
  type: 'payment received',
  receivedAt: '2026-03-01T12:34:56.789Z',
  deliveries: i % 7,
  payload: {
    order: i,
    amount: 12.34,
    currency: 'EUR',
    lines: [
      { article: 'a-1', pieces: 2, price: 4.5 },
      { article: 'b-22', pieces: 1, price: 3.34 },
    ],
    address: { street: 'Unter den Linden 1', city: 'Berlin', zip: '10117', country: 'DE' },
    flags: ['gift', 'express'],
    note: null,
    paid: true,
  },
});

/** A value with its fields in order, as JSON.stringify then writes it. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const fields = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(fields.map(([field, item]) => [field, sorted(item)]));
}

/** What was asked for, µs, of a machine on which the other took so long: a slower one is judged by their ratio. */
const MOST = 1.2;
const THERE = 2.7;

function limit({ a, ratio }: Pairing): Result['target'] {
  if (a.median <= MOST) return atMost(a.median, MOST, `under ${MOST} µs`);
  return atMost(ratio.median, MOST / THERE, `under ${MOST} µs where the other takes ${THERE} µs`);
}

/** What a verification does with every record of both stores. */
export const encoding: Line = {
  name: 'encoding',
  async *measure({ rounds, scale }) {
    const calls = Math.ceil(50_000 * scale);
    const records = Array.from({ length: 1_000 }, (_, i) => record(i));
    const at = (i: number) => records[i % records.length];
    const hash = new StructuralHash([1, 2, 3]);
    const lanes = new Int32Array(3);
    const pairing = await paired(
      { name: 'StructuralHash', run: () => microseconds(calls, (i) => hash.record('k', at(i), lanes)) },
      {
        name: 'sorted copy, JSON.stringify, SHA-1',
        run: () =>
          microseconds(calls, (i) =>
            createHash('sha1')
              .update(JSON.stringify(sorted(at(i))))
              .digest('hex'),
          ),
      },
      rounds,
    );
    yield {
      line: 'structural hash of a record of 420 bytes, against sorted copy, stringify, SHA-1',
      compared: 'one hash of one record; ours of 96 bits, telling apart all that the canonical encoding does',
      unit: 'µs',
      pairing,
      target: limit(pairing),
    } satisfies Result;
  },
};

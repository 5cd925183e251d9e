import { describe, expect, it } from 'vitest';
import { KeySpec } from '../../../src/core/record-key.ts';
import { makeStamp } from '../../../src/core/stamp.ts';
import type { Entry } from '../../../src/core/store.ts';
import { HoldingProxy } from '../../support/holding-proxy.ts';
import { testServer } from '../../support/servers.ts';
import { onPostgres } from '../postgres-harness.ts';

const keys = new KeySpec(['id'], ['id']);
const LAST = 400;
/** So much text that the limits of the transaction arrive well before the end of what it writes. */
const batch = (stamp: number): Entry[] =>
  Array.from({ length: LAST + 1 }, (_, n) => {
    const key = { id: `r${n}` };
    const text = `${'x'.repeat(1_000)}${n === LAST ? 'the line stalls here' : ''}`;
    return { id: keys.id(key), key, stamp: makeStamp(stamp, 0, 1), value: { ...key, text } };
  });

describe.skipIf(testServer('postgres').missing !== undefined)('a batch on a line that stalls in its middle', () => {
  it.for([
    ['into nothing', false],
    ['over what is older', true],
  ] as const)('%s is expired as a whole when the rest of it comes after its deadline', async ([, there]) => {
    await using place = await onPostgres('CREATE TABLE things (id text PRIMARY KEY, text text)');
    const direct = await place.open({}, keys);
    await direct.prepare();
    if (there) await direct.putManyIfNewer(batch(5), direct.now() + 60_000);
    const { proxy, url } = await HoldingProxy.to(place.url);
    await using _ = proxy;
    const store = await place.open({ connection: url }, keys);

    proxy.hold('the line stalls here');
    const deadline = store.now() + 1_500;
    const put = store.putManyIfNewer(batch(6), deadline);
    await expect.poll(() => proxy.waiting).toBe(1);
    await expect.poll(() => direct.now(), { interval: 10 }).toBeGreaterThan(deadline + 50);
    proxy.release();
    expect(new Set((await put).map(({ kind }) => kind))).toEqual(new Set(['expired']));
    const ids = Array.from({ length: LAST + 1 }, (_, n) => ({ key: { id: `r${n}` }, id: keys.id({ id: `r${n}` }) }));
    expect(await direct.getMany(ids)).toEqual(there ? batch(5) : ids.map(() => undefined));
    expect(await place.rows('SELECT count(*) FROM things_changeover')).toEqual([[there ? String(LAST + 1) : '0']]);
    await store.close();
  });
});

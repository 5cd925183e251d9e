import { describe, expect, it } from 'vitest';
import { sql } from '../../adapters/sql/index.ts';
import { systemClock } from '../../src/core/clock.ts';
import { InvalidConfiguration } from '../../src/core/errors.ts';
import { KeySpec } from '../../src/core/record-key.ts';
import { identityCodec } from '../../src/core/store.ts';

const keys = new KeySpec(['id'], ['id']);

/** Makes the store of a URL; nothing connects before it is opened. */
async function made(client: 'pg' | 'mysql2', connection: string): Promise<unknown> {
  const definition = sql({ client, connection, table: 'things' });
  const store = await definition.create({
    migration: 'm',
    side: 'old',
    keys,
    codec: identityCodec,
    clock: systemClock,
  });
  await store.close();
  return store;
}

describe.for([
  ['pg', 'postgres'],
  ['pg', 'postgresql'],
  ['mysql2', 'mysql'],
  ['mysql2', 'mariadb'],
] as const)('the URL of a store (%s, %s://)', ([client, scheme]) => {
  it.for(['s@crt/pw', 's/crt', '1234/pw', '12?crt', 's#crt', '12#crt@pw', '99#crt'])(
    'is refused by name, and nothing of it told, where its password (%s) tears it apart',
    async (password) => {
      const refusal = await made(client, `${scheme}://bob:${password}@db/app`).catch((error: unknown) => error);
      expect(refusal).toBeInstanceOf(InvalidConfiguration);
      const { message, expected, remedy, details, cause } = refusal as InvalidConfiguration & { cause?: unknown };
      expect(remedy).toContain('percent-encoding');
      expect(JSON.stringify({ message, expected, remedy, details, cause: String(cause) })).not.toMatch(/crt|12|99|pw/);
    },
  );

  it.for(['bob:s%40crt%23@db:6000/app', 'bob@/app', 'db/app?user=bob@ops', '/app?user=bob@ops', 'bob:a@b@db/app'])(
    'may be %s',
    async (rest) => {
      await expect(made(client, `${scheme}://${rest}`)).resolves.toBeDefined();
    },
  );
});

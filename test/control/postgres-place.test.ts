import { describe, expect, it } from 'vitest';
import { postgresPlace } from '../../src/control/postgres-place.ts';
import { InvalidConfiguration } from '../../src/core/errors.ts';

describe('the place of a control plane on PostgreSQL', () => {
  it('is named without its password', () => {
    const { label, schema, connectionString } = postgresPlace('postgres://bob:s%40crt@db:5432/app?schema=ops');
    expect([label, schema]).toEqual(['the control database app on db:5432 (schema ops)', 'ops']);
    expect(connectionString).toBe('postgres://bob:s%40crt@db:5432/app');
  });

  it('may be a socket, with nobody before the path', () => {
    const { label, connectionString } = postgresPlace('postgres://bob:s%40crt@/app?host=/run/postgresql&user=bob@ops');
    expect(label).toBe('the control database app on /run/postgresql');
    expect(connectionString).toBe('postgres://bob:s%40crt@localhost/app?host=%2Frun%2Fpostgresql&user=bob%40ops');
  });

  it.for(['s@crt/pw', 's/crt', '1234/pw', '12?crt', '12#crt@pw', '12#crt=pw'])(
    'is refused, and nothing of it told, where its password (%s) tears the URL apart',
    (password) => {
      let refusal: unknown;
      try {
        postgresPlace(`postgres://bob:${password}@db:5432/app`);
      } catch (error) {
        refusal = error;
      }
      expect(refusal).toBeInstanceOf(InvalidConfiguration);
      const told = JSON.stringify(refusal, ['message', 'expected', 'remedy', 'details']);
      expect(told).toContain('percent-encoding');
      expect(told).not.toMatch(/crt|12|pw/);
    },
  );
});

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { memory } from '../../adapters/memory/index.ts';
import { checkedOidc, claimAt, grantOf, type OidcOptions, PERSON_ROLES, personOf } from '../../src/core/sign-in.ts';
import { defineConfig, migration } from '../../src/index.ts';

const OPTIONS: OidcOptions = {
  issuer: 'https://login.example.com/realms/ops',
  clientId: 'changeover',
  clientSecret: 'secret',
  url: 'https://changeover.example.com/',
  roles: {
    everyone: 'viewer',
    sre: 'operator',
    dba: 'admin',
    payments: { role: 'operator', migrations: ['payments'] },
    orders: { role: 'operator', migrations: ['orders', 'payments'] },
  },
};
const checked = checkedOidc(OPTIONS);
const grant = (groups: unknown, roles: OidcOptions['roles'] = OPTIONS.roles) =>
  grantOf({ groups }, checkedOidc({ ...OPTIONS, roles }));

describe('the configuration of OpenID Connect', () => {
  test('has defaults that suit most providers', () => {
    expect(checked).toMatchObject({
      url: 'https://changeover.example.com',
      name: 'login.example.com',
      scopes: ['openid', 'email', 'profile'],
      claim: 'groups',
    });
    expect(checkedOidc({ ...OPTIONS, issuer: 'http://localhost:9000' }).issuer).toBe('http://localhost:9000/');
  });

  test.each<[string, Partial<Record<keyof OidcOptions, unknown>>, RegExp]>([
    ['an issuer without TLS', { issuer: 'http://login.example.com' }, /issuer/],
    ['an issuer that only begins like this host', { issuer: 'http://127.0.0.1.example.com' }, /issuer/],
    ['no issuer', { issuer: undefined }, /issuer/],
    ['an own address with a query', { url: 'https://changeover.example.com/?to=x' }, /url/],
    ['an own address with a password', { url: 'https://a:b@changeover.example.com' }, /url/],
    ['no client', { clientId: ' ' }, /client id/],
    ['a secret whose variable is empty', { clientSecret: '' }, /client secret/],
    ['no roles', { roles: {} }, /role/],
    ['a role that there is not', { roles: { dba: 'root' } }, /"dba"/],
    ['the role of processes', { roles: { dba: 'service' } }, /"dba"/],
    ['no migration', { roles: { dba: { role: 'admin', migrations: [] } } }, /"dba"/],
    ['two scopes in one', { scopes: ['email groups'] }, /scopes/],
  ])('refuses %s, and never says the secret', (_, wrong, message) => {
    const options = { ...OPTIONS, clientSecret: 'hush-hush', ...wrong } as OidcOptions;
    expect(() => checkedOidc(options)).toThrow(expect.objectContaining({ code: 'INVALID_CONFIGURATION' }));
    expect(() => checkedOidc(options)).toThrow(message);
    expect(() => checkedOidc(options)).not.toThrow(/hush-hush/);
  });

  test('is checked with the rest, also for migrations that there are not', () => {
    const orders = migration<{ id: string }>({ key: 'id', unit: 'id', old: memory(), new: memory() });
    const define = (oidc: OidcOptions) => () => defineConfig({ control: 'memory', oidc, migrations: { orders } });
    expect(define(OPTIONS)).toThrow(/no migration "payments"/);
    expect(define({ ...OPTIONS, roles: { '*': 'viewer' } })().oidc?.clientId).toBe('changeover');
    expect(define({ ...OPTIONS, issuer: '' })).toThrow(/issuer/);
  });
});

describe('what claims allow', () => {
  test.each([
    [['everyone', 'dba', 'sre'], 'admin', null],
    [['sre'], 'operator', null],
    ['everyone', 'viewer', null],
    [['payments'], 'operator', ['payments']],
    [['payments', 'orders'], 'operator', ['payments', 'orders']],
    [['orders', 'sre'], 'operator', null],
    [['everyone', 'payments'], 'operator', ['payments']],
  ])('%j is %s', (groups, role, migrations) => {
    expect(grant(groups)).toEqual({ role, migrations });
  });

  test.each([
    [undefined],
    [null],
    [[]],
    ['SRE'],
    [['*']],
    [['__proto__', 'constructor', 'toString']],
    [{ sre: true }],
    [[['sre']]],
    [42],
  ])('%j is nobody', (groups) => {
    expect(grant(groups)).toBe(null);
  });

  test('everybody is whoever signed in, and a group of that name nobody', () => {
    expect(grant(undefined, { '*': 'viewer', sre: 'operator' })).toEqual({ role: 'viewer', migrations: null });
    expect(grant(['sre'], { '*': 'viewer', sre: 'operator' })).toEqual({ role: 'operator', migrations: null });
    expect(grant(['*'], { sre: 'operator' })).toBe(null);
  });

  test('never is more than the highest of the groups, in whatever order they come', () => {
    const names = Object.keys(OPTIONS.roles);
    fc.assert(
      fc.property(fc.shuffledSubarray(names), (groups) => {
        const ranks = groups.map((name) => PERSON_ROLES.indexOf(checked.roles[name]?.role ?? 'viewer'));
        const found = grant(groups);
        expect(found === null ? -1 : PERSON_ROLES.indexOf(found.role)).toBe(Math.max(-1, ...ranks));
        expect(grant(groups.toReversed())?.migrations?.toSorted()).toEqual(found?.migrations?.toSorted());
      }),
    );
  });

  test('are found by their name or along a path', () => {
    const claims = { 'https://example.com/roles': ['a'], realm_access: { roles: ['b'] }, 'x.y': 'c', x: { y: 'd' } };
    expect(claimAt(claims, 'https://example.com/roles')).toEqual(['a']);
    expect(claimAt(claims, 'realm_access.roles')).toEqual(['b']);
    expect(claimAt(claims, 'x.y')).toBe('c');
    expect(claimAt(claims, '__proto__.constructor')).toBe(undefined);
    expect(claimAt({ groups: 'text' }, 'groups.length')).toBe(undefined);
  });
});

describe('what somebody is called', () => {
  test.each([
    [{ sub: '7', email: 'ada@example.com', email_verified: true }, 'ada@example.com'],
    [{ sub: '7', email: 'ada@example.com', email_verified: false }, '7 of login.example.com'],
    [{ sub: '7', email: 'ada@example.com', email_verified: 'true' }, '7 of login.example.com'],
    [{ sub: '7', email: 'ada@example.com' }, '7 of login.example.com'],
    [{ sub: 'a\nb\u0000' }, 'a b  of login.example.com'],
    [{ sub: 7 }, null],
  ])('%j is %s', (claims, name) => {
    expect(personOf(claims, checked)).toBe(name);
  });
});

import { describe, expect, it } from 'vitest';
import { KeySpec } from '../../src/core/record-key.ts';
import type { Finding } from '../../src/core/store.ts';
import { testServer } from '../support/servers.ts';
import { type MysqlPlace, onMysql } from './mysql-harness.ts';

const { missing } = testServer('mysql');
const keys = new KeySpec(['id'], ['id']);
const SIMPLE =
  'CREATE TABLE things (id VARCHAR(20) PRIMARY KEY, n INT) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci';

describe.skipIf(missing !== undefined)('an inspection', () => {
  const findings = async (place: MysqlPlace, table = 'things'): Promise<Map<string, Finding>> => {
    const store = await place.open({ table }, keys);
    const inspection = await store.inspect?.();
    return new Map(inspection?.findings.map((found) => [found.name, found]));
  };

  it('names what may refuse or change mirrored writes, with the statement that ends it', async () => {
    await using place = await onMysql(
      'CREATE TABLE parents (p INT PRIMARY KEY)',
      `CREATE TABLE things (id VARCHAR(20) PRIMARY KEY, n INT, p INT, slug VARCHAR(9), j JSON, UNIQUE KEY by_slug (slug), CONSTRAINT positive CHECK (n > 0),
       CONSTRAINT parent FOREIGN KEY (p) REFERENCES parents (p) ON DELETE CASCADE) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci`,
      'CREATE TABLE children (c INT PRIMARY KEY, thing VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci, other VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci, CONSTRAINT gone FOREIGN KEY (thing) REFERENCES things (id) ON DELETE SET NULL, CONSTRAINT held FOREIGN KEY (other) REFERENCES things (id))',
      'CREATE TRIGGER watch AFTER INSERT ON things FOR EACH ROW SET @watched = 1',
      'CREATE EVENT cleanup ON SCHEDULE EVERY 1 YEAR STARTS NOW() + INTERVAL 1 YEAR DO DELETE FROM things WHERE n = 0',
    );
    const found = await findings(place);
    expect([...found.keys()].sort()).toEqual([
      'cascade:children.gone',
      'cascade:parent',
      'check:positive',
      'foreign-key:children.held',
      'foreign-key:parent',
      'trigger:watch',
      'ttl:event.cleanup',
      'unique:PRIMARY',
      'unique:by_slug',
    ]);
    expect([...found.values()].every(({ level }) => level === 'risk')).toBe(true);
    const remedies = [
      'ttl:event.cleanup',
      'trigger:watch',
      'cascade:children.gone',
      'foreign-key:children.held',
      'foreign-key:parent',
      'check:positive',
      'unique:by_slug',
    ];
    for (const name of remedies) await place.exec(found.get(name)?.remedy ?? '');
    expect([...(await findings(place)).keys()]).toEqual(['unique:PRIMARY']);
    await place.exec('ALTER TABLE things MODIFY id VARCHAR(20) CHARACTER SET utf8mb4 COLLATE BYTEWISE');
    expect([...(await findings(place)).keys()]).toEqual([]);
  });

  it('names what cannot work at all', async () => {
    await using place = await onMysql(
      'CREATE TABLE things (id VARBINARY(20) PRIMARY KEY, n INT, must INT NOT NULL) ENGINE = MyISAM',
    );
    const store = await place.open({ columns: { id: { type: 'bytes' }, n: 'n' } }, keys);
    const problems = (await store.inspect?.())?.findings.filter(({ level }) => level === 'problem');
    expect(problems?.map(({ name }) => name)).toEqual(['topology:engine', 'check:not-null.must']);
  });

  it('names what the account may not do', async ({ skip }) => {
    await using place = await onMysql(SIMPLE);
    const url = new URL(place.url);
    const user = `u_${url.pathname.slice(1, 20)}`;
    await place.exec(`CREATE USER '${user}'@'%' IDENTIFIED BY 'secret'`);
    const granted = await place.exec(`GRANT SELECT, UPDATE ON ${url.pathname.slice(1)}.* TO '${user}'@'%'`).then(
      () => true,
      () => false,
    );
    try {
      if (!granted) return skip('the account of the tests may not grant anything');
      url.username = user;
      url.password = 'secret';
      const store = await place.open({ connection: url.href }, keys);
      const names = (await store.inspect?.())?.findings
        .filter(({ level }) => level === 'problem')
        .map(({ name }) => name);
      expect(names).toEqual(['permission:insert', 'permission:delete', 'permission:create']);
      await expect(store.prepare()).rejects.toMatchObject({ code: 'STORE_FAULT', outcome: 'nothing-written' });
    } finally {
      await place.exec(`DROP USER '${user}'@'%'`);
    }
  });
});

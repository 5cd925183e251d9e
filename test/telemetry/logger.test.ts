import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';

const root = join(import.meta.dirname, '../..');

/** Runs a module in a process of its own and gives the JSON lines that it logged. */
async function logged(body: string): Promise<Record<string, unknown>[]> {
  const script = `
    import { defineConfig, migration, open } from '${root}/src/index.ts';
    import { memory } from '${root}/adapters/memory/index.ts';
    import { createLogger } from '${root}/src/telemetry/logger.ts';
    import { StoreFault } from '${root}/src/core/errors.ts';
    ${body}`;
  const { stderr } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], { cwd: root });
  return stderr
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

describe('logs', () => {
  test('say of every operation at level debug where it went and why, and nothing of the record', async () => {
    const lines = await logged(`
      const events = migration({ key: ['user', 'id'], unit: 'user', old: memory(), new: memory() });
      const service = await open(defineConfig({ control: 'memory', migrations: { events } }), { logger: 'debug' });
      await service.repository('events').put({ user: 'ada', id: 'secret-id', note: 'secret-note' });
      await service.repository('events').get({ user: 'ada', id: 'secret-id' });
      await service.close();`);
    const routed = lines.filter(({ msg }) => msg === 'routed');
    expect(routed.map(({ operation }) => operation)).toEqual(['write', 'read']);
    for (const line of routed) {
      expect(line).toMatchObject({ migration: 'events', stage: 'off', authority: 'old', revision: 1 });
      expect(line['reason']).toContain('not below dual-write');
    }
    expect(JSON.stringify(lines)).not.toContain('secret');
  });

  test('quote our own errors, and of those of drivers only kind and code', async () => {
    const lines = await logged(`
      const driver = Object.assign(new Error('mongodb://ada:hunter2@db failed'), { code: 'ECONNREFUSED' });
      const fault = new StoreFault('the store refused the connection', { outcome: 'unknown', cause: driver });
      createLogger('warn').error({ err: fault }, 'no answer');
      createLogger('warn').info({}, 'not at this level');`);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({
      msg: 'no answer',
      err: {
        code: 'STORE_FAULT',
        message: 'the store refused the connection',
        cause: { type: 'Error', code: 'ECONNREFUSED' },
      },
    });
    expect(JSON.stringify(lines)).not.toContain('hunter2');
  });
});

import { mkdir } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { Making } from '../control/control-dialect.ts';
import type { ControlPlaneApi } from '../control/control-plane.ts';
import { systemClock } from '../core/clock.ts';
import { InvalidConfiguration } from '../core/errors.ts';
import { loadOptional } from '../core/optional-packages.ts';
import type { Config } from './config.ts';

/** Memory control planes live as long as their configuration, so that `open` and `control` of one process share it. */
const inMemory = new WeakMap<Config, Promise<ControlPlaneApi>>();

/**
 * Opens the control plane that a configuration names, loading only what that one needs. Unless told otherwise it makes one
 * where there is none, and upgrades none.
 * @throws InvalidConfiguration, ControlUnavailable, NotPrepared
 */
export async function controlPlaneOf(config: Config, prepare: Making = 'fresh'): Promise<ControlPlaneApi> {
  const { control } = config;
  if (control === 'memory') {
    const known = inMemory.get(config) ?? openMemory();
    inMemory.set(config, known);
    return { ...(await known), close: async () => {} };
  }
  if (control.startsWith('sqlite:')) {
    const path = resolve(control.slice('sqlite:'.length).replace(/^\/\/(?=\/)/, ''));
    const { openSqliteControl } = await loadOptional("control: 'sqlite:…'", ['knex', 'better-sqlite3'], () => {
      // Its thread loads them, and could not say so.
      for (const name of ['knex', 'better-sqlite3']) import.meta.resolve(name);
      return import('../control/sqlite-control.ts');
    });
    if (prepare !== false) await mkdir(dirname(path), { recursive: true });
    return openSqliteControl({ path, prepare });
  }
  if (/^postgres(ql)?:/.test(control)) {
    const { openPostgresControl } = await loadOptional(
      "control: 'postgres://…'",
      ['knex', 'pg'],
      () => import('../control/postgres-control.ts'),
    );
    return openPostgresControl({ url: control, prepare });
  }
  if (/^https?:/.test(control)) {
    const { openHttpControl } = await import('../server/http-control-client.ts');
    return openHttpControl<ControlPlaneApi>({ url: control, token: config.token, clock: systemClock });
  }
  throw new InvalidConfiguration(`the control plane ${scheme(control)} is not supported`, {
    expected: "'postgres://host/database', 'sqlite:path', 'https://host' of a server, or 'memory'",
  });
}

/** Without what may be secret. */
const scheme = (control: string): string => /^[a-z]+:/i.exec(control)?.[0].concat('…') ?? 'of this form';

async function openMemory(): Promise<ControlPlaneApi> {
  const { ControlPlane } = await import('../control/control-plane.ts');
  const { memoryStorage } = await import('../control/memory-storage.ts');
  const storage = memoryStorage();
  const plane = new ControlPlane(storage, systemClock);
  return bound(plane, (changed, options) => storage.watch(changed, options));
}

/** The plane's methods as own properties, so that they can be spread. */
function bound(plane: object, watch: ControlPlaneApi['watch']): ControlPlaneApi {
  const methods: Record<string, unknown> = { watch, close: async () => {} };
  for (const name of Object.getOwnPropertyNames(Object.getPrototypeOf(plane))) {
    const method: unknown = (plane as Record<string, unknown>)[name];
    if (name !== 'constructor' && typeof method === 'function') methods[name] = method.bind(plane);
  }
  return methods as unknown as ControlPlaneApi;
}

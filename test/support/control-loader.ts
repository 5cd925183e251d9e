/**
 * A process that opens the control plane of a configuration where some packages are not installed, and prints what it
 * came to and which packages it loaded. argv: the control plane, the packages that are missing, by commas.
 */
import { registerHooks } from 'node:module';
import type { Config } from '../../src/service/config.ts';

const [control = '', missing = ''] = process.argv.slice(2);
const absent = new Set(missing.split(',').filter((name) => name !== ''));
const loaded = new Set<string>();
registerHooks({
  resolve(specifier, context, next) {
    const bare = !/^(?:node:|\.|\/|file:)/.test(specifier);
    if (bare && absent.has(specifier)) {
      throw Object.assign(new Error(`Cannot find package '${specifier}'`), { code: 'ERR_MODULE_NOT_FOUND' });
    }
    if (bare) loaded.add(specifier);
    return next(specifier, context);
  },
});

const { controlPlaneOf } = await import('../../src/service/control-plane-of.ts');
let outcome: unknown = null;
try {
  const plane = await controlPlaneOf({ control, migrations: {} } as Config);
  await plane.close();
} catch (error) {
  outcome = error;
}
process.stdout.write(JSON.stringify({ outcome, loaded: [...loaded] }));

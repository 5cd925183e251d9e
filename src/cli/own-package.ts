import { registerHooks } from 'node:module';

/**
 * Makes `import … from 'changeover'` mean this very package, wherever the configuration lies: a second copy would have
 * classes of its own, and its errors and definitions would not be recognized.
 */
export function resolveOwnPackage(): void {
  registerHooks({
    resolve(specifier, context, next) {
      const own = specifier === 'changeover' || specifier.startsWith('changeover/');
      return next(specifier, own ? { ...context, parentURL: import.meta.url } : context);
    },
  });
}

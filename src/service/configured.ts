import { canonicalHash } from '../core/canonical.ts';
import type { Configured } from '../core/control-client.ts';
import type { StoreDefinition } from '../core/store.ts';
import { type Config, definitionOf } from './config.ts';

/** What this process has configured for each of some migrations, as the fleet compares it. @throws UnknownMigration */
export function configuredOf(config: Config, names: readonly string[]): Readonly<Record<string, Configured>> {
  return Object.fromEntries(
    names.map((name) => {
      const { keys, stores, mapping } = definitionOf(config, name);
      const key = canonicalHash([keys.fields, keys.unitFields]);
      return [name, { key, old: digestOf(stores.old), new: digestOf(stores.new), mapping }];
    }),
  );
}

/** Null where somebody made a client beforehand: where that leads, nobody can tell from its options. */
function digestOf({ adapter, place, mapping }: StoreDefinition): string | null {
  const known = place?.every((part) => part === null || !['object', 'function'].includes(typeof part)) ?? false;
  return known ? canonicalHash([adapter, place, JSON.stringify(mapping)]) : null;
}

export { control, type Control, type UnitRoute } from './service/control.ts';
export {
  type Config,
  type ConfigOptions,
  defineConfig,
  type MigrationDefinition,
  type MigrationOptions,
  migration,
} from './service/config.ts';
export { type Changeover, open, type OpenOptions } from './service/open.ts';
export * from './core/errors.ts';
export { Decimal, type Key, type KeyPart, type StoredRecord, type Value } from './core/value.ts';
export { dialValue, parseDialValue, type DialName, type DialValue, type Threshold } from './core/dial.ts';
export type { DialMove, Stage } from './core/stage.ts';
export type { Codec, Store, StoreContext, StoreDefinition } from './core/store.ts';

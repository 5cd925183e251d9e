export { type DialName, type DialValue, dialValue, parseDialValue, type Threshold } from './core/dial.ts';
export * from './core/errors.ts';
export type { DialMove, Stage } from './core/stage.ts';
export type { Codec, Store, StoreContext, StoreDefinition } from './core/store.ts';
export { Decimal, type Key, type KeyPart, type StoredRecord, type Value } from './core/value.ts';
export {
  type Config,
  type ConfigOptions,
  defineConfig,
  type MigrationDefinition,
  type MigrationOptions,
  migration,
} from './service/config.ts';
export { type Control, control, type UnitRoute } from './service/control.ts';
export { type Changeover, type OpenOptions, open } from './service/open.ts';

export { sql } from './definition.ts';
export type { ColumnOption, FieldType, SqlOptions } from './options.ts';

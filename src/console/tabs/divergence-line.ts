import type { DivergenceRow } from '../../server/api-types.ts';

export const KINDS = ['different', 'missing', 'extra', 'stale'] as const;

/** The key as people know it: its fields' values. */
export const keyText = ({ key }: DivergenceRow): string =>
  Object.values(key)
    .map((value) => (typeof value === 'string' ? value : JSON.stringify(value)))
    .join(' : ');

/** What differs, short. */
export function whatText({ kind, fields }: DivergenceRow): string {
  if (kind === 'stale') return 'older version';
  if (kind !== 'different') return 'entry';
  const [first] = fields;
  return fields.length === 1 && first !== undefined ? first.path : `${fields.length} fields`;
}

/** A value as far as it may be shown. */
export function valueText(value: unknown): string {
  if (value === undefined) return 'absent';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

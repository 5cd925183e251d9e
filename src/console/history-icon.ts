import type { HistoryLine } from '../server/api-types.ts';
import type { IconName } from './parts/icon.tsx';

const ICONS: Readonly<Record<string, IconName>> = {
  move: 'dial',
  handover: 'dial',
  refusal: 'cross',
  refused: 'cross',
  emergency: 'back',
  rollback: 'back',
  settings: 'gear',
  cohort: 'dial',
  backfill: 'replay',
  replay: 'replay',
  repair: 'replay',
  verify: 'check',
  verification: 'check',
  ramp: 'ramp',
};

const TONES: Readonly<Record<string, string>> = { refusal: 'bad', refused: 'bad', emergency: 'warn', rollback: 'warn' };

/** A line of the history at a glance; the word stands beside it. */
export function historyIcon({ kind }: Pick<HistoryLine, 'kind'>): { readonly icon: IconName; readonly tone?: string } {
  const tone = TONES[kind];
  return { icon: ICONS[kind] ?? 'info', ...(tone === undefined ? {} : { tone }) };
}

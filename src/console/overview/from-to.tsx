import type { MigrationOverview } from '../../server/api-types.ts';
import { dialText } from '../dial-value.ts';
import { Icon } from '../parts/icon.tsx';

export type DialValueOf = MigrationOverview['dials'][keyof MigrationOverview['dials']];

export function FromTo({
  dial,
  from,
  to,
}: {
  readonly dial: string;
  readonly from: DialValueOf;
  readonly to: DialValueOf;
}) {
  return (
    <span class="from-to">
      {dial} <span>{dialText(from)}</span>
      <Icon name="to" word="to" />
      <span class="to">{dialText(to)}</span>
    </span>
  );
}

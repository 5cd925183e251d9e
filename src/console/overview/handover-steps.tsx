import type { MigrationOverview } from '../../server/api-types.ts';
import { count } from '../wording.ts';

export type Handover = NonNullable<MigrationOverview['handover']>;

/** The four steps of a fenced handover, and the one that it is at. */
function stepOf({ movedAt, cancelled }: Handover, allAcknowledged: boolean, dirty: number): number {
  if (cancelled || movedAt !== null) return movedAt !== null && allAcknowledged ? 3 : 2;
  return allAcknowledged && dirty > 0 ? 1 : allAcknowledged ? 2 : 0;
}

export function HandoverSteps({
  status,
  handover,
}: {
  readonly status: MigrationOverview;
  readonly handover: Handover;
}) {
  const { fleet, dirty } = status;
  const at = stepOf(handover, fleet.acknowledged >= fleet.nodes, dirty.ranges);
  const steps = [
    ['Hold', `${fleet.acknowledged} of ${fleet.nodes} acknowledged`],
    ['Drain', `${count(dirty.ranges)} dirty`],
    ['New authority', 'writes still held'],
    ['Release', ''],
  ] as const;
  return (
    <ol class="steps">
      {steps.map(([name, note], step) => (
        <li
          key={name}
          class={step < at ? 'done' : step === at ? 'now' : ''}
          aria-current={step === at ? 'step' : undefined}
        >
          <b>{name}</b>
          {note}
        </li>
      ))}
    </ol>
  );
}

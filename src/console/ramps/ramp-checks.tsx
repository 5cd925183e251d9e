import type { RampView } from '../../server/api-types.ts';
import { Icon } from '../parts/icon.tsx';

type Check = RampView['checks'][number];

const LOOKS = {
  kept: { icon: 'check', tone: 'good', word: 'kept' },
  broken: { icon: 'cross', tone: 'bad', word: 'broken' },
  open: { icon: 'clock', tone: 'muted', word: 'open' },
} as const satisfies Record<Check['state'], unknown>;

/** How the new store does beside the old one, each with the numbers that say so. */
export function RampChecks({ ramp: { checks, finishedAt } }: { readonly ramp: RampView }) {
  if (checks.length === 0) {
    const words =
      finishedAt === null ? 'Nothing was judged yet: that begins when a step is in force.' : 'Nothing was judged.';
    return <p class="soft">{words}</p>;
  }
  return (
    <ul class="gates" aria-label="Budgets">
      {checks.map(({ check, state, evidence }) => {
        const { icon, tone, word } = LOOKS[state];
        return (
          <li key={check}>
            <Icon name={icon} tone={tone} />
            <b>
              {check} <span class={`plain ${tone}`}>{word}</span>
            </b>
            <span class="ev">{evidence}</span>
          </li>
        );
      })}
    </ul>
  );
}

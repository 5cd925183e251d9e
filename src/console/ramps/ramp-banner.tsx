import type { RampView } from '../../server/api-types.ts';
import { dialText } from '../dial-value.ts';
import { Moment } from '../parts/clock.tsx';
import { Icon } from '../parts/icon.tsx';
import { brokenWords } from './ramp-plan.ts';
import { markSeen, wasSeen } from './seen-ramps.ts';

/** A ramp that went back, or is going back, by itself; it stays above the page until somebody has seen it. */
export function RampBanner({ ramps }: { readonly ramps: readonly RampView[] }) {
  const ramp = ramps.find(({ state }) => state === 'returning' || state === 'returned');
  if (ramp === undefined || wasSeen(ramp)) return null;
  const { migration, dial, start, steps, step, checks, note, finishedAt } = ramp;
  const way = `${dialText(steps[step] ?? start)} → ${dialText(start)}`;
  const broken = brokenWords({ checks });
  return (
    <div class="banner bad" role="alert">
      <Icon name="back" />
      <div>
        {finishedAt === null ? (
          <b>
            {dial} is going back by itself, {way}.
          </b>
        ) : (
          <b>
            {dial} went back by itself, {way}, at <Moment at={finishedAt} long />.
          </b>
        )}{' '}
        {broken !== '' && `A budget was broken: ${broken}. `}
        {finishedAt !== null
          ? 'The ramp has ended: mend what was broken, then begin another one.'
          : note !== broken && note}
      </div>
      <div class="end">
        <a class="btn s" href={`/migrations/${migration}/history`}>
          Evidence in the history
        </a>
        {finishedAt !== null && (
          <button type="button" class="btn s" onClick={() => markSeen(ramp)}>
            I have seen it
          </button>
        )}
      </div>
    </div>
  );
}

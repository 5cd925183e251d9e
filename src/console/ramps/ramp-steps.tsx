import type { RampView } from '../../server/api-types.ts';
import { dialText } from '../dial-value.ts';
import { now } from '../parts/clock.tsx';
import { clockMinute, clockTime, duration } from '../wording.ts';
import { roundDuration } from './ramp-plan.ts';

/** A shorter hold is told to the second. */
const LEAST_MINUTES_MS = 5 * 60_000;

/** What is left of the hold of the step that is on, ms; null while none is counted. */
export const holdLeft = ({ state, stepSince, holdMs }: RampView, at: number): number | null =>
  state === 'running' && stepSince !== null ? Math.max(stepSince + holdMs - at, 0) : null;

/** What to say of the step that is on. */
function present(ramp: RampView): string {
  const { state, stepSince, note } = ramp;
  if (state === 'running' && stepSince === null) return note === null ? 'on its way' : 'waits';
  if (state === 'running') {
    const left = holdLeft(ramp, now.value) ?? 0;
    return left === 0 ? 'hold is over' : `${duration(left)} left`;
  }
  return { paused: 'paused', returning: 'broken', returned: 'broken', stopped: 'stopped', done: 'clean' }[state];
}

/** The steps, the one that is on, and when the others are due at the earliest. */
export function RampSteps({ ramp }: { readonly ramp: RampView }) {
  const { steps, step, state, stepSince, holdMs } = ramp;
  const due = (index: number): string =>
    state === 'running' && stepSince !== null
      ? `from ${(holdMs < LEAST_MINUTES_MS ? clockTime : clockMinute)(Math.max(stepSince + holdMs, now.value) + holdMs * (index - step - 1))}`
      : '';
  return (
    <ol class="steps many">
      {steps.map((value, index) => {
        const past = index < step || state === 'done';
        const on = index === step && !past;
        return (
          <li
            key={dialText(value)}
            class={past ? 'done' : !on ? '' : state === 'returning' || state === 'returned' ? 'broken' : 'now'}
            aria-current={on && ramp.finishedAt === null ? 'step' : undefined}
          >
            <b>{dialText(value)}</b>
            {past ? `clean, ${roundDuration(holdMs)}` : on ? present(ramp) : due(index)}
          </li>
        );
      })}
    </ol>
  );
}

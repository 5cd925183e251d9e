import type { RampView } from '../../server/api-types.ts';
import { dialText } from '../dial-value.ts';
import { Moment } from '../parts/clock.tsx';
import { Icon } from '../parts/icon.tsx';
import { Panel, Scroll } from '../parts/panel.tsx';
import { actorName, duration } from '../wording.ts';
import { roundDuration } from './ramp-plan.ts';

const LOOKS = {
  running: { icon: 'ramp', tone: '', word: 'under way' },
  paused: { icon: 'pause', tone: '', word: 'paused' },
  returning: { icon: 'back', tone: 'bad', word: 'going back' },
  returned: { icon: 'back', tone: 'bad', word: 'went back by itself' },
  stopped: { icon: 'info', tone: '', word: 'stopped' },
  done: { icon: 'check', tone: 'good', word: 'done' },
} as const;

/** The ramps that there were, newest first; none, no list. */
export function RampList({ ramps }: { readonly ramps: readonly RampView[] }) {
  if (ramps.length === 0) return null;
  return (
    <Panel title="Ramps">
      <Scroll label="Ramps">
        <table>
          <thead>
            <tr>
              <th scope="col">Ramp</th>
              <th scope="col">State</th>
              <th scope="col" class="p2">
                Steps
              </th>
              <th scope="col" class="p3">
                Began
              </th>
              <th scope="col">How it stands, or ended</th>
            </tr>
          </thead>
          <tbody>
            {ramps.map((ramp) => (
              <Row key={ramp.id} ramp={ramp} />
            ))}
          </tbody>
        </table>
      </Scroll>
    </Panel>
  );
}

function Row({ ramp }: { readonly ramp: RampView }) {
  const { id, dial, state, start, steps, step, holdMs, actor, reason, note, startedAt, finishedAt } = ramp;
  const { icon, tone, word } = LOOKS[state];
  return (
    <tr>
      <th scope="row">
        {id} {dial}
        <small>
          {dialText(start)} → {steps.map(dialText).at(-1)}
        </small>
      </th>
      <td>
        <span class={`tag ${tone}`}>
          <Icon name={icon} />
          {word}
        </span>
      </td>
      <td class="p2">
        {Math.min(step + 1, steps.length)} of {steps.length}
        <small>each {roundDuration(holdMs)}</small>
      </td>
      <td class="p3 nowrap">
        <Moment at={startedAt} long />
        <small>{finishedAt === null ? 'not at its end' : `took ${duration(finishedAt - startedAt)}`}</small>
      </td>
      <td>
        {note ?? 'nothing stands against it'}
        <small>
          {actorName(actor)}: “{reason}”
        </small>
      </td>
    </tr>
  );
}

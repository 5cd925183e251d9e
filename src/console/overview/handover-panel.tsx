import { useSignal } from '@preact/signals';
import type { MigrationOverview } from '../../server/api-types.ts';
import { ask, describeError, may, pathOf } from '../api.ts';
import { CHANGE_PANEL } from '../change.ts';
import { dialValueOf } from '../dial-value.ts';
import { liveFeed } from '../live-feed.ts';
import { Moment } from '../parts/clock.tsx';
import { Panel } from '../parts/panel.tsx';
import { actorName } from '../wording.ts';
import { Acknowledgements } from './applying.tsx';
import { FromTo } from './from-to.tsx';
import { type Handover, HandoverSteps } from './handover-steps.tsx';

interface HandoverPanelProps {
  readonly status: MigrationOverview;
  readonly handover: Handover;
}

/** A handover that was begun elsewhere. Where nobody drives it any more, anybody may go on with it or undo it. */
export function HandoverPanel({ status, handover }: HandoverPanelProps) {
  const reason = useSignal('');
  const trouble = useSignal<string | null>(null);
  const act = async (path: '/handover/finish' | '/handover/cancel'): Promise<void> => {
    try {
      await ask(pathOf(status.migration, path), { body: { reason: reason.value } });
      trouble.value = null;
    } catch (error) {
      trouble.value = describeError(error);
    }
    liveFeed.poke();
  };
  const idle = reason.value.trim() === '';
  return (
    <Panel
      id={CHANGE_PANEL}
      class="c5"
      title={handover.kind === 'emergency' ? 'Emergency roll-back' : 'Handover'}
      footer={
        may('operator') && (
          <>
            <label class="field">
              <span>Reason</span>
              <input
                type="text"
                value={reason.value}
                onInput={(event) => {
                  reason.value = event.currentTarget.value;
                }}
              />
            </label>
            <button type="button" class="btn" disabled={idle} onClick={() => void act('/handover/finish')}>
              Go on with it
            </button>
            {handover.kind === 'fenced' && (
              <button type="button" class="btn" disabled={idle} onClick={() => void act('/handover/cancel')}>
                Undo it
              </button>
            )}
          </>
        )
      }
    >
      <div class="body stack">
        <div class="row">
          <FromTo dial="cutover" from={dialValueOf(handover.from)} to={dialValueOf(handover.to)} />
          <span class="muted end">
            by {actorName(handover.actor)}, since <Moment at={handover.startedAt} long />
          </span>
        </div>
        <p class="soft">
          “{handover.reason}”{handover.cohort !== null && `: the unit ${handover.cohort.unit}`}
          {handover.cancelled && ' · it is being undone'}
        </p>
        <HandoverSteps status={status} handover={handover} />
        <Acknowledgements migration={status.migration} revision={status.revision} />
        {trouble.value !== null && (
          <p class="bad" role="alert">
            {trouble.value}
          </p>
        )}
      </div>
    </Panel>
  );
}

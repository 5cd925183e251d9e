import type { AcknowledgementView, Job, MigrationOverview } from '../../server/api-types.ts';
import { describeError, may, pathOf } from '../api.ts';
import { CHANGE_PANEL, type Change } from '../change.ts';
import { now } from '../parts/clock.tsx';
import { Panel } from '../parts/panel.tsx';
import { useResource } from '../resource.ts';
import { duration } from '../wording.ts';
import { FromTo } from './from-to.tsx';
import { HandoverSteps } from './handover-steps.tsx';

interface ApplyingProps {
  readonly status: MigrationOverview;
  readonly change: Change;
  readonly job: Job;
}

const LOOK_MS = 300;
const MOST_NAMES = 6;
/** More squares than this say less than a number does. */
const MOST_SQUARES = 240;

/** One square a process; those that are waited for are named. */
export function Acknowledgements({ migration, revision }: { readonly migration: string; readonly revision: number }) {
  const path = pathOf(migration, `/acknowledgements?revision=${revision}`);
  const { data, error } = useResource<AcknowledgementView>(path, { everyMs: LOOK_MS });
  const { nodes = 0, acknowledged = 0, waitingFor = [] } = data ?? {};
  const names = waitingFor.slice(0, MOST_NAMES).map(({ name }) => name);
  const more = nodes - acknowledged - names.length;
  return (
    <>
      {nodes <= MOST_SQUARES && (
        <div class="dots" aria-hidden="true">
          {Array.from({ length: nodes }, (_, index) => (
            <i key={index} class={index < acknowledged ? '' : 'no'} />
          ))}
        </div>
      )}
      <p class="soft" aria-live="polite">
        {acknowledged} of {nodes} acknowledged revision {revision}.{' '}
        {names.length > 0 &&
          `Waiting for ${names.join(', ')}${more > 0 ? ` and ${more} more` : ''}. A process acknowledges once nothing that it began before is still running.`}
      </p>
      {error !== undefined && <p class="bad">{describeError(error)}</p>}
    </>
  );
}

/** A move on its way: who has acknowledged, where the handover is. Closing the page stops nothing. */
export function Applying({ status, change, job }: ApplyingProps) {
  const wanted = change.wanted.value;
  const { handover } = status;
  return (
    <Panel
      id={CHANGE_PANEL}
      class="c5"
      title={handover === null ? 'Applying' : handover.cancelled ? 'The handover is undone' : 'Handover'}
      footer={
        <>
          {may('operator') && (
            <button type="button" class="btn" onClick={() => void change.cancel()}>
              Cancel
            </button>
          )}
          <span class="small muted">
            {handover === null
              ? 'Closing this page stops nothing.'
              : 'Cancelled, the handover is undone and its hold released.'}
          </span>
        </>
      }
    >
      <div class="body stack">
        <div class="row">
          {wanted === null ? <b>{job.kind}</b> : <FromTo dial={wanted.dial} from={wanted.from} to={wanted.to} />}
          <span class="muted end">since {duration(Math.max(now.value - job.startedAt, 0))}</span>
        </div>
        {handover !== null && <HandoverSteps status={status} handover={handover} />}
        <Acknowledgements migration={status.migration} revision={status.revision} />
      </div>
    </Panel>
  );
}

import { useSignal } from '@preact/signals';
import type { Job, MigrationOverview, ReplayStatus } from '../../server/api-types.ts';
import { ask, describeError, may, pathOf } from '../api.ts';
import { liveFeed } from '../live-feed.ts';
import { AskReason } from '../parts/ask-reason.tsx';
import { now } from '../parts/clock.tsx';
import { Icon } from '../parts/icon.tsx';
import { Facts, Panel } from '../parts/panel.tsx';
import type { Resource } from '../resource.ts';
import { bothZones, clockTime, count, duration, percent, plural } from '../wording.ts';
import { backfillTarget, replayName, replayShare, replayStanding } from './replay-progress.ts';

interface ReplayPanelProps {
  readonly status: MigrationOverview;
  readonly jobs: Resource<readonly Job[]>;
}

const REPLAYS: ReadonlySet<Job['kind']> = new Set(['backfill', 'repair']);

type Deed = 'backfill' | 'repair' | 'pause' | 'continue' | 'cancel';

/** The replay that is going on, or the way to begin one. */
export function ReplayPanel({ status, jobs }: ReplayPanelProps) {
  const { replay, migration } = status;
  const asking = useSignal<Deed | null>(null);
  const said = useSignal<string | null>(null);
  const failed = jobs.data?.find(({ kind }) => REPLAYS.has(kind));
  const act = async (path: string, body: object): Promise<void> => {
    said.value = null;
    try {
      await ask(path, { body });
    } catch (error) {
      said.value = describeError(error);
    }
    liveFeed.poke();
    jobs.reload();
  };
  const begin = (deed: Deed, reason: string): void => {
    asking.value = null;
    if (deed === 'backfill' || deed === 'repair') {
      const target = deed === 'backfill' ? { target: backfillTarget(status) } : {};
      void act(pathOf(migration, `/${deed}`), { reason, wait: false, ...target });
      return;
    }
    if (replay === null) return;
    const which = { kind: replay.kind, target: replay.target, reason };
    if (deed === 'cancel') void act(pathOf(migration, '/replays/cancel'), which);
    else void act(pathOf(migration, '/replays/pause'), { ...which, paused: deed === 'pause' });
  };
  const button = (deed: 'backfill' | 'repair', name: string) => (
    <button
      type="button"
      class="btn s"
      disabled={!may('operator') || status.finished}
      title={may('operator') ? undefined : 'your role moves nothing'}
      onClick={() => {
        asking.value = deed;
      }}
    >
      {name}
    </button>
  );
  return (
    <Panel
      class="c6"
      title="Replay"
      end={
        <>
          {button(
            'backfill',
            replay?.kind === 'backfill' && replayStanding(replay) === 'nobody runs it' ? 'Go on…' : 'Backfill…',
          )}
          {button('repair', 'Repair…')}
          {replay !== null && may('operator') && (
            <>
              <button
                type="button"
                class="btn s"
                onClick={() => {
                  asking.value = replay.paused ? 'continue' : 'pause';
                }}
              >
                <Icon name="pause" />
                {replay.paused ? 'Let it go on…' : 'Pause…'}
              </button>
              <button
                type="button"
                class="btn s"
                onClick={() => {
                  asking.value = 'cancel';
                }}
              >
                Cancel…
              </button>
            </>
          )}
        </>
      }
    >
      <div class="body stack">
        {asking.value !== null && (
          <AskReason
            key={asking.value}
            does={NAMES[asking.value]}
            begin={(reason) => asking.value !== null && begin(asking.value, reason)}
            leave={() => {
              asking.value = null;
            }}
          />
        )}
        {said.value !== null && (
          <p class="bad" role="alert">
            {said.value}
          </p>
        )}
        {replay === null ? (
          <p class="soft">
            No replay is running. The new store is complete in {percent(status.coverage.new)} of the buckets
            {status.coverage.old < 100 && `, the old one in ${percent(status.coverage.old)}`};{' '}
            {status.dirty.ranges + status.dirty.rejected === 0
              ? 'nothing is dirty'
              : 'what is dirty waits for a repair'}
            .
          </p>
        ) : (
          <Progress replay={replay} />
        )}
        {failed?.state === 'failed' && failed.error !== null && (
          <p class="warn">
            <Icon name="warn" /> The last {failed.kind} ended: {failed.error.detail}
          </p>
        )}
      </div>
    </Panel>
  );
}

const NAMES: Readonly<Record<Deed, string>> = {
  backfill: 'Start the backfill',
  repair: 'Start the repair',
  pause: 'Pause',
  continue: 'Go on',
  cancel: 'Give it up',
};

function Progress({ replay }: { readonly replay: ReplayStatus }) {
  const share = replayShare(replay);
  const { rate, etaMs: left, eased } = replay;
  const name = replayName(replay);
  const standing = replayStanding(replay);
  return (
    <>
      <div class="row">
        <b>{name}</b>
        <span class="soft end">
          {count(replay.scanned)}
          {replay.estimate !== null && ` of about ${count(Math.max(replay.estimate, replay.scanned))}`} records
        </span>
      </div>
      <div
        class="prog"
        role="progressbar"
        aria-label={name}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={share === null ? undefined : Math.round(share)}
        aria-valuetext={share === null ? `${count(replay.scanned)} records` : percent(share)}
      >
        <i style={{ width: `${share ?? 0}%` }} />
      </div>
      <Facts
        of={[
          [
            'Rate',
            <>
              {rate === null ? '–' : `${count(rate)} records/s`}
              {eased !== null && <span class="warn">, eased: {eased}</span>}
            </>,
          ],
          [
            'Time left',
            left === null ? (
              'not known'
            ) : (
              <>
                <b>{duration(left)}</b>, done about{' '}
                <time title={bothZones(now.value + left)}>{clockTime(now.value + left)}</time>
              </>
            ),
          ],
          [
            'Applied',
            `${count(replay.applied)}, already newer ${count(replay.skipped)}, rejected ${count(replay.rejected)}`,
          ],
          ['Partitions', `${replay.partitions.done} of ${replay.partitions.all} done`],
          [
            'Runs',
            standing === 'running' ? (
              plural(Math.max(replay.runners, 1), 'process', 'processes')
            ) : (
              <span class="warn">
                {standing === 'paused' ? 'paused' : 'nobody: it goes on from its checkpoints when it is started again'}
              </span>
            ),
          ],
          replay.failure === null
            ? null
            : [
                'Failed',
                <span key="failed" class="warn">
                  {replay.failure}; tried again
                </span>,
              ],
        ]}
      />
    </>
  );
}

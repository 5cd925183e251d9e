import { useSignal } from '@preact/signals';
import { useRef } from 'preact/hooks';
import type { EmergencyOutlook, Job, MigrationOverview, MoveOutcome, MovePreview } from '../server/api-types.ts';
import { ask, describeError, may, pathOf, session, Unreachable } from './api.ts';
import { segmentsOf, thresholdsOf } from './bucket-states.ts';
import { dialText, NOBODY, thresholdOf } from './dial-value.ts';
import { liveFeed } from './live-feed.ts';
import { BucketStrip } from './parts/bucket-strip.tsx';
import { Gates } from './parts/gates.tsx';
import { Icon } from './parts/icon.tsx';
import { Facts } from './parts/panel.tsx';
import { useResource } from './resource.ts';
import { compact, count, duration, plural } from './wording.ts';

type Way = 'fenced' | 'emergency';

type State =
  | { readonly kind: 'asking' }
  | { readonly kind: 'running'; readonly since: number }
  | { readonly kind: 'done'; readonly outcome: MoveOutcome & { readonly dirty?: MigrationOverview['dirty'] } }
  | { readonly kind: 'failed'; readonly message: string };

const LOOK_MS = 150;

/** Why the red button does nothing, or null. */
function hindrance({ dials, finished }: MigrationOverview): string | null {
  if (!may('operator')) return `the role ${session.value?.role ?? 'viewer'} may not`;
  if (finished) return 'the migration is finished';
  if (liveFeed.state.value.kind === 'lost') return 'the connection is lost; the command stands above';
  if (dials.retireOld) return 'the old store is retired: set retire-old to no first, and backfill it';
  if (thresholdOf(dials.cutover) === NOBODY) return 'the old store leads everywhere';
  return null;
}

/** The one red button; it asks once. */
export function ReturnButton({ status }: { readonly status: MigrationOverview }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const preview = useSignal<MovePreview | null>(null);
  const trouble = useSignal<string | null>(null);
  const state = useSignal<State>({ kind: 'asking' });
  const way = useSignal<Way>('fenced');
  const reason = useSignal('on call: return to old store');
  const why = hindrance(status);

  const open = async (): Promise<void> => {
    state.value = { kind: 'asking' };
    way.value = 'fenced';
    preview.value = null;
    trouble.value = null;
    dialog.current?.showModal();
    try {
      const body = { dial: 'cutover', to: 0 };
      preview.value = await ask<MovePreview>(pathOf(status.migration, '/preview'), { body });
    } catch (error) {
      trouble.value = describeError(error);
    }
  };
  const go = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (state.value.kind === 'running' || reason.value.trim() === '') return;
    state.value = { kind: 'running', since: Date.now() };
    const route = way.value === 'fenced' ? '/rollback' : '/emergency';
    try {
      let job = await ask<Job>(pathOf(status.migration, route), { body: { reason: reason.value, wait: false } });
      while (job.state === 'running') {
        await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
        // A server that does not answer may still be at it: only its word says how it ended.
        job = await ask<Job>(`/jobs/${job.id}`).catch((error: unknown) => {
          if (error instanceof Unreachable) return job;
          throw error;
        });
      }
      state.value =
        job.state === 'done'
          ? { kind: 'done', outcome: job.result as MoveOutcome }
          : { kind: 'failed', message: [job.error?.detail, job.error?.['remedy']].filter(Boolean).join('; try: ') };
    } catch (error) {
      state.value = { kind: 'failed', message: describeError(error) };
    }
    liveFeed.poke();
  };

  return (
    <>
      <button type="button" class="btn back" disabled={why !== null} title={why ?? undefined} onClick={open}>
        <Icon name={why === null || may('operator') ? 'back' : 'lock'} />
        Return to old store
      </button>
      <dialog ref={dialog} class="dialog" aria-labelledby="return-title">
        <form onSubmit={go}>
          <h2 id="return-title">Return {status.migration} to the old store?</h2>
          <Content
            status={status}
            state={state.value}
            way={way.value}
            preview={preview.value}
            trouble={trouble.value}
          />
          {state.value.kind !== 'done' && (
            <>
              <fieldset class="ways" disabled={state.value.kind === 'running'}>
                <legend class="lbl">How</legend>
                {(['fenced', 'emergency'] as const).map((each) => (
                  <label key={each} class="row">
                    <input
                      type="radio"
                      name="way"
                      checked={way.value === each}
                      onChange={() => {
                        way.value = each;
                      }}
                    />
                    <span>
                      {each === 'fenced' ? 'Fenced: nothing is lost' : 'Emergency: the new store hangs or died'}
                    </span>
                  </label>
                ))}
              </fieldset>
              <label class="field">
                <span>Reason (goes to the history)</span>
                <input
                  type="text"
                  required
                  value={reason.value}
                  onInput={(event) => {
                    reason.value = event.currentTarget.value;
                  }}
                />
              </label>
            </>
          )}
          <div class="row">
            {state.value.kind === 'done' ? (
              <button type="button" class="btn" onClick={() => dialog.current?.close()}>
                Close
              </button>
            ) : (
              <>
                {/* biome-ignore lint/a11y/noAutofocus: Enter goes, Esc leaves; at 3 a.m. nobody looks for the button */}
                <button type="submit" class="btn back" autoFocus disabled={state.value.kind === 'running'}>
                  <Icon name="back" />
                  {way.value === 'fenced' ? 'Return to old store' : 'Return at once'}
                </button>
                <button type="button" class="btn" onClick={() => dialog.current?.close()}>
                  {state.value.kind === 'running' ? 'Close; it goes on' : 'Leave as it is'}
                </button>
              </>
            )}
          </div>
        </form>
      </dialog>
    </>
  );
}

interface ContentProps {
  readonly status: MigrationOverview;
  readonly state: State;
  readonly way: Way;
  readonly preview: MovePreview | null;
  readonly trouble: string | null;
}

function Content({ status, state, way, preview, trouble }: ContentProps) {
  const now = segmentsOf(status);
  const then = segmentsOf(status, { ...thresholdsOf(status), cutover: NOBODY });
  if (state.kind === 'done') {
    const { outcome } = state;
    const left = outcome.dirty;
    return (
      <div class="stack" role="status">
        <p>
          <Icon name="check" tone="good" /> The old store leads everything again, in {duration(outcome.tookMs)}, with
          revision {outcome.revision}.
          {outcome.pauseMs !== null && ` Writes waited ${duration(outcome.pauseMs)} at most.`}
        </p>
        {left !== undefined && left.ranges + left.rejected > 0 && (
          <p>
            <Icon name="warn" tone="warn" /> {plural(left.ranges + left.rejected, 'dirty entry', 'dirty entries')} may
            be on the new store only. When it is back: <code>changeover repair {status.migration}</code>
          </p>
        )}
        <BucketStrip thin segments={now} />
      </div>
    );
  }
  const missing = preview?.gates.filter(({ passed }) => !passed) ?? [];
  return (
    <div class="stack">
      <div class="stack tight">
        <span class="lbl">now</span>
        <BucketStrip thin segments={now} />
        <span class="lbl">then</span>
        <BucketStrip thin segments={then} />
      </div>
      {way === 'fenced' ? (
        <Fenced status={status} missing={missing.length} asked={preview !== null} />
      ) : (
        <Emergency status={status} />
      )}
      {way === 'fenced' && missing.length > 0 && <Gates gates={missing} />}
      {trouble !== null && <p class="bad">{trouble}</p>}
      <div aria-live="polite">
        {state.kind === 'running' && <p>Going on since {duration(Date.now() - state.since)} …</p>}
        {state.kind === 'failed' && (
          <p class="bad" role="alert">
            <Icon name="cross" /> {state.message}
          </p>
        )}
      </div>
    </div>
  );
}

interface FencedProps {
  readonly status: MigrationOverview;
  readonly missing: number;
  readonly asked: boolean;
}

function Fenced({ status: { dials, fleet }, missing, asked }: FencedProps) {
  return (
    <Facts
      of={[
        ['Moves', `cutover ${dialText(dials.cutover)} → 0 %`],
        ['Takes', `under a second; all of ${plural(fleet.nodes, 'process', 'processes')} acknowledge`],
        [
          'Loses',
          !asked ? (
            'asking …'
          ) : missing === 0 ? (
            <>
              <b>nothing</b>: the old store has every write
            </>
          ) : (
            <b class="bad">it is refused as things stand: {plural(missing, 'gate')} below</b>
          ),
        ],
        ['Stays', 'mirror and coverage, so going forward again is quick'],
      ]}
    />
  );
}

/** What an emergency would leave behind, as far as anybody knows while the new store says nothing. */
function Emergency({ status: { migration } }: { readonly status: MigrationOverview }) {
  const { data, error } = useResource<EmergencyOutlook>(pathOf(migration, '/emergency'));
  if (data === undefined)
    return (
      <p class={error === undefined ? 'soft' : 'bad'}>{error === undefined ? 'Asking …' : describeError(error)}</p>
    );
  const { behind, mirrorQueue, writesPerSecond, nodes, silent, to, from, gate } = data;
  const known = behind.lines === 0 ? 'nothing that is known now' : plural(behind.lines, 'dirty entry', 'dirty entries');
  const flight = writesPerSecond === null ? '' : `; it takes ${compact(writesPerSecond)} writes/s now`;
  return (
    <>
      <Facts
        of={[
          ['For', 'a new store that hangs or died: the old one leads at once and waits for no answer of the new one'],
          [
            'Moves',
            to === null ? (
              <b class="bad">it is refused as things stand</b>
            ) : (
              `cutover ${dialText(from)} → ${dialText(to)}`
            ),
          ],
          [
            'Leaves behind',
            <>
              <b>{known}</b>, and writes under way that only the new store has answered{flight}. They are invisible
              until the new store is back, and then replayed.
            </>,
          ],
          ['On its way', `${plural(mirrorQueue, 'write')} to the old store, still sent`],
          [
            'Waits for',
            silent.length === 0
              ? plural(nodes, 'process', 'processes')
              : `${plural(nodes, 'process', 'processes')}; not heard lately: ${silent.slice(0, 5).join(', ')}`,
          ],
          ['Answers', 'writes of unknown outcome are answered OutcomeUnknown'],
        ]}
      />
      {behind.first.length > 0 && (
        <details>
          <summary>The first of them</summary>
          <ul class="changes small mono">
            {behind.first.slice(0, 10).map(({ key, from: first, to: end, cause }) => (
              <li key={`${first} ${JSON.stringify(key)}`}>
                {key === null ? `buckets ${count(first)}–${count(end - 1)}` : Object.values(key).join(' : ')}: {cause}
              </li>
            ))}
          </ul>
        </details>
      )}
      {gate !== null && <Gates gates={[gate]} />}
    </>
  );
}

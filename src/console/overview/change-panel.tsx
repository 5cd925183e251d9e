import { useEffect, useRef } from 'preact/hooks';
import type { Job, MigrationOverview } from '../../server/api-types.ts';
import { may } from '../api.ts';
import { CHANGE_PANEL, type Change, KEYS } from '../change.ts';
import { type DialName, dialText } from '../dial-value.ts';
import { Moment } from '../parts/clock.tsx';
import { CopyButton } from '../parts/command-line.tsx';
import { Gates } from '../parts/gates.tsx';
import { Icon } from '../parts/icon.tsx';
import { Facts, Panel } from '../parts/panel.tsx';
import { actorName, duration, plural } from '../wording.ts';
import { Applying } from './applying.tsx';
import { type DialValueOf, FromTo } from './from-to.tsx';
import { HandoverPanel } from './handover-panel.tsx';
import { PreviewBody } from './preview-body.tsx';

interface ChangePanelProps {
  readonly status: MigrationOverview;
  readonly change: Change;
  readonly jobs: readonly Job[];
}

const LOOK_MS = 3_000;
const MOVES: ReadonlySet<Job['kind']> = new Set(['move', 'stage', 'cohort', 'rollback', 'emergency', 'handover']);

/** What a change would do, the reason for it, its progress, and what came of it. */
export function ChangePanel({ status, change, jobs }: ChangePanelProps) {
  const phase = change.phase.value;
  useFocusKept(phase.kind);
  const others = jobs.find(({ kind, state }) => state === 'running' && MOVES.has(kind));
  switch (phase.kind) {
    case 'idle':
      if (others !== undefined) return <Others job={others} change={change} />;
      return status.handover === null ? <Nothing /> : <HandoverPanel status={status} handover={status.handover} />;
    case 'preview':
      return <PreviewPanel status={status} change={change} />;
    case 'applying':
      return <Applying status={status} change={change} job={phase.job} />;
    case 'done':
      return <Done status={status} change={change} phase={phase} />;
    case 'refused':
      return <Refused status={status} change={change} phase={phase} />;
    case 'failed':
      return <Failed status={status} change={change} phase={phase} />;
  }
}

/** The button that led here is gone, and the focus with it: whoever works by keyboard goes on from this panel. */
function useFocusKept(kind: string): void {
  const before = useRef(kind);
  useEffect(() => {
    if (before.current === kind) return;
    before.current = kind;
    if (document.activeElement === document.body) document.getElementById(CHANGE_PANEL)?.focus({ preventScroll: true });
  }, [kind]);
}

function Nothing() {
  return (
    <Panel id={CHANGE_PANEL} class="c5" title="Change">
      <div class="body stack">
        <p class="soft">
          {may('operator')
            ? 'Move a dial to see what it would do: the units, the gates with their evidence, and what mends each. Nothing happens before you apply it.'
            : 'Moves that are going on are shown here.'}
        </p>
      </div>
    </Panel>
  );
}

/** A move that somebody else has begun, on this server. */
function Others({ job, change }: { readonly job: Job; readonly change: Change }) {
  return (
    <Panel
      id={CHANGE_PANEL}
      class="c5"
      title={`${actorName(job.actor)}: a ${job.kind} is going on`}
      footer={
        <button type="button" class="btn s" onClick={() => void change.show(job)}>
          Show its progress
        </button>
      }
    >
      <div class="body stack">
        <p class="soft">
          Since <Moment at={job.startedAt} long />: “{job.reason}”
        </p>
      </div>
    </Panel>
  );
}

function PreviewPanel({ status, change }: Omit<ChangePanelProps, 'jobs'>) {
  // What it would do changes without a revision too: coverage grows, dirt goes.
  useEffect(() => {
    const timer = setInterval(() => change.previewNow(), LOOK_MS);
    return () => clearInterval(timer);
  }, [change]);
  const wanted = change.wanted.value;
  const preview = change.preview.value;
  const trouble = change.previewError.value;
  if (wanted === null) return <Nothing />;
  const current = preview !== null && preview.dial === wanted.dial && preview.to === wanted.to ? preview : null;
  const hard = current?.gates.filter(({ passed, advice }) => !passed && !advice) ?? [];
  const advice = current?.gates.filter(({ passed, advice }) => !passed && advice) ?? [];
  const standing =
    change.reason.value.trim() === ''
      ? 'a reason is required'
      : hard.length > 0
        ? `${plural(hard.length, 'gate')} in the way: it would be refused`
        : advice.length > 0 && !change.force.value
          ? 'advice stands against it: it would be refused'
          : `${plural(status.fleet.nodes, 'process', 'processes')} will acknowledge`;
  const apply = (event: Event): void => {
    event.preventDefault();
    if (current !== null) void change.apply();
  };
  return (
    <Panel
      id={CHANGE_PANEL}
      class="c5"
      title="Change to apply"
      end={<CopyButton text={change.command() ?? ''} label="Copy as command" />}
    >
      <form onSubmit={apply}>
        <div class="body stack">
          <div class="row">
            <FromTo dial={wanted.dial} from={wanted.from} to={wanted.to} />
            <span class="muted">nothing has changed yet</span>
          </div>
          {current === null ? (
            <p class="soft" aria-live="polite">
              {trouble ?? 'Asking the server what it would do …'}
            </p>
          ) : (
            <PreviewBody preview={current} status={status} />
          )}
          {current !== null && trouble !== null && <p class="warn">{trouble}</p>}
          {advice.length > 0 && (
            <label class="row small advice">
              <input
                type="checkbox"
                checked={change.force.value}
                onChange={(event) => {
                  change.force.value = event.currentTarget.checked;
                }}
              />
              Go against the advice of {advice.map(({ gate }) => gate).join(', ')} (--force); no data can be lost by it
            </label>
          )}
          <label class="field">
            <span>Reason (goes to the history)</span>
            <textarea
              rows={2}
              required
              placeholder="Why now?"
              value={change.reason.value}
              onInput={(event) => {
                change.reason.value = event.currentTarget.value;
              }}
            />
          </label>
        </div>
        <footer class="foot-row">
          <button
            type="submit"
            class="btn go"
            disabled={current === null || change.reason.value.trim() === '' || change.busy.value}
          >
            Apply {wanted.dial === 'retire-old' ? 'retire-old ' : ''}
            {dialText(wanted.to)}
          </button>
          <button type="button" class="btn" onClick={() => change.discard()}>
            Discard
          </button>
          <Instead change={change} />
          <span class="small muted end" aria-live="polite">
            {standing}
          </span>
        </footer>
      </form>
    </Panel>
  );
}

/** The furthest value that is allowed, where what is wanted is not. */
function Instead({ change }: { readonly change: Change }) {
  const wanted = change.wanted.value;
  const preview = change.preview.value;
  const to = preview?.furthest ?? null;
  if (wanted === null || to === null || to === wanted.to || to === wanted.from || preview?.allowed === true)
    return null;
  return (
    <button
      type="button"
      class="btn"
      onClick={() => {
        change.phase.value = { kind: 'preview' };
        change.want(wanted.dial, wanted.from, to);
      }}
    >
      Want {dialText(to)} instead
    </button>
  );
}

type PhaseOf<K extends Change['phase']['value']['kind']> = Extract<Change['phase']['value'], { readonly kind: K }>;

interface EndProps<K extends Change['phase']['value']['kind']> extends Omit<ChangePanelProps, 'jobs'> {
  readonly phase: PhaseOf<K>;
}

/** What a job came to: one move, or those of a stage. */
function movesOf(result: unknown): readonly {
  readonly dial: DialName;
  readonly from: DialValueOf;
  readonly to: DialValueOf;
  readonly tookMs: number;
  readonly pauseMs: number | null;
  readonly changed: boolean;
}[] {
  const { moves } = result as { readonly moves?: ReturnType<typeof movesOf> };
  if (Array.isArray(moves)) return moves;
  return typeof (result as { dial?: unknown }).dial === 'string' ? [result as ReturnType<typeof movesOf>[number]] : [];
}

function Done({ status, change, phase: { job, outcome } }: EndProps<'done'>) {
  const moves = movesOf(outcome);
  const last = moves.at(-1);
  const back = (): void => {
    if (last === undefined) return;
    const { dial, from } = last;
    change.discard();
    change.want(dial, status.dials[KEYS[dial]], from);
  };
  const took = moves.reduce((sum, { tookMs }) => sum + tookMs, 0);
  const pauses = moves.map(({ pauseMs }) => pauseMs).filter((pause) => pause !== null);
  return (
    <Panel
      id={CHANGE_PANEL}
      class="c5"
      title={`Revision ${status.revision} is in force`}
      footer={
        <>
          {last !== undefined && may('operator') && (
            <button type="button" class="btn" onClick={back}>
              Back to {dialText(last.from)}
            </button>
          )}
          <button type="button" class="btn quiet" onClick={() => change.discard()}>
            Close
          </button>
          <a href={`/migrations/${status.migration}/history`}>In the history</a>
        </>
      }
    >
      <div class="body stack" role="status">
        <div class="row">
          <Icon name="check" tone="good" />
          <span class="from-to">
            {moves.length === 0
              ? 'nothing to move'
              : moves.map(({ dial, to }) => `${dial} is ${dialText(to)}`).join(', ')}
          </span>
          <span class="muted end">
            {job.finishedAt !== null && <Moment at={job.finishedAt} long />}, by {actorName(job.actor)}
          </span>
        </div>
        <Facts
          of={[
            ['Fleet', `${status.fleet.acknowledged} of ${status.fleet.nodes} acknowledged`],
            ['Took', duration(took)],
            pauses.length === 0
              ? null
              : ['Handover', `writes waited ${duration(Math.max(...pauses))} at most, none failed`],
            ['Reason', `“${job.reason}”`],
          ]}
        />
      </div>
    </Panel>
  );
}

function Refused({ status, change, phase: { message, gates } }: EndProps<'refused'>) {
  const wanted = change.wanted.value;
  const title =
    wanted === null ? 'Refused' : `Refused: ${wanted.dial} stays ${dialText(status.dials[KEYS[wanted.dial]])}`;
  return (
    <Panel
      id={CHANGE_PANEL}
      class="c5"
      title={title}
      footer={
        <>
          <button
            type="button"
            class="btn"
            onClick={() => {
              change.phase.value = wanted === null ? { kind: 'idle' } : { kind: 'preview' };
              change.previewNow();
            }}
          >
            Look again
          </button>
          <Instead change={change} />
          <button type="button" class="btn quiet" onClick={() => change.discard()}>
            Discard
          </button>
          <span class="small muted">Force overrides advice only.</span>
        </>
      }
    >
      <div class="body stack" role="alert">
        <div class="row">
          <Icon name="cross" tone="bad" />
          {wanted === null ? <span>{message}</span> : <FromTo dial={wanted.dial} from={wanted.from} to={wanted.to} />}
          <span class="muted end">nothing changed</span>
        </div>
        <Gates gates={gates} />
      </div>
    </Panel>
  );
}

function Failed({ status, change, phase: { message, cancelled } }: EndProps<'failed'>) {
  const wanted = change.wanted.value;
  const inForce = wanted === null ? null : status.dials[KEYS[wanted.dial]];
  return (
    <Panel
      id={CHANGE_PANEL}
      class="c5"
      title={cancelled ? 'Cancelled' : 'It did not get through'}
      footer={
        <>
          {wanted !== null && inForce === wanted.to && (
            <button
              type="button"
              class="btn"
              onClick={() => {
                change.discard();
                change.want(wanted.dial, inForce, wanted.from);
              }}
            >
              Back to {dialText(wanted.from)}
            </button>
          )}
          <button type="button" class="btn quiet" onClick={() => change.discard()}>
            Close
          </button>
          <a href={`/migrations/${status.migration}/history`}>In the history</a>
        </>
      }
    >
      <div class="body stack" role="alert">
        <p>
          <Icon name={cancelled ? 'info' : 'cross'} {...(cancelled ? {} : { tone: 'bad' })} /> {message}
        </p>
        {wanted !== null && inForce !== null && (
          <p class="soft">
            In force now: {wanted.dial} {dialText(inForce)}, revision {status.revision}.
          </p>
        )}
      </div>
    </Panel>
  );
}

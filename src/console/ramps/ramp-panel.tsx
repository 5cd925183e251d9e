import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { MigrationOverview, RampView } from '../../server/api-types.ts';
import { ask, describeError, pathOf } from '../api.ts';
import { KEYS } from '../change.ts';
import { dialText } from '../dial-value.ts';
import { liveFeed } from '../live-feed.ts';
import { hindrance } from '../overview/dials.tsx';
import { AskReason } from '../parts/ask-reason.tsx';
import { Moment, now } from '../parts/clock.tsx';
import { Gates } from '../parts/gates.tsx';
import { Icon } from '../parts/icon.tsx';
import { Facts, Panel } from '../parts/panel.tsx';
import { actorName, duration } from '../wording.ts';
import { RampChecks } from './ramp-checks.tsx';
import { brokenWords, budgetWords, isUnfinished, proofWords, rampStanding, roundDuration } from './ramp-plan.ts';
import { holdLeft, RampSteps } from './ramp-steps.tsx';
import { useGatesInTheWay } from './use-ramps.ts';

type Steering = 'pause' | 'resume' | 'stop';

const DOES: Readonly<Record<Steering, string>> = { pause: 'Pause', resume: 'Resume', stop: 'Stop the ramp' };

interface RampPanelProps {
  readonly status: MigrationOverview;
  readonly ramp: RampView;
}

/** A ramp: where it is, how long its hold still is, how the new store does, and what it waits for. */
export function RampPanel({ status, ramp }: RampPanelProps) {
  const { dial, state, note, finishedAt } = ramp;
  return (
    <Panel
      title={`Ramp of ${dial}`}
      label={`Ramp of ${dial}`}
      end={
        <span class="small muted">
          ramp {ramp.id} of {actorName(ramp.actor)}, since <Moment at={ramp.startedAt} long />
        </span>
      }
      footer={isUnfinished(ramp) ? <Steer status={status} ramp={ramp} /> : undefined}
    >
      <div class="body ramp">
        <div class="stack">
          <p class="ramp-standing" role={finishedAt === null ? 'status' : undefined}>
            <Icon {...LOOKS[state]} /> <b>{rampStanding(ramp)}</b>
          </p>
          <RampSteps ramp={ramp} />
          <Hold ramp={ramp} />
          <Facts
            of={[
              ramp.stepSince !== null
                ? ['In force', <Moment key="since" at={ramp.stepSince} long />]
                : finishedAt === null
                  ? ['In force', 'not everywhere yet']
                  : null,
              ['Reason', `“${ramp.reason}”`],
              finishedAt === null || note === null ? null : ['Ended', note],
            ]}
          />
          {finishedAt === null && note !== null && note !== brokenWords(ramp) && <Waits ramp={ramp} note={note} />}
        </div>
        <div class="stack">
          <RampChecks ramp={ramp} />
          {finishedAt === null && state !== 'returning' && <Guard ramp={ramp} />}
        </div>
      </div>
    </Panel>
  );
}

const LOOKS = {
  running: { name: 'ramp' },
  paused: { name: 'pause' },
  returning: { name: 'back', tone: 'bad' },
  returned: { name: 'back', tone: 'bad' },
  stopped: { name: 'info' },
  done: { name: 'check', tone: 'good' },
} as const;

function Hold({ ramp }: { readonly ramp: RampView }) {
  const { holdMs, checks } = ramp;
  const left = holdLeft(ramp, now.value);
  if (left === null) return null;
  const share = holdMs === 0 ? 100 : ((holdMs - left) / holdMs) * 100;
  const unproven = checks.some(({ state }) => state === 'open') && proofWords(ramp.budgets) !== null;
  const words =
    left > 0
      ? `${duration(left)} of ${roundDuration(holdMs)} left`
      : unproven
        ? `over; it goes on once ${proofWords(ramp.budgets)}`
        : 'over; it goes on now';
  return (
    <div class="stack tight">
      <div
        class="prog intent"
        role="progressbar"
        aria-label="Hold"
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={Math.round(share)}
        aria-valuetext={words}
      >
        <i style={{ width: `${share}%` }} />
      </div>
      <span class="small soft">Hold: {words}</span>
    </div>
  );
}

/** What it waits for, with what mends it; it goes on by itself. */
function Waits({ ramp, note }: { readonly ramp: RampView; readonly note: string }) {
  const { migration, dial, steps, step, start, state, stepSince } = ramp;
  const to = state === 'returning' ? start : state === 'running' && stepSince === null ? steps[step] : undefined;
  const gates = useGatesInTheWay(migration, dial, to ?? null);
  if (gates.length === 0) {
    return (
      <p class={state === 'returning' ? 'bad' : 'warn'}>
        <Icon name="warn" /> {note}
      </p>
    );
  }
  return (
    <div class="stack tight">
      <p class="warn">
        <Icon name="warn" /> It waits for its gates, and goes on by itself when they are met.
      </p>
      <Gates gates={gates} />
    </div>
  );
}

function Guard({ ramp: { dial, start, budgets } }: { readonly ramp: RampView }) {
  const proof = proofWords(budgets);
  return (
    <div class="small soft">
      <p>Goes back to {dialText(start)} by itself when</p>
      <ul class="dashed">
        {budgetWords(dial, budgets).map((words) => (
          <li key={words}>{words}</li>
        ))}
      </ul>
      {proof !== null && <p>A step is clean only once {proof}.</p>}
    </div>
  );
}

/** It stays where it is, goes on, or ends there; each with a reason. */
function Steer({ status, ramp }: RampPanelProps) {
  const asking = useSignal<Steering | null>(null);
  const trouble = useSignal<string | null>(null);
  const why = hindrance(status);
  const how = asking.value;
  const stop = useRef<HTMLButtonElement>(null);
  const wasAsking = useRef(false);
  useEffect(() => {
    if (wasAsking.current && how === null) stop.current?.focus();
    wasAsking.current = how !== null;
  }, [how]);
  const leave = (): void => {
    asking.value = null;
  };
  const steer = async (deed: Steering, reason: string): Promise<void> => {
    leave();
    trouble.value = null;
    try {
      await ask(pathOf(status.migration, `/ramps/${deed}`), { body: { reason } });
    } catch (error) {
      trouble.value = describeError(error);
    }
    liveFeed.poke();
  };
  const button = (deed: Steering, name: string, lock: string | null = why) => (
    <button
      ref={deed === 'stop' ? stop : null}
      type="button"
      class="btn"
      disabled={lock !== null}
      title={lock ?? undefined}
      onClick={() => {
        asking.value = deed;
      }}
    >
      {deed === 'pause' && <Icon name="pause" />}
      {name}
    </button>
  );
  const going = ramp.state === 'returning' ? 'it is going back: it can only be stopped' : null;
  return (
    <>
      {how === null ? (
        <>
          {ramp.state === 'paused' ? button('resume', 'Resume…') : button('pause', 'Pause…', why ?? going)}
          {button('stop', `Stop at ${dialText(status.dials[KEYS[ramp.dial]])}…`)}
          <span class="small muted">
            {why ?? `Whoever moves ${ramp.dial} by hand has it: the ramp stops. Closing this page stops nothing.`}
          </span>
        </>
      ) : (
        <AskReason key={how} does={DOES[how]} begin={(reason) => void steer(how, reason)} leave={leave} />
      )}
      {trouble.value !== null && (
        <p class="bad" role="alert">
          {trouble.value}
        </p>
      )}
    </>
  );
}

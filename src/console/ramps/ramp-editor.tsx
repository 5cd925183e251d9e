import { useSignal } from '@preact/signals';
import { useLayoutEffect, useRef } from 'preact/hooks';
import type { MigrationOverview } from '../../server/api-types.ts';
import { ask, describeError, pathOf } from '../api.ts';
import { KEYS } from '../change.ts';
import { dialText } from '../dial-value.ts';
import { liveFeed } from '../live-feed.ts';
import { hindrance } from '../overview/dials.tsx';
import { now } from '../parts/clock.tsx';
import { CopyButton } from '../parts/command-line.tsx';
import { Gates } from '../parts/gates.tsx';
import { Facts, Panel } from '../parts/panel.tsx';
import { clockMinute } from '../wording.ts';
import { BudgetFields } from './budget-fields.tsx';
import {
  aheadOf,
  budgetWords,
  draftOf,
  HOLD_UNITS,
  type HoldUnit,
  proofWords,
  RAMP_DIALS,
  type RampBody,
  type RampDraft,
  rampCommand,
  readDraft,
  roundDuration,
  stepsText,
  USUAL_BUDGETS,
  usualSteps,
} from './ramp-plan.ts';
import { useGatesInTheWay } from './use-ramps.ts';

interface RampEditorProps {
  readonly status: MigrationOverview;
  leave(): void;
}

/** A ramp that is to begin: its dial, its steps and their hold, and what sends it back. */
export function RampEditor({ status, leave }: RampEditorProps) {
  const { migration, dials } = status;
  const draft = useSignal<RampDraft>(draftOf('cutover', dials.cutover));
  const trouble = useSignal<string | null>(null);
  const busy = useSignal(false);
  const first = useRef<HTMLSelectElement>(null);
  useLayoutEffect(() => first.current?.focus(), []);
  const why = hindrance(status);
  const read = readDraft(draft.value);
  const body = typeof read === 'string' ? null : read;
  const set = (part: Partial<RampDraft>): void => {
    draft.value = { ...draft.value, ...part };
    trouble.value = null;
  };
  const choose = (dial: RampDraft['dial']): void => set({ dial, steps: stepsText(usualSteps(dials[KEYS[dial]])) });
  const start = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (body === null || body.reason === '' || busy.value) return;
    busy.value = true;
    try {
      await ask(pathOf(migration, '/ramps'), { body });
      leave();
    } catch (error) {
      trouble.value = describeError(error);
    } finally {
      busy.value = false;
    }
    liveFeed.poke();
  };
  const { dial, steps, hold, unit, reason } = draft.value;
  return (
    <Panel
      title="New ramp"
      label="New ramp"
      end={body !== null && <CopyButton text={rampCommand(migration, body)} label="Copy as command" />}
    >
      <form onSubmit={start}>
        <div class="body ramp">
          <fieldset class="stack" disabled={why !== null}>
            <legend class="sr">Dial, steps and hold</legend>
            <div class="row ramp-fields">
              <label class="field">
                <span>Dial, in force {dialText(dials[KEYS[dial]])}</span>
                <select
                  ref={first}
                  value={dial}
                  onChange={(event) => choose(event.currentTarget.value as RampDraft['dial'])}
                >
                  {RAMP_DIALS.map((name) => (
                    <option key={name}>{name}</option>
                  ))}
                </select>
              </label>
              <label class="field wide">
                <span>Steps, %; it ends at the last</span>
                <input
                  type="text"
                  required
                  value={steps}
                  aria-invalid={body === null}
                  onInput={(event) => set({ steps: event.currentTarget.value })}
                />
              </label>
              <label class="field">
                <span>Clean hold of each</span>
                <input
                  type="text"
                  inputMode="decimal"
                  required
                  value={hold}
                  onInput={(event) => set({ hold: event.currentTarget.value })}
                />
              </label>
              <label class="field">
                <span>Unit</span>
                <select value={unit} onChange={(event) => set({ unit: event.currentTarget.value as HoldUnit })}>
                  {Object.keys(HOLD_UNITS).map((name) => (
                    <option key={name}>{name}</option>
                  ))}
                </select>
              </label>
            </div>
            <BudgetFields draft={draft.value} set={set} />
            <label class="field">
              <span>Reason (goes to the history)</span>
              <input
                type="text"
                required
                placeholder="Why now?"
                value={reason}
                onInput={(event) => set({ reason: event.currentTarget.value })}
              />
            </label>
          </fieldset>
          <div class="stack">
            {body === null ? <p class="warn">{read as string}</p> : <WhatItDoes status={status} body={body} />}
          </div>
        </div>
        <footer class="foot-row">
          <button
            type="submit"
            class="btn go"
            disabled={why !== null || body === null || reason.trim() === '' || busy.value}
            title={why ?? undefined}
          >
            Start the ramp
          </button>
          <button type="button" class="btn" onClick={leave}>
            Discard
          </button>
          {trouble.value === null ? (
            <span class="small muted end">
              {why ?? (reason.trim() === '' ? 'a reason is required' : 'nothing has begun yet')}
            </span>
          ) : (
            <p class="bad refusal" role="alert">
              Refused, and nothing has begun: {trouble.value}
            </p>
          )}
        </footer>
      </form>
    </Panel>
  );
}

/** What a ramp would do, in words, and what its first step would wait for. */
function WhatItDoes({ status, body }: { readonly status: MigrationOverview; readonly body: RampBody }) {
  const { dial, holdMs } = body;
  const present = status.dials[KEYS[dial]];
  const ahead = aheadOf(present, body);
  const budgets = { ...USUAL_BUDGETS, ...body.budgets };
  const proof = proofWords(budgets);
  const gates = useGatesInTheWay(status.migration, dial, ahead[0] ?? null).filter(
    ({ advice }) => !(advice && body.force),
  );
  const takes = holdMs * ahead.length;
  return (
    <>
      <Facts
        of={[
          ['Turns', `${dial} from ${dialText(present)} to ${ahead.map(dialText).join(', ')}`],
          [
            'Each step',
            `takes its gates, then is clean for ${roundDuration(holdMs)} from when every process has acknowledged it`,
          ],
          ['Takes', `${roundDuration(takes)} if every hold is clean; ends about ${clockMinute(now.value + takes)}`],
          [
            'Goes back',
            <>
              to {dialText(present)} by itself, fenced, when
              <ul class="dashed">
                {budgetWords(dial, budgets).map((words) => (
                  <li key={words}>{words}</li>
                ))}
              </ul>
            </>,
          ],
          proof === null ? null : ['Clean', `only once ${proof}`],
          ['Afterwards', 'it goes on without this page; whoever moves the dial by hand ends it'],
        ]}
      />
      <div class="stack tight" aria-live="polite">
        {gates.length > 0 && (
          <>
            <p class="warn">The first step would wait for its gates as things stand:</p>
            <Gates gates={gates} />
          </>
        )}
      </div>
    </>
  );
}

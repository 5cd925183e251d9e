import { useSignal } from '@preact/signals';
import type { MigrationOverview } from '../../server/api-types.ts';
import { may } from '../api.ts';
import { type Change, KEYS } from '../change.ts';
import type { DialName } from '../dial-value.ts';
import { liveFeed } from '../live-feed.ts';
import { Panel } from '../parts/panel.tsx';
import { RetireSwitch } from './retire-switch.tsx';
import { ShareDialRow } from './share-dial.tsx';

const STAGES = ['off', 'dualwrite', 'shadow', 'live', 'rampdown', 'complete'] as const;
const SHARES = ['dual-write', 'shadow-read', 'cutover'] as const satisfies readonly DialName[];

interface DialsProps {
  readonly status: MigrationOverview;
  readonly change: Change;
}

/** Why no dial can be moved from here, or null. */
export function hindrance({ finished }: MigrationOverview): string | null {
  if (!may('operator')) return 'your role moves nothing';
  if (finished) return 'the migration is finished';
  return liveFeed.state.value.kind === 'lost' ? 'the connection is lost' : null;
}

/** The dials; choosing another one asks to discard what is wanted of the first. */
export function Dials({ status, change }: DialsProps) {
  const why = hindrance(status);
  const wanted = change.wanted.value;
  const busy = change.busy.value;
  const lockOf = (dial: DialName): string | null =>
    why ??
    (busy
      ? 'a move is going on'
      : wanted !== null && wanted.dial !== dial
        ? `one dial at a time: discard ${wanted.dial} first`
        : null);
  return (
    <Panel title="Dials" end={<Stages status={status} change={change} disabled={why !== null || busy} />}>
      <div class="body">
        <div class="dials">
          {SHARES.map((dial) => (
            <ShareDialRow
              key={dial}
              dial={dial}
              inForce={status.dials[KEYS[dial]]}
              status={status}
              change={change}
              lock={lockOf(dial)}
            />
          ))}
          <RetireSwitch status={status} change={change} lock={lockOf('retire-old')} />
        </div>
        {why === null && (
          <details class="keys">
            <summary>Keys</summary>
            <p class="small soft">
              ← → 1 % · Shift ← → 0.001 % · Page ↑ ↓ 10 % · Home, End: to the nearest gate · Enter: preview · Esc: back
              to what is in force
            </p>
          </details>
        )}
      </div>
    </Panel>
  );
}

/** Presets: the moves that lead to a stage, one revision each. They ask for a reason first. */
function Stages({ status, change, disabled }: DialsProps & { readonly disabled: boolean }) {
  const chosen = useSignal<string | null>(null);
  const submit = (event: Event): void => {
    event.preventDefault();
    const stage = chosen.value;
    const reason = change.reason.value.trim();
    if (stage === null || reason === '') return;
    chosen.value = null;
    change.discard();
    void change.stage(stage, reason);
  };
  return (
    <>
      <span class="lbl" id="stage-label">
        Stage
      </span>
      {/* biome-ignore lint/a11y/useSemanticElements: a fieldset cannot be laid out as one line of buttons everywhere */}
      <span class="seg" role="group" aria-labelledby="stage-label">
        {STAGES.map((stage) => (
          <button
            key={stage}
            type="button"
            aria-pressed={(chosen.value ?? status.stage) === stage}
            disabled={disabled}
            onClick={() => {
              chosen.value = stage === status.stage ? null : stage;
            }}
          >
            {stage}
          </button>
        ))}
      </span>
      {chosen.value !== null && (
        <form class="row stage-ask" onSubmit={submit}>
          <label class="field">
            <span>Reason for going to {chosen.value}; stops at the first gate</span>
            <input
              type="text"
              required
              value={change.reason.value}
              onInput={(event) => {
                change.reason.value = event.currentTarget.value;
              }}
            />
          </label>
          <button type="submit" class="btn go s">
            Go to {chosen.value}
          </button>
          <button
            type="button"
            class="btn s"
            onClick={() => {
              chosen.value = null;
            }}
          >
            Leave
          </button>
        </form>
      )}
    </>
  );
}

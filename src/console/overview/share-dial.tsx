import { useSignal } from '@preact/signals';
import type { MigrationOverview } from '../../server/api-types.ts';
import type { Change } from '../change.ts';
import { type Limit, limitsOf, nearestBounds } from '../dial-limits.ts';
import {
  ALL,
  axisPercent,
  BUCKETS,
  CANARY,
  type DialValue,
  dialText,
  dialValueOf,
  NOBODY,
  parseDial,
  type ShareDial,
  stepOf,
  type Threshold,
  thresholdOf,
} from '../dial-value.ts';

interface ShareDialProps {
  readonly dial: ShareDial;
  readonly inForce: DialValue;
  readonly status: MigrationOverview;
  readonly change: Change;
  /** Why it cannot be moved now, or null. */
  readonly lock: string | null;
}

const PERCENT = 1_000;

/** How far a key moves a knob; null where it is none of its keys. */
function steppedBy(event: KeyboardEvent, from: Threshold, limits: readonly Limit[]): Threshold | null {
  const size = event.shiftKey ? 1 : PERCENT;
  switch (event.key) {
    case 'ArrowRight':
    case 'ArrowUp':
      return stepOf(from, 1, size);
    case 'ArrowLeft':
    case 'ArrowDown':
      return stepOf(from, -1, size);
    case 'PageUp':
      return Math.min(stepOf(Math.max(from, CANARY), 1, 10 * PERCENT), BUCKETS);
    case 'PageDown':
      return from <= 10 * PERCENT ? NOBODY : Math.min(from, BUCKETS) - 10 * PERCENT;
    case 'Home':
      return nearestBounds(limits, from).low;
    case 'End':
      return nearestBounds(limits, from).high;
    default:
      return null;
  }
}

/** A dial that is a share: a slider, and a number beside it. */
export function ShareDialRow({ dial, inForce, status, change, lock }: ShareDialProps) {
  const wanted = change.wantedOf(dial) as DialValue | null;
  const value = wanted ?? inForce;
  const at = thresholdOf(value);
  const force = thresholdOf(inForce);
  const limits = limitsOf(dial, status);
  const moved = wanted !== null;
  const want = (to: Threshold): void => change.want(dial, inForce, dialValueOf(to));
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key === 'Enter') {
      change.previewNow();
      return;
    }
    if (event.key === 'Escape') {
      if (moved) change.discard();
      return;
    }
    const to = steppedBy(event, at, limits);
    if (to === null) return;
    event.preventDefault();
    if (lock === null) want(to);
  };
  // A pointer has no finer hand than whole percents; numbers are typed.
  const onPointer = (to: Threshold): void =>
    want(to < PERCENT / 2 ? NOBODY : Math.min(Math.round(to / PERCENT) * PERCENT, BUCKETS));
  const words = `wanted ${dialText(value)}, in force ${dialText(inForce)}`;
  return (
    <div class="dial">
      <h3 id={`dial-${dial}`}>
        {dial}
        <span>
          in force <b>{dialText(inForce)}</b>
        </span>
      </h3>
      <div class="rail">
        <Rail at={at} force={force} limits={limits} />
        <input
          type="range"
          class={moved ? 'moved' : ''}
          min={NOBODY}
          max={ALL}
          step={1}
          value={at}
          disabled={lock !== null}
          title={lock ?? undefined}
          aria-label={`${dial}, wanted`}
          aria-valuetext={words}
          onKeyDown={onKeyDown}
          onInput={(event) => onPointer(Number(event.currentTarget.value))}
          onChange={() => change.previewNow()}
        />
      </div>
      <NumberEntry dial={dial} value={value} moved={moved} lock={lock} change={change} inForce={inForce} />
      <p class="why">
        {limits.map((limit) => (
          <span key={limit.why}>
            <i class={`key ${limit.kind}`} />
            {limit.why}
          </span>
        ))}
        {lock === null ? <Words at={at} want={want} dial={dial} /> : <span>{lock}</span>}
      </p>
    </div>
  );
}

function Rail({
  at,
  force,
  limits,
}: {
  readonly at: Threshold;
  readonly force: Threshold;
  readonly limits: readonly Limit[];
}) {
  const from = Math.min(axisPercent(at), axisPercent(force));
  const width = Math.abs(axisPercent(at) - axisPercent(force));
  return (
    <div class="in">
      <span class="base" />
      {limits.map(({ kind, from: first, to, why }) => (
        <span
          key={why}
          class={kind}
          style={{ left: `${axisPercent(first)}%`, width: `${Math.max(axisPercent(to) - axisPercent(first), 0.4)}%` }}
        />
      ))}
      <span class="force" style={{ width: `${axisPercent(force)}%` }} />
      {width > 0 && <span class="want" style={{ left: `${from}%`, width: `${width}%` }} />}
      <span class="at" style={{ left: `${axisPercent(force)}%` }} />
    </div>
  );
}

/** The two places on the line that are no percentage. */
function Words({
  at,
  want,
  dial,
}: {
  readonly at: Threshold;
  readonly want: (to: Threshold) => void;
  readonly dial: string;
}) {
  return (
    <span class="words">
      {(
        [
          ['canary', CANARY],
          ['all', ALL],
        ] as const
      ).map(([word, threshold]) => (
        <button
          key={word}
          type="button"
          class="btn quiet s"
          aria-label={`${dial}: ${word}`}
          aria-pressed={at === threshold}
          onClick={() => want(threshold)}
        >
          {word}
        </button>
      ))}
    </span>
  );
}

interface NumberEntryProps extends Pick<ShareDialProps, 'dial' | 'lock' | 'change' | 'inForce'> {
  readonly value: DialValue;
  readonly moved: boolean;
}

function NumberEntry({ dial, value, moved, lock, change, inForce }: NumberEntryProps) {
  const typed = useSignal<string | null>(null);
  const parsed = typed.value === null ? value : parseDial(typed.value);
  const shown = typed.value ?? String(value);
  const onInput = (text: string): void => {
    typed.value = text;
    const to = parseDial(text);
    if (to !== null) change.want(dial, inForce, to);
  };
  return (
    <div class={typeof value === 'number' ? 'pct' : 'pct word'}>
      <input
        class={moved ? 'n moved' : 'n'}
        inputMode="decimal"
        value={shown}
        disabled={lock !== null}
        aria-label={`${dial}, wanted percentage`}
        aria-invalid={parsed === null}
        title="0 to 100 in steps of 0.001, canary, or all"
        onInput={(event) => onInput(event.currentTarget.value)}
        onBlur={() => {
          typed.value = null;
        }}
        onKeyDown={(event) => {
          if (event.key === 'Enter') change.previewNow();
          else if (event.key === 'Escape') {
            typed.value = null;
            if (moved) change.discard();
          }
        }}
      />
    </div>
  );
}

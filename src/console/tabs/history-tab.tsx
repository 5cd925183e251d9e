import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { HistoryLine } from '../../server/api-types.ts';
import { describeError, pathOf } from '../api.ts';
import { historyIcon } from '../history-icon.ts';
import { usePages } from '../pages.ts';
import { now } from '../parts/clock.tsx';
import { Gates } from '../parts/gates.tsx';
import { Icon } from '../parts/icon.tsx';
import { Panel, Trouble } from '../parts/panel.tsx';
import { RampList } from '../ramps/ramp-list.tsx';
import type { TabProps } from '../tab-props.ts';
import { bothZones, clockTimeUtc, count, longTime, plural, zoneName } from '../wording.ts';

const DAY_MS = 86_400_000;
const SINCE = [
  ['Any time', 0],
  ['Last hour', 3_600_000],
  ['Last day', DAY_MS],
  ['Last week', 7 * DAY_MS],
] as const;

const KINDS = [
  ...[
    'move',
    'refusal',
    'handover',
    'emergency',
    'ramp',
    'settings',
    'cohort',
    'stamping',
    'backfill',
    'preload',
    'repair',
  ],
  ...['verification', 'census', 'acceptance', 'burial'],
];

/** Who did what, when, why and from where; append-only. */
export function HistoryTab({ status: { migration, revision }, ramps }: TabProps) {
  const kind = useSignal('');
  const since = useSignal(0);
  const words = useSignal('');
  const query = new URLSearchParams({
    ...(kind.value === '' ? {} : { kinds: kind.value }),
    ...(since.value === 0 ? {} : { since: String(since.value) }),
    ...(words.value.trim() === '' ? {} : { search: words.value.trim() }),
  });
  const pages = usePages<HistoryLine>(pathOf(migration, `/history?${query}`), 'before');
  const known = useRef(revision);
  useEffect(() => {
    if (known.current !== revision) pages.restart();
    known.current = revision;
  }, [revision, pages.restart]);
  const found = pages.rows;
  return (
    <>
      <RampList ramps={ramps} />
      <Panel
        label="History"
        title="History"
        end={
          <a
            class="btn"
            href={`/api/v1${pathOf(migration, '/history?format=jsonl')}`}
            download={`${migration}-history.jsonl`}
          >
            Export JSON lines
          </a>
        }
      >
        <div class="body filters">
          <Choice label="Kind" signal={kind} every="Every kind" options={KINDS} />
          <select
            aria-label="When"
            onChange={(event) => {
              const ms = Number(event.currentTarget.value);
              since.value = ms === 0 ? 0 : Date.now() - ms;
            }}
          >
            {SINCE.map(([name, ms]) => (
              <option key={ms} value={ms}>
                {name}
              </option>
            ))}
          </select>
          <input
            type="search"
            placeholder="Who, what or why"
            aria-label="Who, what or why"
            value={words.value}
            onInput={(event) => {
              words.value = event.currentTarget.value;
            }}
          />
        </div>
        {pages.error !== undefined && <Trouble>{describeError(pages.error)}</Trouble>}
        <ul class="log">
          {found.map((line) => (
            <Line key={line.id} line={line} />
          ))}
        </ul>
        <div class="foot">
          <span>times in {zoneName} and UTC</span>
          <span>
            {count(found.length)} shown
            {!pages.ended && (
              <>
                {' · '}
                <button type="button" class="btn s" onClick={() => pages.more()}>
                  Load more
                </button>
              </>
            )}
          </span>
        </div>
      </Panel>
    </>
  );
}

interface ChoiceProps {
  readonly label: string;
  readonly every: string;
  readonly options: readonly string[];
  readonly signal: { value: string };
}

function Choice({ label, every, options, signal }: ChoiceProps) {
  return (
    <select
      aria-label={label}
      value={signal.value}
      onChange={(event) => {
        signal.value = event.currentTarget.value;
      }}
    >
      <option value="">{every}</option>
      {options.map((option) => (
        <option key={option} value={option}>
          {option}
        </option>
      ))}
    </select>
  );
}

const text = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));

function Line({ line }: { readonly line: HistoryLine }) {
  const { icon, tone } = historyIcon(line);
  const open = line.gates.length + line.changes.length > 0;
  const passed = line.gates.filter((gate) => gate.passed).length;
  const evidence =
    line.gates.length === 0 ? 'what changed' : `${passed} of ${plural(line.gates.length, 'gate')} passed`;
  return (
    <li>
      <Icon name={icon} {...(tone === undefined ? {} : { tone })} />
      <time dateTime={new Date(line.at).toISOString()} title={bothZones(line.at)}>
        {longTime(line.at, now.value)}
        <small>{clockTimeUtc(line.at)} UTC</small>
      </time>
      <div>
        <p>
          <b>{line.summary}</b>
          <small>
            {line.kind} · {line.actor} · “{line.reason}”
          </small>
        </p>
        {open && (
          <details>
            <summary>{evidence}</summary>
            {line.changes.length > 0 && (
              <ul class="changes small mono">
                {line.changes.map(({ path, before, after }) => (
                  <li key={path}>
                    {path}: {text(before)} → {text(after)}
                  </li>
                ))}
              </ul>
            )}
            {line.gates.length > 0 && <Gates gates={line.gates} />}
          </details>
        )}
      </div>
      <span>{line.revision !== null && <span class="tag">revision {line.revision}</span>}</span>
    </li>
  );
}

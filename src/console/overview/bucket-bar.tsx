import type { LineView, MigrationOverview } from '../../server/api-types.ts';
import { pathOf } from '../api.ts';
import { BUCKET_STATES, segmentsOf, shares, thresholdsOf } from '../bucket-states.ts';
import type { Change } from '../change.ts';
import { axisPercent, BUCKETS, type DialValue, dialText, thresholdOf } from '../dial-value.ts';
import { BucketStrip, rangeText } from '../parts/bucket-strip.tsx';
import { StateName } from '../parts/glyph.tsx';
import { Panel } from '../parts/panel.tsx';
import { useResource } from '../resource.ts';
import { percent, plural } from '../wording.ts';

const TICK_NAMES = [
  ['cutover', 'cutover'],
  ['shadow-read', 'shadowRead'],
  ['dual-write', 'dualWrite'],
] as const;

/** Names that stand closer than this are set one below another, pixels. */
const CLOSE_PX = 90;

/** The dials as ticks; those that would cover each other are set lower. */
function ticksOf(dials: MigrationOverview['dials']) {
  const sorted = TICK_NAMES.map(([name, key]) => ({
    name,
    value: dials[key],
    at: axisPercent(thresholdOf(dials[key])),
  })).sort((a, b) => a.at - b.at);
  const close = (CLOSE_PX * 100) / Math.max(window.innerWidth - 2 * CLOSE_PX, CLOSE_PX);
  const lines: number[] = [];
  return sorted.map((tick) => {
    let line = 0;
    while (tick.at - (lines[line] ?? -100) < close) line += 1;
    lines[line] = tick.at;
    return { ...tick, line };
  });
}

const edge = (at: number): string => (at < 4 ? 'l' : at > 96 ? 'r' : '');

/** The state of every bucket from 0 up, with lanes on the same axis. */
export function BucketBar({ status, change }: { readonly status: MigrationOverview; readonly change: Change }) {
  const line = useResource<LineView>(pathOf(status.migration, '/line')).data;
  const dirtCount = status.dirty.ranges + status.dirty.rejected;
  const dirt = line === undefined ? [] : [line.dirty.new, line.dirty.old, line.rejected.new, line.rejected.old].flat();
  const segments = segmentsOf(status);
  const at = thresholdsOf(status);
  const shadow = axisPercent(at.shadowRead);
  const ticks = ticksOf(status.dials);
  const lines = Math.max(...ticks.map(({ line }) => line));
  return (
    <Panel title="Buckets" class="buckets">
      <div class="body">
        <div class="lanes">
          <span class="k">State</span>
          <div class="over">
            <BucketStrip segments={segments} />
            <Wish status={status} change={change} />
          </div>
          <span class="k">Shadow reads</span>
          <div
            class="lane inset"
            role="img"
            aria-label={shadow === 0 ? 'no buckets' : `buckets ${rangeText(0, shadow * 1_000)}`}
          >
            <i style={{ left: '0', width: `${shadow}%` }} />
          </div>
          <span class="k">Coverage</span>
          <Coverage status={status} line={line} />
          <span class="k">Dirty</span>
          <div class="lane inset" role="img" aria-label={plural(dirtCount, 'dirty entry', 'dirty entries')}>
            {dirt.map(([from, to]) => (
              <i
                key={`${from} ${to}`}
                class="tick"
                style={{ left: at100(from), width: `max(3px, ${widthOf(from, to)}%)` }}
              />
            ))}
          </div>
          <span class="k" />
          <div class={`axis inset lines-${lines}`} aria-hidden="true">
            {ticks.map(({ name, value, at: left, line }) => (
              <span key={name} class={`${edge(left)} line-${line}`} style={{ left: `${left}%` }}>
                {name}
                <b>{dialText(value)}</b>
              </span>
            ))}
          </div>
        </div>
        <div class="legend-states">
          {shares(segments)
            .map((share, state) => ({ share, state: state as 0 | 1 | 2 | 3 | 4 }))
            .reverse()
            .map(({ share, state }) => (
              <StateName key={state} state={state}>
                {' '}
                <b>{percent(share)}</b>
              </StateName>
            ))}
          <span class="state">
            <i class="sw wanted" />
            wanted
          </span>
          <span class="muted">small cells: canary at the left, kept-back at the right</span>
        </div>
      </div>
    </Panel>
  );
}

const widthOf = (from: number, to: number): number => axisPercent(to) - axisPercent(from);
const at100 = (position: number): string => `${axisPercent(position)}%`;

interface CoverageProps {
  readonly status: MigrationOverview;
  readonly line: LineView | undefined;
}

/** Where the new store is complete; dashed what a replay is going over, filled as far as it has come. */
function Coverage({ status: { covered, coverage }, line }: CoverageProps) {
  const replays = line?.replays.filter(({ target }) => target === 'new') ?? [];
  const running = replays.map(
    ({ kind, share }) => `; a ${kind} is running${share === null ? '' : `, ${percent(share * 100)} done`}`,
  );
  return (
    <div
      class="lane inset"
      role="img"
      aria-label={`the new store is complete in ${percent(coverage.new)} of the buckets${running.join('')}`}
    >
      {replays.flatMap(({ kind, positions, share }) =>
        positions.map(([from, to]) => [
          <i key={`${kind} ${from}`} class="todo" style={{ left: at100(from), width: `${widthOf(from, to)}%` }} />,
          <i
            key={`${kind} ${from} done`}
            class="part"
            style={{ left: at100(from), width: `${widthOf(from, to) * (share ?? 0)}%` }}
          />,
        ]),
      )}
      {covered.new.map(([from, to]) => (
        <i key={from} style={{ left: at100(from), width: `${widthOf(from, to)}%` }} />
      ))}
    </div>
  );
}

/** Where the wanted value of a dial would change something: a frame, never a colour of the bar itself. */
function Wish({ status, change }: { readonly status: MigrationOverview; readonly change: Change }) {
  const wanted = change.wanted.value;
  if (wanted === null || typeof wanted.to === 'boolean') return null;
  const [from, to] = [wanted.from as DialValue, wanted.to].map((value) => axisPercent(thresholdOf(value))) as [
    number,
    number,
  ];
  const words = `wanted: ${wanted.dial} at ${dialText(wanted.to)}`;
  const left = Math.min(from, to);
  // A cohort's cell stands beyond the ends of the axis.
  const cell = Math.abs(to - from) * (BUCKETS / 100) < 1;
  const next = wanted.dial === 'cutover' ? BUCKET_STATES[3] : '';
  return (
    <div class="inset wishes">
      <span
        class={cell ? `wish at-${to < 50 ? 'canary' : 'kept-back'}` : 'wish'}
        style={cell ? {} : { left: `${left}%`, width: `${Math.abs(to - from)}%` }}
        title={`${words}${next === '' ? '' : ` (${next})`}; ${status.migration} is unchanged`}
      />
    </div>
  );
}

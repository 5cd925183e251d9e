import type { ComponentChildren } from 'preact';
import type { MigrationOverview, Series } from '../../server/api-types.ts';
import { now } from '../parts/clock.tsx';
import { Icon, type IconName } from '../parts/icon.tsx';
import { count, duration, milliseconds, percent } from '../wording.ts';
import { replayShare, replayStanding } from './replay-progress.ts';
import { newest, servingLatency } from './serving-latency.ts';

interface Figure {
  readonly name: string;
  readonly value: ComponentChildren;
  readonly note: string;
  /** The judgement: an icon and a word. */
  readonly icon: IconName;
  readonly tone?: string;
  readonly word: string;
}

const GOOD = { icon: 'check', tone: 'good', word: 'in order' } as const;
const LOOK = { icon: 'warn', tone: 'warn', word: 'look here' } as const;
const BAD = { icon: 'cross', tone: 'bad', word: 'not in order' } as const;
const UNKNOWN = { icon: 'info', word: 'nothing known yet' } as const;

function errorsFigure(series: Series | undefined): Figure {
  const share = (side: 'old' | 'new'): number | null => {
    const of = series?.[side];
    const calls = (newest(of?.reads) ?? 0) + (newest(of?.writes) ?? 0);
    return of === undefined || calls === 0 ? null : ((newest(of.errors) ?? 0) * 100) / calls;
  };
  const [fresh, old] = [share('new'), share('old')];
  const text = (value: number | null): string => (value === null ? '–' : percent(value));
  return {
    name: 'Errors, new to old',
    value: `${text(fresh)} : ${text(old)}`,
    note: 'of all calls of the stores',
    ...(fresh === null && old === null ? UNKNOWN : (fresh ?? 0) > (old ?? 0) + 0.1 ? LOOK : GOOD),
  };
}

function latencyFigure(series: Series | undefined): Figure {
  const [fresh, old] = [servingLatency(series?.new), servingLatency(series?.old)];
  const text = (value: number | null): string => (value === null ? '–' : milliseconds(value));
  return {
    name: 'p99, new to old',
    value: `${text(fresh)} : ${text(old)} ms`,
    note: 'reads',
    ...(fresh === null || old === null ? UNKNOWN : fresh > old * 1.2 ? LOOK : GOOD),
  };
}

function shadowFigure({ shadow: { compared, divergent } }: MigrationOverview): Figure {
  return {
    name: 'Shadow reads',
    value: `${count(divergent)} divergent`,
    note:
      compared === 0
        ? 'none compared yet'
        : `n ${count(compared)}${divergent === 0 ? `: ≤ ${percent(300 / compared)}` : ''}`,
    ...(divergent > 0 ? BAD : compared === 0 ? UNKNOWN : GOOD),
  };
}

function verificationFigure({ verification }: MigrationOverview): Figure {
  if (verification === null) return { name: 'Verification', value: 'never', note: 'nothing is proven yet', ...UNKNOWN };
  const { verdict, outdated, expiresAt, only } = verification;
  const left = expiresAt - now.value;
  return {
    name: 'Verification',
    value: verdict,
    note: outdated
      ? 'dual-write was raised since'
      : left > 0
        ? `${only === null ? '' : `only ${only}; `}expires in ${duration(left)}`
        : 'expired',
    ...(verdict === 'divergent'
      ? BAD
      : verdict === 'inconclusive' || outdated || only !== null || left <= 0
        ? LOOK
        : GOOD),
  };
}

function backfillFigure({ replay, coverage }: MigrationOverview): Figure {
  if (replay === null) {
    const note = coverage.new === 100 ? 'the new store is complete' : 'no replay is running';
    return { name: 'Coverage', value: percent(coverage.new), note, ...(coverage.new === 100 ? GOOD : UNKNOWN) };
  }
  const share = replayShare(replay);
  const standing = replayStanding(replay);
  return {
    name: replay.kind.charAt(0).toUpperCase() + replay.kind.slice(1),
    value: share === null ? `${count(replay.scanned)} records` : percent(share),
    note: standing === 'running' && replay.etaMs !== null ? `${duration(replay.etaMs)} left` : standing,
    ...(standing === 'running' ? { icon: 'replay', word: 'running' } : LOOK),
  };
}

function dirtyFigure({ dirty: { ranges, rejected } }: MigrationOverview): Figure {
  return {
    name: 'Dirty',
    value: count(ranges + rejected),
    note: rejected === 0 ? 'entries, 0 rejected' : `${count(rejected)} rejected by a store`,
    ...(rejected > 0 ? BAD : ranges > 0 ? LOOK : GOOD),
  };
}

function queueFigure(series: Series | undefined): Figure {
  const queue = newest(series?.mirrorQueue);
  return {
    name: 'Mirror queue',
    value: queue === null ? '–' : count(queue),
    note: 'writes on their way to the follower',
    ...(queue === null ? UNKNOWN : queue > 1_000 ? LOOK : GOOD),
  };
}

function fleetFigure({ fleet: { nodes, acknowledged }, revision }: MigrationOverview): Figure {
  return {
    name: 'Fleet',
    value: `${count(acknowledged)} of ${count(nodes)}`,
    note: `acknowledged revision ${revision}`,
    ...(acknowledged < nodes ? LOOK : nodes === 0 ? UNKNOWN : GOOD),
  };
}

/** Eight figures, each with its judgement. */
export function Glance({
  status,
  series,
}: {
  readonly status: MigrationOverview;
  readonly series: Series | undefined;
}) {
  const figures: readonly Figure[] = [
    errorsFigure(series),
    latencyFigure(series),
    shadowFigure(status),
    verificationFigure(status),
    backfillFigure(status),
    dirtyFigure(status),
    queueFigure(series),
    fleetFigure(status),
  ];
  return (
    <dl class="glance">
      {figures.map(({ name, value, note, icon, tone, word }) => (
        <div key={name}>
          <dt>
            {name} <Icon name={icon} {...(tone === undefined ? {} : { tone })} word={word} />
          </dt>
          <dd>
            <b>{value}</b>
            <span>{note}</span>
          </dd>
        </div>
      ))}
    </dl>
  );
}

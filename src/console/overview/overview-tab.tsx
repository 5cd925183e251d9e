import { useSignal } from '@preact/signals';
import type { Job, Series, Span } from '../../server/api-types.ts';
import { pathOf } from '../api.ts';
import { RampSection } from '../ramps/ramp-section.tsx';
import { useResource } from '../resource.ts';
import type { TabProps } from '../tab-props.ts';
import { BucketBar } from './bucket-bar.tsx';
import { ChangePanel } from './change-panel.tsx';
import { Charts } from './charts.tsx';
import { Cohorts } from './cohorts.tsx';
import { Dials } from './dials.tsx';
import { Glance } from './glance.tsx';
import { LastMoves } from './last-moves.tsx';
import { ReplayPanel } from './replay-panel.tsx';

/** How often the series grow by a point, ms. */
const STEP_MS = 5_000;

/** Is it well, where is it, what may I do, what would it do, what did it do. */
export function OverviewTab({ status, change, ramps }: TabProps) {
  const span = useSignal<Span>('15m');
  const path = pathOf(status.migration, `/series?span=${span.value}`);
  const series = useResource<Series>(path, { follow: false, everyMs: STEP_MS });
  const jobs = useResource<readonly Job[]>(`/jobs?migration=${encodeURIComponent(status.migration)}`);
  return (
    <>
      <Glance status={status} series={series.data} />
      <BucketBar status={status} change={change} />
      <RampSection status={status} ramps={ramps} />
      <div class="cols">
        <div class="c7 stack fill">
          <Dials status={status} change={change} />
          <Cohorts status={status} />
        </div>
        <ChangePanel status={status} change={change} jobs={jobs.data ?? []} />
      </div>
      <Charts series={series.data} error={series.error} span={span} />
      <div class="cols">
        <ReplayPanel status={status} jobs={jobs} />
        <LastMoves migration={status.migration} />
      </div>
    </>
  );
}

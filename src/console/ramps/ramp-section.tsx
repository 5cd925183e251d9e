import { useLocation } from 'preact-iso';
import type { MigrationOverview, RampView } from '../../server/api-types.ts';
import { now } from '../parts/clock.tsx';
import { RampEditor } from './ramp-editor.tsx';
import { RampPanel } from './ramp-panel.tsx';
import { isUnfinished } from './ramp-plan.ts';

/** How a ramp ended stays on the overview for a while; then it is in the history. */
const SHOWN_MS = 15 * 60_000;

/** The address of the editor: a page of its own to link to and to come back to. */
export const editorOf = (migration: string): string => `/migrations/${migration}?ramp=new`;

interface RampSectionProps {
  readonly status: MigrationOverview;
  readonly ramps: readonly RampView[];
}

/** The ramp under way; else the editor where somebody asked for it, or how the last one ended just now. */
export function RampSection({ status, ramps }: RampSectionProps) {
  const { query, route } = useLocation();
  const [last] = ramps;
  if (last !== undefined && isUnfinished(last)) return <RampPanel key={last.id} status={status} ramp={last} />;
  if (query['ramp'] === 'new') {
    return <RampEditor status={status} leave={() => route(`/migrations/${status.migration}`, true)} />;
  }
  const recent = last?.finishedAt != null && now.value - last.finishedAt < SHOWN_MS;
  return recent ? <RampPanel key={last.id} status={status} ramp={last} /> : null;
}

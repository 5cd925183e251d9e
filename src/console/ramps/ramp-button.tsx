import { useEffect, useRef } from 'preact/hooks';
import { useLocation } from 'preact-iso';
import type { MigrationOverview, RampView } from '../../server/api-types.ts';
import { may } from '../api.ts';
import { hindrance } from '../overview/dials.tsx';
import { Icon } from '../parts/icon.tsx';
import { isUnfinished } from './ramp-plan.ts';
import { editorOf } from './ramp-section.tsx';

interface RampButtonProps {
  readonly status: MigrationOverview;
  readonly ramps: readonly RampView[];
}

/** To the ramp under way, from every tab; or to the editor of a new one. */
export function RampButton({ status, ramps }: RampButtonProps) {
  const { query, route } = useLocation();
  const button = useRef<HTMLButtonElement>(null);
  const editing = query['ramp'] === 'new';
  const wasEditing = useRef(editing);
  // Whoever left the editor by keyboard is where they came from.
  useEffect(() => {
    if (wasEditing.current && !editing) button.current?.focus();
    wasEditing.current = editing;
  }, [editing]);
  const [last] = ramps;
  const open = last !== undefined && isUnfinished(last) ? last : null;
  const why = open === null ? hindrance(status) : null;
  const back = open?.state === 'returning';
  return (
    <button
      ref={button}
      type="button"
      class="btn"
      disabled={why !== null}
      title={why ?? undefined}
      onClick={() => route(open === null ? editorOf(status.migration) : `/migrations/${status.migration}`)}
    >
      <Icon name={back ? 'back' : open === null && !may('operator') ? 'lock' : 'ramp'} />
      {open === null ? 'Ramp…' : back ? 'Ramp goes back' : `Ramp: step ${open.step + 1} of ${open.steps.length}`}
    </button>
  );
}

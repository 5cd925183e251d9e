import { useSignal } from '@preact/signals';
import type { MigrationOverview, RulesetDocument } from '../../server/api-types.ts';
import { ask, describeError, may, pathOf } from '../api.ts';
import { type BucketState, segmentsOf } from '../bucket-states.ts';
import { BUCKETS, CANARY } from '../dial-value.ts';
import { liveFeed } from '../live-feed.ts';
import { StateName } from '../parts/glyph.tsx';
import { Panel, Scroll } from '../parts/panel.tsx';
import { useResource } from '../resource.ts';
import { count } from '../wording.ts';

type Cohort = 'canary' | 'kept-back';

const COHORTS = [
  { name: 'canary', key: 'canary', position: CANARY - 1 },
  { name: 'kept-back', key: 'keptBack', position: BUCKETS },
] as const;

/** What a cohort's units are in: what its small cell in the bar shows. */
const stateOf = (status: MigrationOverview, position: number): BucketState =>
  segmentsOf(status).find(({ from, to }) => position >= from && position < to)?.state ?? 0;

/** The units that are out of the ordinary line, and how one comes and goes. */
export function Cohorts({ status }: { readonly status: MigrationOverview }) {
  const { migration } = status;
  const ruleset = useResource<RulesetDocument>(pathOf(migration, '/ruleset'));
  const editing = useSignal(false);
  const document = ruleset.data;
  return (
    <Panel
      title="Cohorts"
      end={
        <button
          type="button"
          class="btn s"
          aria-expanded={editing.value}
          disabled={!may('operator')}
          title={may('operator') ? undefined : 'your role moves nothing'}
          onClick={() => {
            editing.value = !editing.value;
          }}
        >
          Edit
        </button>
      }
    >
      {editing.value && <Editor migration={migration} />}
      <Scroll label="Cohorts">
        <table>
          <thead>
            <tr>
              <th scope="col">Cohort</th>
              <th scope="col" class="num">
                Units
              </th>
              <th scope="col">State</th>
              <th scope="col" class="p2">
                Which
              </th>
            </tr>
          </thead>
          <tbody>
            {document !== undefined &&
              COHORTS.map(({ name, key, position }) => {
                const units = document.cohorts[key];
                return (
                  <tr key={name}>
                    <th scope="row">{name}</th>
                    <td class="num">{count(units.length)}</td>
                    <td>
                      {units.length === 0 ? (
                        <span class="muted">–</span>
                      ) : (
                        <StateName state={stateOf(status, position)} />
                      )}
                    </td>
                    <td class="p2 soft">
                      {units.slice(0, 3).join(', ')}
                      {units.length > 3 && ` and ${count(units.length - 3)} more`}
                    </td>
                  </tr>
                );
              })}
          </tbody>
        </table>
      </Scroll>
    </Panel>
  );
}

/** A unit as somebody types it: JSON, or a text as it is. */
function unitOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function Editor({ migration }: { readonly migration: string }) {
  const unit = useSignal('');
  const cohort = useSignal<Cohort | ''>('canary');
  const reason = useSignal('');
  const said = useSignal<{ readonly ok: boolean; readonly text: string } | null>(null);
  const busy = useSignal(false);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    busy.value = true;
    said.value = null;
    try {
      const body = { unit: unitOf(unit.value.trim()), cohort: cohort.value || null, reason: reason.value };
      await ask(pathOf(migration, '/cohorts'), { body });
      said.value = { ok: true, text: `${unit.value} is moved` };
      unit.value = '';
    } catch (error) {
      said.value = { ok: false, text: describeError(error) };
    }
    busy.value = false;
    liveFeed.poke();
  };
  return (
    <form class="body row editor" onSubmit={submit}>
      <label class="field">
        <span>Unit</span>
        <input
          type="text"
          required
          value={unit.value}
          onInput={(event) => {
            unit.value = event.currentTarget.value;
          }}
        />
      </label>
      <label class="field">
        <span>Becomes</span>
        <select
          value={cohort.value}
          onChange={(event) => {
            cohort.value = event.currentTarget.value as Cohort | '';
          }}
        >
          <option value="canary">canary: before all</option>
          <option value="kept-back">kept-back: behind all</option>
          <option value="">ordinary: by its bucket</option>
        </select>
      </label>
      <label class="field">
        <span>Reason</span>
        <input
          type="text"
          required
          value={reason.value}
          onInput={(event) => {
            reason.value = event.currentTarget.value;
          }}
        />
      </label>
      <button type="submit" class="btn go s" disabled={busy.value}>
        Move the unit
      </button>
      <p role="status" class={said.value?.ok === false ? 'bad' : 'soft'}>
        {said.value?.text}
      </p>
    </form>
  );
}

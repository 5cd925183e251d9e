import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { DivergencePage, DivergenceRow } from '../../server/api-types.ts';
import { ask, describeError, may, pathOf } from '../api.ts';
import { liveFeed } from '../live-feed.ts';
import { usePages } from '../pages.ts';
import { now } from '../parts/clock.tsx';
import { Panel, Trouble } from '../parts/panel.tsx';
import { VirtualList } from '../parts/virtual-list.tsx';
import type { TabProps } from '../tab-props.ts';
import { compact, count, duration, plural } from '../wording.ts';
import { DivergenceDetails } from './divergence-details.tsx';
import { KINDS, keyText, whatText } from './divergence-line.ts';

const ROW = 37;

/** Records that differ: which, how, since when, why, and what mends them. */
export function DivergencesTab({ status }: TabProps) {
  const kind = useSignal<DivergenceRow['kind'] | ''>('');
  const wanted = useSignal('');
  const field = useSignal('');
  const chosen = useSignal<number | null>(null);
  const query = new URLSearchParams({
    ...(kind.value === '' ? {} : { kind: kind.value }),
    ...(wanted.value.trim() === '' ? {} : { key: wanted.value.trim() }),
    ...(field.value.trim() === '' ? {} : { field: field.value.trim() }),
  });
  const pages = usePages<DivergenceRow, DivergencePage>(pathOf(status.migration, `/divergences?${query}`), 'after');
  const counts = pages.first?.counts;
  const known = useRef(status.divergences);
  useEffect(() => {
    // Found or mended since: look again from the beginning.
    if (known.current !== status.divergences) pages.restart();
    known.current = status.divergences;
  }, [status.divergences, pages.restart]);
  const found = pages.rows;
  const selected = found.find(({ id }) => id === chosen.value) ?? found[0];
  return (
    <div class="cols split">
      <Panel class="c7" title={`${plural(status.divergences, 'record')} differ`} end={<Repair status={status} />}>
        <div class="body filters">
          {/* biome-ignore lint/a11y/useSemanticElements: a fieldset cannot be laid out as one line of buttons everywhere */}
          <span class="seg" role="group" aria-label="Kind">
            {(['', ...KINDS] as const).map((each) => (
              <button
                key={each}
                type="button"
                aria-pressed={kind.value === each}
                onClick={() => {
                  kind.value = each;
                }}
              >
                {each === '' ? 'all' : each} {each === '' ? compact(status.divergences) : compact(counts?.[each] ?? 0)}
              </button>
            ))}
          </span>
          <input
            type="search"
            placeholder="Key"
            aria-label="Key"
            value={wanted.value}
            onChange={(event) => {
              wanted.value = event.currentTarget.value;
            }}
          />
          <input
            type="search"
            placeholder="Field"
            aria-label="Field"
            value={field.value}
            onChange={(event) => {
              field.value = event.currentTarget.value;
            }}
          />
        </div>
        {pages.error !== undefined && <Trouble>{describeError(pages.error)}</Trouble>}
        <VirtualList
          rows={found}
          rowHeight={ROW}
          columns={6}
          label="Divergences"
          onEnd={pages.more}
          head={
            <thead>
              <tr>
                <th scope="col">Key</th>
                <th scope="col">Kind</th>
                <th scope="col" class="num p2">
                  Bucket
                </th>
                <th scope="col">What</th>
                <th scope="col" class="num">
                  Age
                </th>
                <th scope="col" class="p2">
                  Cause
                </th>
              </tr>
            </thead>
          }
          row={(line) => (
            <tr
              key={line.id}
              class={line.id === selected?.id ? 'on' : ''}
              onClick={() => {
                chosen.value = line.id;
              }}
            >
              <th scope="row">
                <button
                  type="button"
                  class="link mono"
                  aria-pressed={line.id === selected?.id}
                  onClick={() => {
                    chosen.value = line.id;
                  }}
                >
                  {keyText(line)}
                </button>
              </th>
              <td>{line.kind}</td>
              <td class="num p2">{count(line.position)}</td>
              <td>{whatText(line)}</td>
              <td class="num">{duration(now.value - line.firstSeen)}</td>
              <td class="p2">{line.cause ?? <span class="muted">not known</span>}</td>
            </tr>
          )}
        />
        <div class="foot">
          <span>first seen first</span>
          <span>
            {count(found.length)} of {count(status.divergences)}
            {!pages.ended && '; the rest comes while scrolling'}
          </span>
        </div>
      </Panel>
      {selected === undefined ? (
        <Panel class="c5" title="Nothing differs">
          <div class="body">
            <p class="soft">
              {status.shadow.compared === 0
                ? 'No shadow read has compared anything yet, and no verification has found a difference.'
                : `${count(status.shadow.compared)} shadow reads were compared since the last change.`}
            </p>
          </div>
        </Panel>
      ) : (
        <DivergenceDetails line={selected} status={status} />
      )}
    </div>
  );
}

function Repair({ status: { migration, divergences } }: Pick<TabProps, 'status'>) {
  const asking = useSignal(false);
  const reason = useSignal('');
  const said = useSignal<string | null>(null);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    asking.value = false;
    try {
      await ask(pathOf(migration, '/repair'), { body: { reason: reason.value, wait: false } });
      said.value = 'the repair has begun; its progress is in the overview';
    } catch (error) {
      said.value = describeError(error);
    }
    liveFeed.poke();
  };
  if (!asking.value) {
    return (
      <>
        <span class="small soft" role="status">
          {said.value}
        </span>
        <button
          type="button"
          class="btn"
          disabled={divergences === 0 || !may('operator')}
          title={may('operator') ? undefined : 'your role moves nothing'}
          onClick={() => {
            asking.value = true;
          }}
        >
          Repair {count(divergences)}…
        </button>
      </>
    );
  }
  return (
    <form class="row editor" onSubmit={submit}>
      <input
        type="text"
        required
        placeholder="Reason"
        aria-label="Reason for the repair"
        value={reason.value}
        onInput={(event) => {
          reason.value = event.currentTarget.value;
        }}
      />
      <button type="submit" class="btn go s">
        Repair
      </button>
      <button
        type="button"
        class="btn s"
        onClick={() => {
          asking.value = false;
        }}
      >
        Leave
      </button>
    </form>
  );
}

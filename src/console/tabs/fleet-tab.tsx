import { useSignal } from '@preact/signals';
import type { FleetLine } from '../../server/api-types.ts';
import { describeError, pathOf } from '../api.ts';
import { type Standing, standingOf } from '../fleet-line.ts';
import { now } from '../parts/clock.tsx';
import { Icon } from '../parts/icon.tsx';
import { Panel, Trouble } from '../parts/panel.tsx';
import { VirtualList } from '../parts/virtual-list.tsx';
import { useResource } from '../resource.ts';
import type { TabProps } from '../tab-props.ts';
import { bytes, count, duration, plural } from '../wording.ts';

const ROW = 37;
const RANK: Readonly<Record<Standing, number>> = { behind: 0, silent: 1, shed: 2, acknowledged: 3 };

/** Every process that has the migration open; the worst first. */
export function FleetTab({ status: { migration, revision } }: TabProps) {
  const { data, error } = useResource<readonly FleetLine[]>(pathOf(migration, '/fleet'));
  const wanted = useSignal('');
  const lines = data ?? [];
  const words = wanted.value.trim().toLowerCase();
  const standing = (line: FleetLine): Standing => standingOf(line, migration, revision, now.value);
  const found = lines
    .filter(({ name, host, version, commit = '', pid }) =>
      `${name} ${host} ${version} ${commit} ${pid}`.toLowerCase().includes(words),
    )
    .toSorted((a, b) => RANK[standing(a)] - RANK[standing(b)] || a.name.localeCompare(b.name));
  const behind = lines.filter((line) => standing(line) === 'behind').length;
  const versions = new Set(lines.map(({ version }) => version));
  return (
    <Panel
      title={
        <>
          {plural(lines.length, 'process', 'processes')}{' '}
          <span class="soft plain">
            {behind === 0 ? `all acknowledged revision ${revision}` : `${behind} behind revision ${revision}`}
            {versions.size > 1 && `; ${versions.size} versions`}
          </span>
        </>
      }
      end={
        <div class="filters">
          <input
            type="search"
            placeholder="Name, host, version"
            aria-label="Name, host, version"
            value={wanted.value}
            onInput={(event) => {
              wanted.value = event.currentTarget.value;
            }}
          />
        </div>
      }
    >
      {error !== undefined && <Trouble>{describeError(error)}</Trouble>}
      <VirtualList
        rows={found}
        rowHeight={ROW}
        columns={9}
        label="Fleet"
        head={
          <thead>
            <tr>
              <th scope="col">Process</th>
              <th scope="col" class="p3">
                Incarnation
              </th>
              <th scope="col" class="p2">
                Version
              </th>
              <th scope="col" class="num">
                Revision
              </th>
              <th scope="col" class="num p2">
                Heard
              </th>
              <th scope="col" class="num p2">
                Mirror queue
              </th>
              <th scope="col" class="num">
                Memory
              </th>
              <th scope="col" class="num p3">
                Up
              </th>
              <th scope="col">Standing</th>
            </tr>
          </thead>
        }
        row={(line) => (
          <tr key={line.incarnation}>
            <th scope="row">
              {line.name}
              <span class="muted host">
                {' '}
                {line.host}:{line.pid}
              </span>
            </th>
            <td class="mono p3">{line.incarnation.toString(16)}</td>
            <td class="p2">
              {line.version}
              {line.commit !== undefined && <span class="muted mono"> {line.commit.slice(0, 12)}</span>}
            </td>
            <td class="num">{line.acknowledged[migration] ?? '–'}</td>
            <td class="num p2">{duration(Math.max(now.value - line.seenAt, 0))} ago</td>
            <td class="num p2">{line.health === null ? '–' : count(line.health.mirrorQueue)}</td>
            <td class="num">{line.health === null ? '–' : bytes(line.health.memoryBytes)}</td>
            <td class="num p3">{duration(Math.max(now.value - line.joinedAt, 0))}</td>
            <td>
              <StandingName standing={standing(line)} line={line} />
            </td>
          </tr>
        )}
      />
      <div class="foot">
        <span>worst first</span>
        <span>
          {found.length === lines.length
            ? plural(lines.length, 'process', 'processes')
            : `${found.length} of ${lines.length}`}
        </span>
      </div>
    </Panel>
  );
}

function StandingName({ standing, line }: { readonly standing: Standing; readonly line: FleetLine }) {
  switch (standing) {
    case 'behind':
      return (
        <span class="warn nowrap">
          <Icon name="warn" /> behind
        </span>
      );
    case 'silent':
      return (
        <span class="warn nowrap">
          <Icon name="warn" /> silent
        </span>
      );
    case 'shed':
      return <span class="warn nowrap">{count(line.health?.shed ?? 0)} shed</span>;
    case 'acknowledged':
      return <>acknowledged</>;
  }
}

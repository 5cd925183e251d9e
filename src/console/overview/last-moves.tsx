import type { HistoryLine } from '../../server/api-types.ts';
import { pathOf } from '../api.ts';
import { historyIcon } from '../history-icon.ts';
import { Moment } from '../parts/clock.tsx';
import { Icon } from '../parts/icon.tsx';
import { Panel } from '../parts/panel.tsx';
import { useResource } from '../resource.ts';
import { actorName } from '../wording.ts';

interface HistoryPage {
  readonly rows: readonly HistoryLine[];
}

/** What was done last, and why. */
export function LastMoves({ migration }: { readonly migration: string }) {
  const { data } = useResource<HistoryPage>(pathOf(migration, '/history?limit=5'));
  return (
    <Panel
      class="c6"
      title="Last moves"
      end={
        <a class="btn quiet s" href={`/migrations/${migration}/history`}>
          All
        </a>
      }
    >
      <ul class="log slim">
        {(data?.rows ?? []).map((line) => {
          const { icon, tone } = historyIcon(line);
          return (
            <li key={line.id}>
              <Icon name={icon} {...(tone === undefined ? {} : { tone })} />
              <Moment at={line.at} />
              <p>
                <b>{line.summary}</b> by {actorName(line.actor)}
                <small>“{line.reason}”</small>
              </p>
            </li>
          );
        })}
      </ul>
    </Panel>
  );
}

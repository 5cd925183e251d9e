import type { ComponentType } from 'preact';
import { useEffect, useMemo } from 'preact/hooks';
import type { MigrationOverview, RampView } from '../server/api-types.ts';
import { describeError, may, pathOf, session } from './api.ts';
import { Change } from './change.ts';
import { ViewerNote } from './migrations-page.tsx';
import { OverviewTab } from './overview/overview-tab.tsx';
import { Icon } from './parts/icon.tsx';
import { Trouble } from './parts/panel.tsx';
import { RampBanner } from './ramps/ramp-banner.tsx';
import { RampButton } from './ramps/ramp-button.tsx';
import { useRamps } from './ramps/use-ramps.ts';
import { useResource } from './resource.ts';
import { ReturnButton } from './return-dialog.tsx';
import type { TabProps } from './tab-props.ts';
import { DivergencesTab } from './tabs/divergences-tab.tsx';
import { FleetTab } from './tabs/fleet-tab.tsx';
import { HistoryTab } from './tabs/history-tab.tsx';
import { SettingsTab } from './tabs/settings-tab.tsx';
import { VerificationsTab } from './tabs/verifications-tab.tsx';
import { compact } from './wording.ts';

interface Tab {
  readonly path: string;
  readonly title: string;
  readonly component: ComponentType<TabProps>;
  readonly count?: (status: MigrationOverview) => number;
}

const TABS: readonly Tab[] = [
  { path: '', title: 'Overview', component: OverviewTab },
  { path: 'divergences', title: 'Divergences', component: DivergencesTab, count: ({ divergences }) => divergences },
  { path: 'verifications', title: 'Verifications', component: VerificationsTab },
  { path: 'fleet', title: 'Fleet', component: FleetTab, count: ({ fleet }) => fleet.nodes },
  { path: 'history', title: 'History', component: HistoryTab },
  { path: 'settings', title: 'Settings', component: SettingsTab },
];

/** Only pages of the web; a configuration is text that somebody wrote. */
const isWebPage = (url: string): boolean => /^https?:\/\//.test(url);

interface HeadProps {
  readonly status: MigrationOverview;
  readonly ramps: readonly RampView[];
  readonly tab: Tab;
}

function Head({ status, ramps, tab }: HeadProps) {
  const { migration, description, stage, revision, finished } = status;
  return (
    <div class="head">
      <div class="head-row">
        <h1>{migration}</h1>
        {description !== null && (
          <span class="path">
            {description.stores.old} <Icon name="to" word="to" /> {description.stores.new}
          </span>
        )}
        <span class="tag">{finished ? 'finished' : `stage ${stage}`}</span>
        <span class="tag wide-only">revision {revision}</span>
        {description?.owner != null && (
          <span class="small muted wide-only">
            owner {description.owner}
            {description.runbook !== null && isWebPage(description.runbook) && (
              <>
                {' · '}
                <a href={description.runbook} target="_blank" rel="noreferrer">
                  runbook
                </a>
              </>
            )}
          </span>
        )}
        <div class="actions">
          <a class="btn" href={`/migrations/${migration}/verifications`}>
            Verify…
          </a>
          <RampButton status={status} ramps={ramps} />
          <ReturnButton status={status} />
        </div>
      </div>
      <nav class="tabs" aria-label={migration}>
        {TABS.map((each) => (
          <a
            key={each.path}
            href={`/migrations/${migration}${each.path === '' ? '' : `/${each.path}`}`}
            aria-current={each === tab ? 'page' : undefined}
          >
            {each.title}
            {each.count !== undefined && each.count(status) > 0 && (
              <span class="count">{compact(each.count(status))}</span>
            )}
          </a>
        ))}
      </nav>
    </div>
  );
}

/** One migration: a head that stays, and what there is to see of it. */
export function MigrationPage({ name, tab = '' }: { readonly name?: string; readonly tab?: string }) {
  const migration = name ?? '';
  const { data, error } = useResource<MigrationOverview>(pathOf(migration));
  const ramps = useRamps(migration).data ?? [];
  const change = useMemo(() => new Change(migration), [migration]);
  useEffect(() => {
    if (data !== undefined) change.renew(data, data.revision);
  }, [change, data]);
  const chosen = TABS.find(({ path }) => path === tab) ?? TABS[0];
  if (data === undefined || chosen === undefined) {
    return <main class="main">{error !== undefined && <Trouble>{describeError(error)}</Trouble>}</main>;
  }
  const Content = chosen.component;
  return (
    <>
      <Head status={data} ramps={ramps} tab={chosen} />
      <RampBanner ramps={ramps} />
      {session.value !== null && !may('operator') && <ViewerNote />}
      <main class="main">
        <Content status={data} change={change} ramps={ramps} />
      </main>
    </>
  );
}

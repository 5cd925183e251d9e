import { useSignal } from '@preact/signals';
import type { MigrationOverview } from '../server/api-types.ts';
import { session } from './api.ts';
import { segmentsOf } from './bucket-states.ts';
import type { DialValue } from './dial-value.ts';
import { needsOf } from './needs.ts';
import { BucketStrip } from './parts/bucket-strip.tsx';
import { CommandLine } from './parts/command-line.tsx';
import { StateName } from './parts/glyph.tsx';
import { Icon } from './parts/icon.tsx';
import { Panel, Scroll, Trouble } from './parts/panel.tsx';
import { useResource } from './resource.ts';
import { count, percent, plural } from './wording.ts';

const STAGES = ['off', 'dualwrite', 'shadow', 'live', 'rampdown', 'complete', 'mixed'] as const;

const short = (value: DialValue): string => (typeof value === 'number' ? String(value) : value);

export function dirtText({ ranges, rejected }: MigrationOverview['dirty']): string {
  if (ranges + rejected === 0) return '0';
  const parts = [
    ranges > 0 ? plural(ranges, 'entry', 'entries') : null,
    rejected > 0 ? `${count(rejected)} rejected` : null,
  ];
  return parts.filter((part) => part !== null).join(', ');
}

function Needs({ migrations }: { readonly migrations: readonly MigrationOverview[] }) {
  const needs = migrations.flatMap((migration) => needsOf(migration).map((need) => ({ ...need, migration })));
  if (needs.length === 0) return null;
  return (
    <Panel
      title={
        <>
          Needs you <span class="count">{needs.length}</span>
        </>
      }
    >
      <ul class="log slim">
        {needs.map(({ migration: { migration: name }, icon, tone, what, note, tab }) => (
          <li key={`${name} ${what}`}>
            <Icon name={icon} tone={tone} />
            <span class="soft">{name}</span>
            <p>
              {what}
              <small>{note}</small>
            </p>
            <a class="btn s" href={`/migrations/${name}${tab}`} aria-label={`Open ${name}`}>
              Open
            </a>
          </li>
        ))}
      </ul>
    </Panel>
  );
}

/** A ramp in a line: what it does, and how far it is. */
export function rampLine({ dial, state, steps, step }: NonNullable<MigrationOverview['ramp']>): string {
  if (state === 'returning') return `ramp of ${dial} goes back`;
  return `ramp of ${dial}, step ${step + 1} of ${steps.length}${state === 'paused' ? ', paused' : ''}`;
}

function Row({ status }: { readonly status: MigrationOverview }) {
  const { migration, dials, stage, coverage, divergences, dirty, fleet, description, finished, ramp } = status;
  const dirtyNow = dirty.ranges + dirty.rejected > 0;
  return (
    <tr>
      <th scope="row">
        <a href={`/migrations/${migration}`}>{migration}</a>
        {description !== null && (
          <small>
            {description.stores.old} → {description.stores.new}
          </small>
        )}
      </th>
      <td>
        {finished ? 'finished' : stage}
        {ramp !== null && <small class={ramp.state === 'returning' ? 'bad' : undefined}>{rampLine(ramp)}</small>}
      </td>
      <td>
        <div class="mini">
          <BucketStrip thin segments={segmentsOf(status)} />
        </div>
      </td>
      <td class="num p2">{short(dials.dualWrite)}</td>
      <td class="num p3">{short(dials.shadowRead)}</td>
      <td class="num p2">{short(dials.cutover)}</td>
      <td class="num p3">{dials.retireOld ? 'yes' : 'no'}</td>
      <td class="num p2">{percent(coverage.new)}</td>
      <td class="num p2">{count(divergences)}</td>
      <td class="num p3">{dirtyNow ? <span class="warn">{dirtText(dirty)}</span> : '0'}</td>
      <td class="num p3">
        {fleet.acknowledged} / {fleet.nodes}
      </td>
    </tr>
  );
}

function NoMigration() {
  return (
    <div class="empty">
      <h2>No migration yet</h2>
      <p class="soft">
        A migration appears here when it is in <code>changeover.config.ts</code> and prepared. Every dial starts at 0 %:
        nothing changes for your services.
      </p>
      <CommandLine text="npx changeover init" />
      <CommandLine text="npx changeover prepare" />
      <CommandLine text="npx changeover demo" />
    </div>
  );
}

/** What needs somebody first, then every migration. */
export function MigrationsPage() {
  const { data, error } = useResource<readonly MigrationOverview[]>('/migrations');
  const wanted = useSignal('');
  const stage = useSignal('');
  if (data === undefined)
    return <main class="main">{error !== undefined && <Trouble>The list did not come.</Trouble>}</main>;
  const urgency = (status: MigrationOverview): number => -needsOf(status).length;
  const found = data
    .filter(({ migration, description }) => `${migration} ${description?.owner ?? ''}`.includes(wanted.value.trim()))
    .filter((status) => stage.value === '' || status.stage === stage.value)
    .toSorted((a, b) => urgency(a) - urgency(b) || a.migration.localeCompare(b.migration));
  return (
    <main class="main">
      <h1 class="sr">Migrations</h1>
      {session.value?.role === 'viewer' && <ViewerNote />}
      <Needs migrations={data} />
      <Panel
        title={
          <>
            Migrations <span class="count">{data.length}</span>
          </>
        }
        end={
          data.length > 0 && (
            <div class="filters">
              <input
                type="search"
                placeholder="Find a migration"
                aria-label="Find a migration"
                value={wanted.value}
                onInput={(event) => {
                  wanted.value = event.currentTarget.value;
                }}
              />
              <select
                aria-label="Stage"
                value={stage.value}
                onChange={(event) => {
                  stage.value = event.currentTarget.value;
                }}
              >
                <option value="">Any stage</option>
                {STAGES.map((name) => (
                  <option key={name} value={name}>
                    {name}
                  </option>
                ))}
              </select>
            </div>
          )
        }
      >
        {data.length === 0 ? (
          <NoMigration />
        ) : (
          <>
            <Scroll label="Migrations">
              <table>
                <thead>
                  <tr>
                    <th scope="col">Migration</th>
                    <th scope="col">Stage</th>
                    <th scope="col">Buckets</th>
                    <th scope="col" class="num p2">
                      dual-write
                    </th>
                    <th scope="col" class="num p3">
                      shadow-read
                    </th>
                    <th scope="col" class="num p2">
                      cutover
                    </th>
                    <th scope="col" class="num p3">
                      retire-old
                    </th>
                    <th scope="col" class="num p2">
                      Coverage
                    </th>
                    <th scope="col" class="num p2">
                      Divergences
                    </th>
                    <th scope="col" class="num p3">
                      Dirty
                    </th>
                    <th scope="col" class="num p3">
                      Fleet
                    </th>
                  </tr>
                </thead>
                <tbody>
                  {found.map((status) => (
                    <Row key={status.migration} status={status} />
                  ))}
                </tbody>
              </table>
            </Scroll>
            <div class="foot">
              <div class="legend-states">
                {([0, 1, 2, 3, 4] as const).map((state) => (
                  <StateName key={state} state={state} />
                ))}
              </div>
              <span>{found.length === data.length ? 'what needs you first' : `${found.length} of ${data.length}`}</span>
            </div>
          </>
        )}
      </Panel>
    </main>
  );
}

export function ViewerNote() {
  return (
    <div class="banner plain">
      <Icon name="eye" />
      <div>
        You are signed in as <b>viewer</b>: you see everything and move nothing.
      </div>
    </div>
  );
}

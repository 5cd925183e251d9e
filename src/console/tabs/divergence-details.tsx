import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { DivergenceRow, MigrationOverview, Revealed } from '../../server/api-types.ts';
import { ask, describeError, may, pathOf } from '../api.ts';
import { thresholdOf } from '../dial-value.ts';
import { Moment } from '../parts/clock.tsx';
import { CopyButton } from '../parts/command-line.tsx';
import { Facts, Panel, Scroll } from '../parts/panel.tsx';
import { count, plural } from '../wording.ts';
import { keyText, valueText } from './divergence-line.ts';

const MEANINGS: Readonly<Record<DivergenceRow['kind'], string>> = {
  different: 'both stores have it, with different values',
  missing: 'the follower has not got it',
  extra: 'only the follower has it',
  stale: 'the follower has an older version',
};

interface DetailsProps {
  readonly line: DivergenceRow;
  readonly status: MigrationOverview;
}

/** One record that differs, field by field; masked unless an admin asks for more, which is in the history. */
export function DivergenceDetails({ line, status }: DetailsProps) {
  const revealed = useSignal<Revealed | null>(null);
  useEffect(() => {
    revealed.value = null;
  }, [line.id, revealed]);
  const newLeads = line.position < thresholdOf(status.dials.cutover);
  const role = (side: 'old' | 'new'): string => ((side === 'new') === newLeads ? 'authority' : 'follower');
  const shown = revealed.value?.id === line.id ? revealed.value : null;
  const fields = shown?.fields ?? line.fields;
  return (
    <Panel
      class="c5 details"
      title={
        <>
          <span class="mono">{keyText(line)}</span> {line.kind}
        </>
      }
      end={<CopyButton text={JSON.stringify(line.key)} label="Copy key" />}
      footer={
        <>
          <Reveal
            migration={status.migration}
            line={line}
            done={(values) => {
              revealed.value = values;
            }}
          />
          <span class="small muted">A repair writes what the authority holds to the follower, by its own stamp.</span>
        </>
      }
    >
      <div class="body stack">
        <Facts
          of={[
            ['What', MEANINGS[line.kind]],
            ['Cause', line.cause ?? 'not known'],
            [
              'Seen',
              <>
                <Moment at={line.firstSeen} long />, {plural(line.seen, 'time')}, last{' '}
                <Moment at={line.lastSeen} long />
              </>,
            ],
            ['Bucket', count(line.position)],
            shown === null ? null : ['Now', nowText(shown)],
          ]}
        />
      </div>
      <Scroll label="Fields">
        <table class="diff">
          <thead>
            <tr>
              <th scope="col">Field</th>
              <th scope="col">old ({role('old')})</th>
              <th scope="col">new ({role('new')})</th>
            </tr>
          </thead>
          <tbody>
            {fields.length === 0 && (
              <tr>
                <td colSpan={3}>{shown === null ? 'the whole entry' : 'nothing differs any more'}</td>
              </tr>
            )}
            {fields.map(({ path, old, new: fresh }) => (
              <tr key={path} class="ne">
                <td>≠ {path === '' ? 'the record' : path}</td>
                <td>{valueText(old)}</td>
                <td>{valueText(fresh)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </Panel>
  );
}

const nowText = ({ present }: Revealed): string =>
  `${present.old ? 'in the old store' : 'not in the old store'}, ${present.new ? 'in the new one' : 'not in the new one'}; unmasked`;

interface RevealProps {
  readonly migration: string;
  readonly line: DivergenceRow;
  done(values: Revealed): void;
}

/** Values are shown to an admin who says why. */
function Reveal({ migration, line, done }: RevealProps) {
  const asking = useSignal(false);
  const reason = useSignal('');
  const trouble = useSignal<string | null>(null);
  if (!may('admin')) return <span class="small muted">Showing values needs admin and is recorded.</span>;
  if (!asking.value) {
    return (
      <button
        type="button"
        class="btn s"
        onClick={() => {
          asking.value = true;
        }}
      >
        Show values…
      </button>
    );
  }
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    try {
      done(
        await ask<Revealed>(pathOf(migration, `/divergences/${line.id}/values`), { body: { reason: reason.value } }),
      );
      asking.value = false;
      trouble.value = null;
    } catch (error) {
      trouble.value = describeError(error);
    }
  };
  return (
    <form class="row editor" onSubmit={submit}>
      <input
        type="text"
        required
        placeholder="Reason (recorded)"
        aria-label="Reason for showing values"
        value={reason.value}
        onInput={(event) => {
          reason.value = event.currentTarget.value;
        }}
      />
      <button type="submit" class="btn s">
        Show values
      </button>
      {trouble.value !== null && (
        <p class="bad" role="alert">
          {trouble.value}
        </p>
      )}
    </form>
  );
}

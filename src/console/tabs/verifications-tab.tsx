import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { Job, MigrationOverview, VerificationLine } from '../../server/api-types.ts';
import { ask, describeError, may, pathOf } from '../api.ts';
import { liveFeed } from '../live-feed.ts';
import { usePages } from '../pages.ts';
import { Moment, now } from '../parts/clock.tsx';
import { Icon } from '../parts/icon.tsx';
import { Panel, Scroll, Trouble } from '../parts/panel.tsx';
import { useResource } from '../resource.ts';
import type { TabProps } from '../tab-props.ts';
import { compact, count, duration } from '../wording.ts';

const COUNTS = ['equal', 'missing', 'extra', 'different', 'stale', 'pending'] as const;
type Verdict = NonNullable<MigrationOverview['verification']>['verdict'];

/** What of a report is kept with its verdict. */
interface Kept {
  readonly counts?: Readonly<Record<'old' | 'new' | (typeof COUNTS)[number], number>>;
  readonly reasons?: readonly string[];
}

const LOOKS = {
  consistent: { icon: 'check', tone: 'good' },
  divergent: { icon: 'cross', tone: 'bad' },
  inconclusive: { icon: 'warn', tone: 'warn' },
} as const;

const FORMATS = ['html', 'markdown', 'junit', 'json'] as const;

/** Verdicts; each is bound to the mapping, the revision and the positions, and expires. */
export function VerificationsTab({ status }: TabProps) {
  const { migration, verification } = status;
  const pages = usePages<VerificationLine>(pathOf(migration, '/verifications'), 'before');
  const jobs = useResource<readonly Job[]>(`/jobs?migration=${encodeURIComponent(migration)}`);
  const running = jobs.data?.find(({ kind, state }) => kind === 'verify' && state === 'running');
  const last = jobs.data?.find(({ kind }) => kind === 'verify');
  const verdict = useSignal<Verdict | ''>('');
  const known = useRef(verification?.finishedAt);
  useEffect(() => {
    if (known.current !== verification?.finishedAt) pages.restart();
    known.current = verification?.finishedAt;
  }, [verification?.finishedAt, pages.restart]);
  const found = pages.rows.filter((line) => verdict.value === '' || line.verdict === verdict.value);
  return (
    <Panel
      title="Verifications"
      end={
        <div class="filters">
          <select
            aria-label="Verdict"
            value={verdict.value}
            onChange={(event) => {
              verdict.value = event.currentTarget.value as Verdict | '';
            }}
          >
            <option value="">Any verdict</option>
            {Object.keys(LOOKS).map((name) => (
              <option key={name} value={name}>
                {name}
              </option>
            ))}
          </select>
        </div>
      }
    >
      <Start status={status} running={running} last={last} />
      {pages.error !== undefined && <Trouble>{describeError(pages.error)}</Trouble>}
      {pages.rows.length === 0 && pages.ended ? (
        <p class="body soft">
          Nothing was verified yet. A verification compares what both stores hold, record by record.
        </p>
      ) : (
        <Scroll label="Verifications">
          <table>
            <thead>
              <tr>
                <th scope="col">When</th>
                <th scope="col">Verdict</th>
                <th scope="col" class="num p3">
                  old
                </th>
                <th scope="col" class="num p3">
                  new
                </th>
                {COUNTS.map((name) => (
                  <th key={name} scope="col" class={name === 'stale' || name === 'pending' ? 'num p2' : 'num'}>
                    {name}
                  </th>
                ))}
                <th scope="col" class="num p3">
                  Revision
                </th>
                <th scope="col" class="p2">
                  Expires
                </th>
                <th scope="col">Reports</th>
              </tr>
            </thead>
            <tbody>
              {found.map((line) => (
                <Row key={line.id} line={line} migration={migration} />
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
      {!pages.ended && pages.rows.length > 0 && (
        <div class="foot">
          <button type="button" class="btn s" onClick={() => pages.more()}>
            Load more
          </button>
        </div>
      )}
    </Panel>
  );
}

function Row({ line, migration }: { readonly line: VerificationLine; readonly migration: string }) {
  const { icon, tone } = LOOKS[line.verdict];
  const kept = line.report as Kept | null;
  const counts = kept?.counts;
  const left = line.expiresAt - now.value;
  const figure = (n: number | undefined, text = count): string => (n === undefined ? '–' : text(n));
  return (
    <tr>
      <th scope="row">
        <Moment at={line.startedAt} />–<Moment at={line.finishedAt} />
        <small>{duration(line.finishedAt - line.startedAt)}</small>
      </th>
      <td>
        <span class={`tag ${tone}`} title={kept?.reasons?.join('; ')}>
          <Icon name={icon} />
          {line.verdict}
        </span>
      </td>
      <td class="num p3">{figure(counts?.old, compact)}</td>
      <td class="num p3">{figure(counts?.new, compact)}</td>
      {COUNTS.map((name) => (
        <td key={name} class={name === 'stale' || name === 'pending' ? 'num p2' : 'num'}>
          {figure(counts?.[name])}
        </td>
      ))}
      <td class="num p3">{line.revision}</td>
      <td class="p2">{left > 0 ? `in ${duration(left)}` : 'expired'}</td>
      <td>
        <span class="nowrap">
          {!line.reportKept && <span class="muted">not kept</span>}
          {(line.reportKept ? FORMATS : []).map((format, index) => (
            <span key={format}>
              {index > 0 && ' · '}
              <a
                href={`/api/v1${pathOf(migration, `/verifications/${line.id}/report?format=${format}`)}`}
                target="_blank"
                rel="noreferrer"
                aria-label={`${format} report of the verification of ${new Date(line.finishedAt).toISOString()}`}
              >
                {format}
              </a>
            </span>
          ))}
        </span>
      </td>
    </tr>
  );
}

interface StartProps {
  readonly status: MigrationOverview;
  readonly running: Job | undefined;
  readonly last: Job | undefined;
}

function Start({ status: { migration, finished }, running, last }: StartProps) {
  const reason = useSignal('');
  const trouble = useSignal<string | null>(null);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    trouble.value = null;
    try {
      await ask(pathOf(migration, '/verify'), { body: { reason: reason.value, wait: false } });
    } catch (error) {
      trouble.value = describeError(error);
    }
    liveFeed.poke();
  };
  if (running !== undefined) {
    return (
      <div class="body row">
        <Icon name="replay" />
        <span role="status">
          A verification is running since <Moment at={running.startedAt} long />: {progressText(running.progress)}
        </span>
        {may('operator') && (
          <button type="button" class="btn s end" onClick={() => void ask(`/jobs/${running.id}/cancel`, { body: {} })}>
            Cancel
          </button>
        )}
      </div>
    );
  }
  return (
    <form class="body row editor" onSubmit={submit}>
      <label class="field">
        <span>Reason for a verification</span>
        <input
          type="text"
          required
          disabled={!may('operator') || finished}
          value={reason.value}
          onInput={(event) => {
            reason.value = event.currentTarget.value;
          }}
        />
      </label>
      <button
        type="submit"
        class="btn go"
        disabled={!may('operator') || finished}
        title={may('operator') ? undefined : 'your role moves nothing'}
      >
        Verify
      </button>
      {trouble.value !== null && (
        <p class="bad" role="alert">
          {trouble.value}
        </p>
      )}
      {last?.state === 'failed' && last.error !== null && <p class="warn">The last one ended: {last.error.detail}</p>}
    </form>
  );
}

function progressText(progress: unknown): string {
  if (typeof progress !== 'object' || progress === null) return 'it begins';
  return Object.entries(progress)
    .filter(([, value]) => typeof value === 'number' || typeof value === 'string')
    .map(([name, value]) => `${name} ${typeof value === 'number' ? count(value) : String(value)}`)
    .join(', ');
}

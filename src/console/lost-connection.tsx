import { useLocation } from 'preact-iso';
import { liveFeed } from './live-feed.ts';
import { now } from './parts/clock.tsx';
import { CommandLine } from './parts/command-line.tsx';
import { Icon } from './parts/icon.tsx';
import { clockTime, duration } from './wording.ts';

const ORDINALS = ['first', 'second', 'third'];

/** The migration that the page is about. */
function migrationOf(path: string): string | null {
  const name = /^\/migrations\/([^/]+)/.exec(path)?.[1];
  return name === undefined ? null : decodeURIComponent(name);
}

/** Said once and plainly; what the page knows stays, and the command takes the red button's place. */
export function LostConnection() {
  const state = liveFeed.state.value;
  const migration = migrationOf(useLocation().path);
  if (state.kind !== 'lost') return null;
  const wait = Math.max(state.nextTryAt - now.value, 0);
  return (
    <>
      <div class="banner bad">
        <Icon name="link" />
        <div>
          <b role="alert">The connection to the server is lost.</b> What you see is from {clockTime(state.since)},{' '}
          {duration(Math.max(now.value - state.since, 0))} ago.{' '}
          {wait > 900 ? `Next try in ${duration(wait)}` : 'Trying now'}, the{' '}
          {ORDINALS[state.attempt - 1] ?? `${state.attempt}th`}. Processes go on with the ruleset that they have;
          nothing has stopped.
        </div>
        <div class="end">
          <button type="button" class="btn s" onClick={() => liveFeed.tryNow()}>
            Try now
          </button>
        </div>
      </div>
      {migration !== null && (
        <div class="banner">
          <Icon name="back" />
          <div class="stack">
            <span>
              Dials wait until the connection is back. To return to the old store from any machine that reaches the
              control plane:
            </span>
            <CommandLine text={`changeover rollback ${migration} --reason "on call"`} />
          </div>
        </div>
      )}
    </>
  );
}

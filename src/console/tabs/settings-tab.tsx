import { useSignal } from '@preact/signals';
import type { RulesetDocument } from '../../server/api-types.ts';
import { ask, describeError, pathOf } from '../api.ts';
import { liveFeed } from '../live-feed.ts';
import { hindrance } from '../overview/dials.tsx';
import { Facts, Panel, Scroll, Trouble } from '../parts/panel.tsx';
import { useResource } from '../resource.ts';
import type { TabProps } from '../tab-props.ts';

type Settings = RulesetDocument['settings'];
type Name = keyof Settings;

/** Choices that are words. */
const WORDS: Readonly<Partial<Record<Name, readonly string[]>>> = {
  mirrorToNew: ['detached', 'wait'],
  mirrorToOld: ['detached', 'wait'],
  followerLimits: ['mark', 'refuse'],
  verification: ['sample', 'full', 'proven'],
};

/** As the command line, the history and the docs name it: `replayRate` → `replay-rate`. */
const nameOf = (name: Name): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

const shown = (value: unknown): string =>
  value === null
    ? 'none'
    : typeof value === 'boolean'
      ? value
        ? 'yes'
        : 'no'
      : Array.isArray(value)
        ? value.join(', ')
        : String(value);

/** What is no number stays the text that it is, for the server to refuse: it must not turn into nothing. */
const numberOr = (word: string): unknown => (word === '' || Number.isNaN(Number(word)) ? word : Number(word));

/** What somebody typed, as the kind of value that is in force. */
function typedAs(text: string, present: unknown): unknown {
  const word = text.trim();
  if (typeof present === 'boolean') return word === 'yes';
  if (Array.isArray(present)) return word === '' ? [] : word.split(',').map((part) => numberOr(part.trim()));
  if (present === null || typeof present === 'number') return word === 'none' ? null : numberOr(word);
  return word;
}

/** What operators may change while everything runs. Bounds are the server's: it says what it expects. */
export function SettingsTab({ status }: TabProps) {
  const { migration, description } = status;
  const ruleset = useResource<RulesetDocument>(pathOf(migration, '/ruleset'));
  const why = hindrance(status);
  const wanted = useSignal('');
  const editing = useSignal<Name | null>(null);
  const settings = ruleset.data?.settings;
  const names = Object.keys(settings ?? {}) as Name[];
  return (
    <div class="cols">
      <Panel
        class="c7"
        title="Settings"
        end={
          <div class="filters">
            <input
              type="search"
              placeholder="Setting"
              aria-label="Find a setting"
              value={wanted.value}
              onInput={(event) => {
                wanted.value = event.currentTarget.value;
              }}
            />
          </div>
        }
      >
        {ruleset.error !== undefined && <Trouble>{describeError(ruleset.error)}</Trouble>}
        <Scroll label="Settings">
          <table>
            <thead>
              <tr>
                <th scope="col">Setting</th>
                <th scope="col">In force</th>
                <th scope="col" class="num">
                  <span class="sr">Change</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {settings !== undefined &&
                names
                  .filter((name) => nameOf(name).includes(wanted.value.trim().toLowerCase()))
                  .map((name) => (
                    <tr key={name}>
                      <th scope="row">
                        <code>{nameOf(name)}</code>
                      </th>
                      <td>
                        {editing.value === name ? (
                          <Editor
                            migration={migration}
                            name={name}
                            present={settings[name]}
                            end={() => {
                              editing.value = null;
                            }}
                          />
                        ) : (
                          shown(settings[name])
                        )}
                      </td>
                      <td class="num">
                        {editing.value !== name && (
                          <button
                            type="button"
                            class="btn s"
                            aria-label={`Change ${nameOf(name)}`}
                            disabled={why !== null}
                            title={why ?? undefined}
                            onClick={() => {
                              editing.value = name;
                            }}
                          >
                            Change
                          </button>
                        )}
                      </td>
                    </tr>
                  ))}
            </tbody>
          </table>
        </Scroll>
      </Panel>
      <Panel class="c5" title="Stores">
        <div class="body">
          {description === null ? (
            <p class="soft">Only the control plane knows this migration; its configuration is not this server’s.</p>
          ) : (
            <Facts
              of={[
                ['Key', <code key="key">{description.key.join(', ')}</code>],
                ['Unit', <code key="unit">{description.unit.join(', ')}</code>],
                ['Old', description.stores.old],
                ['New', description.stores.new],
                ['Owner', description.owner ?? 'nobody is named'],
                ['Runbook', description.runbook ?? 'none'],
                ['Stamping', status.stamping],
              ]}
            />
          )}
        </div>
      </Panel>
    </div>
  );
}

interface EditorProps {
  readonly migration: string;
  readonly name: Name;
  readonly present: unknown;
  end(): void;
}

function Editor({ migration, name, present, end }: EditorProps) {
  const value = useSignal(shown(present));
  const reason = useSignal('');
  const trouble = useSignal<string | null>(null);
  const words = WORDS[name] ?? (typeof present === 'boolean' ? ['yes', 'no'] : undefined);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    try {
      const body = { settings: { [name]: typedAs(value.value, present) }, reason: reason.value };
      await ask(pathOf(migration, '/settings'), { method: 'PATCH', body });
      liveFeed.poke();
      end();
    } catch (error) {
      trouble.value = describeError(error);
    }
  };
  const set = (text: string): void => {
    value.value = text;
  };
  return (
    <form class="row editor" onSubmit={submit}>
      {words === undefined ? (
        <input
          type="text"
          aria-label={nameOf(name)}
          value={value.value}
          onInput={(event) => set(event.currentTarget.value)}
        />
      ) : (
        <select aria-label={nameOf(name)} value={value.value} onChange={(event) => set(event.currentTarget.value)}>
          {words.map((word) => (
            <option key={word} value={word}>
              {word}
            </option>
          ))}
        </select>
      )}
      <input
        type="text"
        required
        placeholder="Reason"
        aria-label={`Reason for changing ${nameOf(name)}`}
        value={reason.value}
        onInput={(event) => {
          reason.value = event.currentTarget.value;
        }}
      />
      <button type="submit" class="btn go s">
        Save
      </button>
      <button type="button" class="btn s" onClick={end}>
        Leave
      </button>
      {trouble.value !== null && (
        <p class="bad" role="alert">
          {trouble.value}
        </p>
      )}
    </form>
  );
}

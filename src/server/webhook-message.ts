import type { Notice } from '../control/notices.ts';
import type { HistoryRow } from '../control/storage.ts';

/** What Slack's incoming webhooks take, and Mattermost's and Rocket.Chat's with them. */
export interface WebhookMessage {
  readonly text: string;
  readonly attachments: readonly {
    readonly color: string;
    readonly fallback: string;
    readonly text: string;
    readonly fields: readonly { readonly title: string; readonly value: string; readonly short: boolean }[];
    readonly ts: number;
  }[];
}

const CALM = '#2f6fd0';
const WARNING = '#c77700';
const ALARM = '#c4314b';

/** Steps of one deed whose end is told. */
const STEP = /: handover begins$|^authority of /;
const TOLD: Readonly<Record<string, string>> = {
  move: CALM,
  handover: CALM,
  cohort: CALM,
  stage: CALM,
  refusal: WARNING,
  ramp: CALM,
  emergency: ALARM,
  burial: WARNING,
};

/** Slack's own marks are text here, whatever people write into a reason. */
const plain = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

/** What a webhook is told of a notice; null where nothing of it is worth waking anybody. */
export function messageOf(
  { migration, history, divergences, toldDivergences, stuck }: Notice,
  now: number,
): WebhookMessage | null {
  const attachments: WebhookMessage['attachments'][number][] = history.filter(isTold).map((row) => {
    const failed = row.gates.filter(({ passed }) => !passed);
    return attachment(colourOf(row), row.summary, row.at, [
      ['by', row.actor],
      ['why', row.reason],
      ...failed.map(
        ({ gate, evidence, remedy }): Field => [gate, `${evidence}${remedy === null ? '' : ` → ${remedy}`}`],
      ),
    ]);
  });
  if (divergences > toldDivergences) {
    const text = `${divergences} ${divergences === 1 ? 'record differs' : 'records differ'}, ${divergences - toldDivergences} of them new`;
    attachments.push(attachment(WARNING, text, now, [['to do', `changeover repair ${migration} --reason …`]]));
  }
  for (const { id, kind, target, startedAt } of stuck) {
    const text = `nobody works at the ${kind} to the ${target} store any more (replay ${id})`;
    const begun = new Date(startedAt).toISOString();
    attachments.push(
      attachment(ALARM, text, now, [
        ['begun', begun],
        ['to do', `changeover ${kind} ${migration} --reason …`],
      ]),
    );
  }
  if (attachments.length === 0) return null;
  const [first] = attachments;
  const more = attachments.length === 1 ? '' : ` (and ${attachments.length - 1} more)`;
  return { text: `*${plain(migration)}*: ${first?.text}${more}`, attachments };
}

type Field = readonly [title: string, value: string];

const isTold = ({ kind, summary, gates }: HistoryRow): boolean =>
  Object.hasOwn(TOLD, kind)
    ? !STEP.test(summary)
    : (kind === 'verification' && !summary.endsWith('consistent')) || gates.some(({ passed }) => !passed);

const colourOf = ({ kind, gates }: HistoryRow): string =>
  gates.some(({ passed, advice }) => !passed && !advice)
    ? kind === 'ramp'
      ? ALARM
      : WARNING
    : (TOLD[kind] ?? WARNING);

const attachment = (color: string, text: string, at: number, fields: readonly Field[]) => ({
  color,
  fallback: plain(text),
  text: plain(text),
  fields: fields.map(([title, value]) => ({
    title: plain(title),
    value: plain(value).slice(0, 1_000),
    short: value.length < 40,
  })),
  ts: Math.floor(at / 1_000),
});

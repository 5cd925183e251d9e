import { BUCKET_STATES, ofBuckets, type Segment, shares } from '../bucket-states.ts';
import { BUCKETS } from '../dial-value.ts';
import { count, percent } from '../wording.ts';

/** What a bar shows, in words. */
export const stripText = (segments: readonly Segment[]): string =>
  shares(segments)
    .map((share, state) => (share === 0 ? null : `${BUCKET_STATES[state]} ${percent(share)}`))
    .filter((part) => part !== null)
    .reverse()
    .join(', ');

export const rangeText = (from: number, to: number): string => `${count(from)}–${count(to - 1)}`;

/** The buckets as one bar; with the cohorts as small cells at its ends where it is not thin. */
export function BucketStrip({
  segments,
  thin = false,
}: {
  readonly segments: readonly Segment[];
  readonly thin?: boolean;
}) {
  const first = segments[0];
  const last = segments.at(-1);
  const buckets = ofBuckets(segments);
  const cell = (segment: Segment | undefined, name: string) =>
    segment === undefined || thin ? null : (
      <i class={`cell st-${segment.state}`} title={`${name}: ${BUCKET_STATES[segment.state]}`} />
    );
  const ends =
    first === undefined || last === undefined || thin
      ? ''
      : `; canary ${BUCKET_STATES[first.state]}; kept-back ${BUCKET_STATES[last.state]}`;
  return (
    <div class={thin ? 'bbar thin' : 'bbar'} role="img" aria-label={`Buckets: ${stripText(segments)}${ends}`}>
      {cell(first, 'canary')}
      {buckets.map(({ state, from, to }) => (
        <i
          key={from}
          class={`st-${state}`}
          style={{ flex: String((to - from) / BUCKETS) }}
          title={`${BUCKET_STATES[state]}: buckets ${rangeText(from, to)}`}
        />
      ))}
      {cell(last, 'kept-back')}
    </div>
  );
}

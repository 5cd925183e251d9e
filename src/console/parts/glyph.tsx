import { BUCKET_STATES, type BucketState } from '../bucket-states.ts';

const filled = (cx: number) => <circle cx={cx} cy="5" r="4.2" fill="currentColor" />;
const ring = (cx: number) => <circle cx={cx} cy="5" r="3.5" fill="none" stroke="currentColor" stroke-width="1.4" />;
const dot = (cx: number) => <circle cx={cx} cy="5" r="1.2" fill="currentColor" />;
const dashes = (
  <circle cx="18" cy="5" r="3.5" fill="none" stroke="currentColor" stroke-width="1.4" stroke-dasharray="2 1.65" />
);

/** Left the old store, right the new: filled leads, a ring is complete, dashes are mirrored, a dot is nothing. */
const PICTURES = [
  [filled(6), dot(18)],
  [filled(6), dashes],
  [filled(6), ring(18)],
  [ring(6), filled(18)],
  [dot(6), filled(18)],
] as const;

export function Glyph({ state }: { readonly state: BucketState }) {
  return (
    <svg class="gl" viewBox="0 0 24 10" aria-hidden="true">
      {PICTURES[state]}
    </svg>
  );
}

/** A state by colour, texture, glyph and word. */
export function StateName({
  state,
  children,
}: {
  readonly state: BucketState;
  readonly children?: preact.ComponentChildren;
}) {
  return (
    <span class="state">
      <i class={`sw st-${state}`} />
      <Glyph state={state} />
      {BUCKET_STATES[state]}
      {children}
    </span>
  );
}

export function Brand() {
  return (
    <a class="brand" href="/">
      <svg viewBox="0 0 24 10" aria-hidden="true">
        {PICTURES[3]}
      </svg>
      changeover
    </a>
  );
}

import type { MigrationOverview, MovePreview } from '../../server/api-types.ts';
import { axisPercent, CANARY, type DialValue, thresholdOf } from '../dial-value.ts';
import { rangeText } from '../parts/bucket-strip.tsx';
import { Gates } from '../parts/gates.tsx';
import { Facts } from '../parts/panel.tsx';
import { compact, percent, plural } from '../wording.ts';

/** What lies between two values of a dial. */
function movedText(from: DialValue, to: DialValue): string {
  const [low, high] = [thresholdOf(from), thresholdOf(to)].toSorted((a, b) => a - b) as [number, number];
  const parts: string[] = [];
  if (low < CANARY) parts.push('the canaries');
  const [first, last] = [axisPercent(low) * 1_000, axisPercent(high) * 1_000];
  if (last > first) parts.push(`buckets ${rangeText(first, last)}`);
  if (high > 100_000) parts.push('the kept-back units');
  return parts.join(', ');
}

const NEXT: Readonly<Record<MovePreview['next'], string>> = {
  done: 'one revision',
  handover: 'a fenced handover: writes of what moves wait for a moment, reads go on',
  stamping: 'stamping starts first, then the dial moves',
};

function authorityText(preview: MovePreview): string {
  if (preview.dial !== 'cutover') return 'stays where it is';
  const up = thresholdOf(preview.to as DialValue) > thresholdOf(preview.from as DialValue);
  return up ? 'old → new' : 'new → old';
}

function wayBack({ dial, to }: MovePreview): string {
  if (dial === 'retire-old' && to === true) return 'ends: the old store gets no more writes';
  return dial === 'cutover' ? 'stays open: the old store keeps every write' : 'one move back';
}

/** How many of the units, as far as anybody can know without reading them all. */
function unitsText({ moves }: MovePreview): string | null {
  if (moves === null) return null;
  const parts = [`${percent(moves.percent)} of the units`];
  if (moves.canary > 0) parts.push(plural(moves.canary, 'canary unit'));
  if (moves.keptBack > 0) parts.push(plural(moves.keptBack, 'kept-back unit'));
  return parts.join(', ');
}

function trafficText({ moves, dial }: MovePreview): string | null {
  if (moves === null || moves.traffic === null) return null;
  const { reads, writes } = moves.traffic;
  const share = `${compact(reads)} reads/s and ${compact(writes)} writes/s`;
  return dial === 'cutover' ? `${share} change their leading store` : `${share} are concerned`;
}

/** What a move would do, and each gate with its evidence and what mends it. */
export function PreviewBody({ preview }: { readonly preview: MovePreview; readonly status: MigrationOverview }) {
  const { from, to } = preview;
  return (
    <>
      <Facts
        of={[
          typeof from === 'boolean' || typeof to === 'boolean'
            ? null
            : ['Moves', [unitsText(preview), movedText(from, to)].filter((part) => part !== null).join(': ')],
          ['Authority', authorityText(preview)],
          ['How', NEXT[preview.next]],
          trafficText(preview) === null ? null : ['Traffic', trafficText(preview)],
          ['Way back', wayBack(preview)],
        ]}
      />
      <Gates gates={preview.gates} />
    </>
  );
}

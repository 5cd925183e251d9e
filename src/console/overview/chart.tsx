import type { Signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type uPlot from 'uplot';
import type { Points, SeriesMark } from '../../server/api-types.ts';
import { clockTime } from '../wording.ts';

/** One line of a chart. */
export interface Line {
  readonly name: string;
  /** Old is amber, new is blue, everything else is ink or a warning. */
  readonly color: 'old' | 'new' | 'ink' | 'warn';
  readonly dashed?: boolean;
  readonly filled?: boolean;
  readonly points: Points;
}

export interface ChartProps {
  readonly title: string;
  readonly lines: readonly Line[];
  readonly at: readonly number[];
  readonly marks: readonly SeriesMark[];
  readonly text: (value: number) => string;
  /** Where the cursor of all charts is, ms; null nowhere. */
  readonly cursor: Signal<number | null>;
}

const CLASSES = { old: 'so', new: 'sn', ink: 'sx', warn: 'sz' } as const;
const HEIGHT = 130;
const SYNC = 'changeover';

/** What a variable of the style sheet stands for in the theme that is on. */
function colorOf(place: HTMLElement, variable: string): string {
  place.style.color = `var(${variable})`;
  const { color } = getComputedStyle(place);
  place.style.color = '';
  return color;
}

const latest = ({ points }: Line): number | null => points.findLast((value) => value !== null) ?? null;

export const summaryOf = ({ title, lines, text }: Pick<ChartProps, 'title' | 'lines' | 'text'>): string => {
  const parts = lines.map((line) => {
    const value = latest(line);
    return `${line.name} ${value === null ? 'nothing yet' : text(value)}`;
  });
  return `${title}: ${parts.join(', ')}`;
};

/** A chart; its figures stand in words beside it and in the table behind all charts. */
export function Chart(props: ChartProps) {
  const { title, lines, at, text, cursor } = props;
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const shown = useRef(props);
  shown.current = props;
  useEffect(() => {
    let stopped = false;
    let tidy = (): void => {};
    void import('./plot.ts').then(({ makePlot }) => {
      if (stopped || place.current === null) return;
      const made = makePlot(place.current, () => shown.current, { height: HEIGHT, sync: SYNC, colorOf, cursor });
      plot.current = made.plot;
      tidy = made.destroy;
    });
    return () => {
      stopped = true;
      plot.current = null;
      tidy();
    };
  }, []);
  useEffect(() => {
    plot.current?.setData([at.map((ms) => ms / 1_000), ...lines.map(({ points }) => [...points])]);
  }, [at, lines]);
  const index = cursor.value === null ? -1 : at.findIndex((ms) => ms >= (cursor.value as number));
  return (
    <figure class="chart">
      <figcaption>
        <h3>{title}</h3>
        <ul>
          {lines.map((line) => {
            const value = index < 0 ? latest(line) : (line.points[index] ?? null);
            return (
              <li key={line.name} class={`${CLASSES[line.color]}${line.dashed === true ? ' d' : ''}`}>
                {line.name} <b>{value === null ? '–' : text(value)}</b>
              </li>
            );
          })}
        </ul>
      </figcaption>
      <div ref={place} class="plot" role="img" aria-label={summaryOf(props)}>
        {index >= 0 && <span class="tip">{clockTime(at[index] as number)}</span>}
      </div>
    </figure>
  );
}

import type { Signal } from '@preact/signals';
import uPlot from 'uplot';
import { compact } from '../wording.ts';
import type { ChartProps, Line } from './chart.tsx';

interface PlotOptions {
  readonly height: number;
  /** Charts of one name share their cursor. */
  readonly sync: string;
  readonly colorOf: (place: HTMLElement, variable: string) => string;
  readonly cursor: Signal<number | null>;
}

const VARIABLES = { old: '--store-old', new: '--store-new', ink: '--ink-2', warn: '--warn' } as const;
const MARK_SIZE = 15;

/** A plot that follows its place's width, the theme, and what there is to show. */
export function makePlot(
  place: HTMLElement,
  shown: () => ChartProps,
  { height, sync, colorOf, cursor }: PlotOptions,
): { readonly plot: uPlot; destroy(): void } {
  const colors = { line: '', ink: '', axis: '', panel: '' };
  const strokes: string[] = [];
  const readColors = (): void => {
    colors.line = colorOf(place, '--line');
    colors.ink = colorOf(place, '--ink');
    colors.axis = colorOf(place, '--ink-3');
    colors.panel = colorOf(place, '--panel');
    for (const [index, { color }] of shown().lines.entries()) strokes[index] = colorOf(place, VARIABLES[color]);
  };
  readColors();
  const series = shown().lines.map(
    (line: Line, index): uPlot.Series => ({
      label: line.name,
      stroke: () => strokes[index] ?? '',
      width: 1.75,
      ...(line.dashed === true ? { dash: [4, 3] } : {}),
      ...(line.filled === true ? { fill: () => fade(strokes[index] ?? '') } : {}),
      points: { show: false },
      spanGaps: false,
    }),
  );
  const axis = {
    stroke: () => colors.axis,
    font: `11px ${getComputedStyle(place).fontFamily}`,
    ticks: { show: false },
  };
  const plot = new uPlot(
    {
      width: Math.max(place.clientWidth, 100),
      height,
      legend: { show: false },
      cursor: { sync: { key: sync, setSeries: false }, drag: { x: false, y: false }, points: { size: 6 }, y: false },
      scales: { x: { time: true }, y: { range: (_, __, high) => [0, high > 0 ? high * 1.15 : 1] } },
      axes: [
        {
          ...axis,
          size: 24,
          gap: 6,
          space: 80,
          grid: { show: false },
          values: (_, splits) => splits.map((seconds) => minute.format(seconds * 1_000)),
        },
        {
          ...axis,
          size: 40,
          gap: 4,
          space: 40,
          grid: { stroke: () => colors.line, width: 1 },
          values: (_, splits) => splits.map((value) => compact(value)),
        },
      ],
      series: [{}, ...series],
      hooks: {
        draw: [(self) => drawMarks(self, shown(), colors)],
        setCursor: [
          (self) => {
            const { idx } = self.cursor;
            const seconds = idx == null ? undefined : self.data[0][idx];
            cursor.value = seconds === undefined ? null : seconds * 1_000;
          },
        ],
      },
    },
    dataOf(shown()),
    place,
  );
  const resize = new ResizeObserver(() => {
    plot.setSize({ width: Math.max(place.clientWidth, 100), height });
  });
  resize.observe(place);
  const theme = matchMedia('(prefers-color-scheme: dark)');
  const repaint = (): void => {
    readColors();
    plot.redraw();
  };
  theme.addEventListener('change', repaint);
  return {
    plot,
    destroy: () => {
      resize.disconnect();
      theme.removeEventListener('change', repaint);
      plot.destroy();
    },
  };
}

const minute = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });

const dataOf = ({ at, lines }: ChartProps): uPlot.AlignedData => [
  at.map((ms) => ms / 1_000),
  ...lines.map(({ points }) => [...points]),
];

const fade = (color: string): string => color.replace(/^rgb\((.*)\)$/, 'rgba($1, 0.12)');

/** Every move where it happened: a number, or a square A where nobody asked for it. */
function drawMarks(
  { ctx, bbox, valToPos, root }: uPlot,
  { marks }: ChartProps,
  { ink, panel }: { readonly ink: string; readonly panel: string },
): void {
  const scale = devicePixelRatio;
  const size = MARK_SIZE * scale;
  ctx.save();
  for (const [index, { at, automatic }] of marks.entries()) {
    const x = valToPos(at / 1_000, 'x', true);
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.strokeStyle = ink;
    ctx.lineWidth = scale;
    ctx.setLineDash([3 * scale, 3 * scale]);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.fillStyle = ink;
    const y = bbox.top + size / 2;
    ctx.beginPath();
    if (automatic) ctx.rect(x - size / 2, y - size / 2, size, size);
    else ctx.arc(x, y, size / 2, 0, 2 * Math.PI);
    ctx.fill();
    ctx.fillStyle = panel;
    ctx.font = `600 ${10 * scale}px ${getComputedStyle(root).fontFamily}`;
    ctx.textAlign = 'center';
    ctx.textBaseline = 'middle';
    ctx.fillText(automatic ? 'A' : String(index + 1), x, y + scale / 2);
  }
  ctx.restore();
}

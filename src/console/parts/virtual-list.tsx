import { useSignal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';

interface VirtualListProps<T> {
  readonly rows: readonly T[];
  readonly rowHeight: number;
  readonly head: ComponentChildren;
  readonly label: string;
  readonly columns: number;
  row(row: T, index: number): ComponentChildren;
  /** More is wanted: the end of what is there came near. */
  readonly onEnd?: () => void;
}

/** Rows above and below what is seen, so that scrolling meets no gap. */
const SPARE = 12;

/** A table of any length of which only what is seen stands in the page. */
export function VirtualList<T>({ rows, rowHeight, head, label, columns, row, onEnd }: VirtualListProps<T>) {
  const box = useRef<HTMLElement>(null);
  const view = useSignal({ top: 0, height: 800 });
  const measure = (): void => {
    const { current } = box;
    if (current !== null) view.value = { top: current.scrollTop, height: current.clientHeight };
  };
  useEffect(() => {
    measure();
    const observer = new ResizeObserver(measure);
    if (box.current !== null) observer.observe(box.current);
    return () => observer.disconnect();
  }, []);
  const { top, height } = view.value;
  const from = Math.max(Math.floor(top / rowHeight) - SPARE, 0);
  const to = Math.min(Math.ceil((top + height) / rowHeight) + SPARE, rows.length);
  useEffect(() => {
    if (to >= rows.length - SPARE) onEnd?.();
  }, [to, rows.length, onEnd]);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard
    <section class="scroll virtual" tabIndex={0} aria-label={label} ref={box} onScroll={measure}>
      <table aria-rowcount={rows.length + 1}>
        {head}
        <tbody>
          {from > 0 && (
            <tr class="gap">
              <td colSpan={columns} style={{ height: `${from * rowHeight}px` }} />
            </tr>
          )}
          {rows.slice(from, to).map((each, index) => row(each, from + index))}
          {to < rows.length && (
            <tr class="gap">
              <td colSpan={columns} style={{ height: `${(rows.length - to) * rowHeight}px` }} />
            </tr>
          )}
        </tbody>
      </table>
    </section>
  );
}

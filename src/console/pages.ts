import { useSignal } from '@preact/signals';
import { useCallback, useEffect, useRef } from 'preact/hooks';
import { ask } from './api.ts';

interface Page<T> {
  readonly rows: readonly T[];
  readonly next: number | null;
}

/** A list that comes a page at a time, as far as somebody scrolls. */
export interface Pages<T, P = Page<T>> {
  readonly rows: readonly T[];
  /** The first page as it came, with what it says beside its rows. */
  readonly first: P | undefined;
  /** All of it is here. */
  readonly ended: boolean;
  readonly error: unknown;
  more(): void;
  /** From the beginning again, without losing what is shown meanwhile. */
  restart(): void;
}

export const PAGE = 200;

/** `cursor`: the parameter that says where the next page begins. */
export function usePages<T, P extends Page<T> = Page<T>>(path: string, cursor: 'after' | 'before'): Pages<T, P> {
  const rows = useSignal<readonly T[]>([]);
  const next = useSignal<number | null | undefined>(undefined);
  const first = useSignal<P | undefined>(undefined);
  const error = useSignal<unknown>(undefined);
  const round = useRef(0);
  const busy = useRef(false);

  const load = useCallback(
    async (from: number | undefined): Promise<void> => {
      const mine = round.current;
      busy.current = true;
      try {
        const at = from === undefined ? '' : `&${cursor}=${from}`;
        const page = await ask<P>(`${path}${path.includes('?') ? '&' : '?'}limit=${PAGE}${at}`);
        if (mine !== round.current) return;
        rows.value = from === undefined ? page.rows : [...rows.value, ...page.rows];
        if (from === undefined) first.value = page;
        next.value = page.next;
        error.value = undefined;
      } catch (caught) {
        if (mine === round.current) error.value = caught;
      } finally {
        if (mine === round.current) busy.current = false;
      }
    },
    [path, cursor, rows, first, next, error],
  );
  const restart = useCallback((): void => {
    round.current += 1;
    void load(undefined);
  }, [load]);
  useEffect(() => {
    rows.value = [];
    next.value = undefined;
    restart();
  }, [restart, rows, next]);
  const more = useCallback((): void => {
    if (!busy.current && typeof next.value === 'number') void load(next.value);
  }, [load, next]);
  return { rows: rows.value, first: first.value, ended: next.value === null, error: error.value, more, restart };
}

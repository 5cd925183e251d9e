import { effect, useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { ask, Refusal } from './api.ts';
import { liveFeed } from './live-feed.ts';

/** What a view shows of the server, and asks for again whenever something has changed. */
export interface Resource<T> {
  /** Undefined until it came for the first time; then what came last, however old. */
  readonly data: T | undefined;
  readonly error: unknown;
  reload(): void;
}

export interface ResourceOptions {
  /** Ask again on news. @default true */
  readonly follow?: boolean;
  /** Ask again after this long, whatever happened, ms. */
  readonly everyMs?: number;
}

/** Between two questions that nobody is urgent about. */
const PAUSE_MS = 1_000;

/** Null asks for nothing. */
export function useResource<T>(path: string | null, { follow = true, everyMs }: ResourceOptions = {}): Resource<T> {
  const data = useSignal<{ readonly path: string; readonly value: T } | undefined>(undefined);
  const error = useSignal<unknown>(undefined);
  const reload = useRef<() => void>(() => {});

  useEffect(() => {
    if (path === null) return;
    const stop = new AbortController();
    let running = false;
    let again = false;
    let endedAt = 0;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let next: ReturnType<typeof setTimeout> | undefined;

    const load = async (): Promise<void> => {
      clearTimeout(timer);
      timer = undefined;
      if (running) {
        again = true;
        return;
      }
      running = true;
      try {
        const value = await ask<T>(path, { signal: stop.signal });
        if (stop.signal.aborted) return;
        data.value = { path, value };
        error.value = undefined;
      } catch (caught) {
        if (stop.signal.aborted) return;
        // That the server is away is said once, above everything; what is here stays.
        if (caught instanceof Refusal) error.value = caught;
      } finally {
        running = false;
        endedAt = Date.now();
      }
      if (again) {
        again = false;
        void load();
      }
      if (everyMs !== undefined) {
        clearTimeout(next);
        next = setTimeout(() => void load(), everyMs);
      }
    };
    const soon = (urgent: boolean): void => {
      if (urgent) void load();
      else if (timer === undefined) timer = setTimeout(() => void load(), Math.max(endedAt + PAUSE_MS - Date.now(), 0));
    };
    reload.current = () => void load();
    void load();
    let first = true;
    const unfollow = effect(() => {
      const { urgent } = liveFeed.news.value;
      if (!first && follow) soon(urgent);
      first = false;
    });
    return () => {
      stop.abort();
      unfollow();
      clearTimeout(timer);
      clearTimeout(next);
    };
  }, [path, follow, everyMs]);

  const present = data.value;
  return {
    data: present !== undefined && present.path === path ? present.value : undefined,
    error: error.value,
    reload: () => reload.current(),
  };
}

import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { GateVerdict, MovePreview, RampView } from '../../server/api-types.ts';
import { ask, pathOf } from '../api.ts';
import type { DialName, DialValue } from '../dial-value.ts';
import { type Resource, useResource } from '../resource.ts';
import { isUnfinished } from './ramp-plan.ts';

/** While one is under way its checks are looked at so often, whatever the stream says, ms. */
const LOOK_MS = 2_000;
const KEPT = 50;

/** The ramps of a migration, newest first. */
export function useRamps(migration: string): Resource<readonly RampView[]> {
  const open = useSignal(false);
  const path = pathOf(migration, `/ramps?limit=${KEPT}`);
  const ramps = useResource<readonly RampView[]>(path, open.value ? { everyMs: LOOK_MS } : {});
  useEffect(() => {
    open.value = ramps.data?.some(isUnfinished) ?? false;
  }, [ramps.data, open]);
  return ramps;
}

const REST_MS = 250;
const GATES_MS = 3_000;

/** The gates that stand in the way of a move, asked for again and again; none where there is no move to ask for. */
export function useGatesInTheWay(migration: string, dial: DialName, to: DialValue | null): readonly GateVerdict[] {
  const gates = useSignal<readonly GateVerdict[]>([]);
  useEffect(() => {
    gates.value = [];
    if (to === null) return;
    const stop = new AbortController();
    let timer: ReturnType<typeof setTimeout>;
    const look = async (): Promise<void> => {
      try {
        const body = { dial, to };
        const preview = await ask<MovePreview>(pathOf(migration, '/preview'), { body, signal: stop.signal });
        gates.value = preview.gates.filter(({ passed }) => !passed);
      } catch {
        // What the server thinks of a move that it does not understand it says when the ramp begins.
        if (stop.signal.aborted) return;
        gates.value = [];
      }
      timer = setTimeout(() => void look(), GATES_MS);
    };
    timer = setTimeout(() => void look(), REST_MS);
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [migration, dial, to, gates]);
  return gates.value;
}

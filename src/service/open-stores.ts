import { type Clock, sleep } from '../core/clock.ts';
import { StoreFault } from '../core/errors.ts';
import type { Side } from '../core/stage.ts';
import type { Store } from '../core/store.ts';
import { type Logger, silentLogger } from '../core/telemetry.ts';
import type { MigrationDefinition } from './config.ts';
import { LateStore } from './late-store.ts';

export type StorePair = Readonly<Record<Side, Store>>;
export type LatePair = Readonly<Record<Side, LateStore>>;

const SIDES = ['old', 'new'] as const;

/** A store that has not answered by then may be away: whether that matters is asked before it is waited for any longer. */
const PROMPT_MS = 2_000;

/** Makes one store of a migration without connecting it. */
export function makeStore(
  name: string,
  definition: MigrationDefinition,
  side: Side,
  clock: Clock,
  logger: Logger = silentLogger,
): Promise<Store> {
  const { stores, keys, codecs } = definition;
  return stores[side].create({ migration: name, side, keys, codec: codecs[side], clock, logger });
}

/** Makes both stores of a migration, each of which connects when it is first needed. */
export async function makeStores(
  name: string,
  definition: MigrationDefinition,
  clock: Clock,
  logger?: Logger,
): Promise<LatePair> {
  const make = async (side: Side): Promise<LateStore> =>
    new LateStore(await makeStore(name, definition, side, clock, logger), name, side, clock);
  const old = await make('old');
  try {
    return { old, new: await make('new') };
  } catch (error) {
    await old.close();
    throw error;
  }
}

/** Connects both stores of a migration. @throws StoreFault, NotPrepared, InvalidConfiguration */
export async function connectStores({ old, new: fresh }: StorePair): Promise<void> {
  // Both have ended when one has failed: what is closed then is not being opened.
  for (const each of await Promise.allSettled([old.open(), fresh.open()])) {
    if (each.status === 'rejected') throw each.reason;
  }
}

/**
 * Connects both stores of a migration, or as far as they answer at once: one that is away may be one that nobody needs.
 * @throws NotPrepared, InvalidConfiguration what is wrong with a store that answers
 */
export async function connectPromptly(stores: StorePair, clock: Clock): Promise<void> {
  const prompt = new AbortController();
  const ended = SIDES.map((side) =>
    stores[side].open().catch((error: unknown) => {
      if (!(error instanceof StoreFault)) throw error;
    }),
  );
  await Promise.race([Promise.all(ended), sleep(clock, PROMPT_MS, prompt.signal).catch(() => {})]).finally(() =>
    prompt.abort(),
  );
}

/** A pair to work with: what is connected is used as it is. */
export const atHand = ({ old, new: fresh }: LatePair): StorePair => ({
  old: old.away ? old : old.inner,
  new: fresh.away ? fresh : fresh.inner,
});

export const closeStores = async (stores: StorePair): Promise<void> => {
  await Promise.allSettled([stores.new.close(), stores.old.close()]);
};

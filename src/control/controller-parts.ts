import type { CompareRules } from '../../verify/compare.ts';
import type { Clock, Random } from '../core/clock.ts';
import type { NodeInfo } from '../core/control-client.ts';
import type { KeySpec } from '../core/record-key.ts';
import type { Side } from '../core/stage.ts';
import type { Store } from '../core/store.ts';
import type { Logger } from '../core/telemetry.ts';
import type { Key } from '../core/value.ts';
import type { PartitionCarrier } from '../replay/partition-jobs.ts';
import type { ControlPlaneApi } from './control-plane.ts';
import type { ScanDesk } from './scan-desk.ts';

/** Whether a process has surely ended, by somebody who can tell: `unknown` is no proof of anything. */
export type ProcessProbe = (node: NodeInfo) => 'ended' | 'running' | 'unknown';

/** What a controller is made of. */
export interface ControllerParts {
  readonly plane: ControlPlaneApi;
  readonly migration: string;
  readonly stores: Readonly<Record<Side, Store>>;
  readonly keys: KeySpec;
  readonly rules: CompareRules;
  /** Digest of what decides how records are held; binds verdicts and checkpoints. */
  readonly mapping: string;
  /** Gives a record a fresh stamp through the repository, so that its mirror replaces what the follower holds. */
  readonly restamp: (key: Key) => Promise<void>;
  readonly probe: ProcessProbe;
  readonly clock: Clock;
  readonly random: Random;
  /** Names this controller where it runs a replay. */
  readonly runner: string;
  /** The process that it runs in. */
  readonly process: NodeInfo;
  /** Shares replays with other machines; null where every replay is one process's. */
  readonly carrier: PartitionCarrier | null;
  /** Where verifications are shared; null where each is one process's. */
  readonly scans: ScanDesk | null;
  /** @default nothing is logged */
  readonly logger?: Logger;
}

/** Both stores, connected. @throws StoreFault, NotPrepared, or the signal's reason, whichever comes first */
export async function connected({ stores }: Pick<ControllerParts, 'stores'>, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  const opening = Promise.all([stores.old.open(), stores.new.open()]);
  if (signal === undefined) return void (await opening);
  const ended = new AbortController();
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true, signal: ended.signal });
  });
  await Promise.race([opening, aborted]).finally(() => ended.abort());
}

import type { Clock, Random } from '../core/clock.ts';
import type { ControlClient, NodeInfo } from '../core/control-client.ts';
import type { Logger, Metrics } from '../core/telemetry.ts';

/** What a {@link FleetSession} is made of. */
export interface FleetSessionOptions {
  readonly control: ControlClient;
  readonly migrations: readonly string[];
  readonly node: NodeInfo;
  /** Told apart from every other session, of this process too. */
  readonly session: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** A report at least this often, ms. @default 1000 */
  readonly heartbeatMs?: number;
  /**
   * How far ahead deadlines and stamps are promised, ms: for so long the process goes on without its control plane,
   * and for so long the end of a process that nobody can prove blocks handovers. @default 86400000
   */
  readonly leaseMs?: number;
  readonly memoryBytes?: () => number;
  /** Of what one trouble loses so many keys are named; of what it loses beyond, positions. @default 10000 */
  readonly namedKeys?: number;
  /** @default null */
  readonly metrics?: Metrics | null;
}

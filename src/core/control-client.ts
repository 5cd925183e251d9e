import type { KeyJson } from './key-json.ts';
import type { RulesetDocument } from './ruleset.ts';
import type { Side } from './stage.ts';
import type { Stamp } from './stamp.ts';
import type { Traffic } from './traffic.ts';

/** Who a process is, for people and for the proof of its end. */
export interface NodeInfo {
  readonly host: string;
  readonly pid: number;
  /** The machine's boot plus the process's start, where it can be known: a pid alone is reused. */
  readonly processId: string;
  readonly version: string;
  /** What the service calls itself. */
  readonly name: string;
  /** What the service was built from, where it says so. */
  readonly commit?: string;
  /** When somebody gave his word that it has ended, control-plane time in ms: void if it was heard after that. */
  readonly endedAt?: number;
  /** How it is configured for each migration that it opened; nothing of older versions. */
  readonly configured?: Readonly<Record<string, Configured>>;
}

/** What a process has configured for a migration, as digests: they tell whether two are alike, and nothing else. */
export interface Configured {
  /** Of the key and the unit. */
  readonly key: string;
  /** Where each store is and how it holds records, or null where the configuration does not tell. */
  readonly old: string | null;
  readonly new: string | null;
  /** Of everything that verdicts are bound to: the codecs, the rules and the schema too. */
  readonly mapping: string;
}

export interface JoinRequest {
  /** The same for every try of one session to register, and how often it has tried: a try whose answer was lost ends here. */
  readonly session: string;
  readonly attempt: number;
  readonly node: NodeInfo;
  readonly migrations: readonly string[];
  /** The latest deadline that this incarnation may issue before it raises the limit, store time in ms. */
  readonly deadlineLimit: number;
  /** The greatest stamp that it may issue before it raises the limit. */
  readonly stampLimit: Stamp;
}

export interface Joined {
  /** 1 … 2^32−1, never given twice. */
  readonly incarnation: number;
  readonly rulesets: readonly RulesetDocument[];
  /** What live processes have configured differently, for people; absent where they are alike. */
  readonly unlike?: readonly string[];
}

/** One write, or a share of the line, that the target may be missing. */
export interface DirtReport {
  readonly migration: string;
  /** The store that may miss it. */
  readonly target: Side;
  /** `lost`: its mirror did not arrive for certain. `rejected`: the target refuses it. */
  readonly kind: 'lost' | 'rejected';
  readonly position: number;
  /** Null where keys were too many to keep: the whole position is dirty. */
  readonly key: KeyJson | null;
  /** The revision that the write ran under. */
  readonly revision: number;
  /** For people: `mirror timed out`, a constraint's name. */
  readonly cause: string;
  /** A write to the source without an answer may be applied until then (source's time, bound included), or null. */
  readonly notBefore: number | null;
}

/** A difference that a shadow read found and that outlived its recheck; or that a later read found gone. */
export interface DivergenceReport {
  readonly migration: string;
  readonly key: KeyJson;
  readonly position: number;
  readonly kind: 'missing' | 'extra' | 'different' | 'stale';
  readonly cause: string | null;
  /** Field by field; values as `maskValue` or as they are, by the migration's configuration. */
  readonly fields: readonly { readonly path: string; readonly old: unknown; readonly new: unknown }[];
  readonly at: number;
}

export interface ShadowCounts {
  readonly migration: string;
  /** Comparisons finished since the last report, and those that diverged. */
  readonly compared: number;
  readonly divergent: number;
}

/** What a process tells the control plane, again and again; the receipt makes it durable. */
export interface NodeReport {
  readonly incarnation: number;
  /** Whose incarnation it is: a control plane that went back in time may have given it to somebody else. */
  readonly session?: string;
  /** The revision that is applied with no write of an earlier one unsettled. */
  readonly acknowledged: Readonly<Record<string, number>>;
  /** Everything that became dirty before these acknowledgements. */
  readonly dirt: readonly DirtReport[];
  readonly divergences: readonly DivergenceReport[];
  readonly shadow: readonly ShadowCounts[];
  readonly deadlineLimit: number;
  /** No greater stamp is issued before a later report raised this. */
  readonly stampLimit: Stamp;
  /** For status and the console. */
  readonly health: NodeHealth;
  /** Of each migration that had any since this process joined: all of it, never less than in a report before. */
  readonly traffic?: Readonly<Record<string, Traffic>>;
}

export interface NodeHealth {
  readonly mirrorQueue: number;
  /** The same by migration; those that are missing have none waiting. */
  readonly mirrorQueues?: Readonly<Record<string, number>>;
  readonly shed: number;
  readonly operations: number;
  readonly errors: number;
  readonly memoryBytes: number;
  /** How far the stamps run ahead of the wall clock, ms. */
  readonly aheadMs: number;
  /** Not below any stamp issued before the acknowledgements of the same report (R17). */
  readonly highWater: Stamp;
}

export interface Receipt {
  /** `dead`: this incarnation was declared dead; it may not write and returns only as another one. */
  readonly standing: 'member' | 'dead';
}

/** What a commit has changed: `rulesets` (and perhaps more), or anything but rulesets. */
export type Change = 'rulesets' | 'other';

export interface WatchOptions {
  /**
   * Only what may have changed rulesets: a fleet reports all the time, and who does not care is not woken.
   * @default false
   */
  readonly onlyRulesets?: boolean | undefined;
  /**
   * Somebody waits for it just now: where changes have to be looked for, they are looked for more often.
   * @default false
   */
  readonly soon?: boolean | undefined;
}

/** The control plane as a process of the fleet needs it. Calls throw `ControlUnavailable` when it is away. */
export interface ControlClient {
  /** Registers an incarnation and returns the current rulesets in one transaction (R8). */
  join(request: JoinRequest): Promise<Joined>;
  report(report: NodeReport): Promise<Receipt>;
  /** Leaves in good order: everything is settled and the report holds the last dirt. */
  leave(report: NodeReport): Promise<void>;
  rulesets(migrations: readonly string[]): Promise<readonly RulesetDocument[]>;
  /**
   * Calls `changed` soon after any ruleset may have changed, until the returned function is called; with what has
   * changed, where that is known. A fleet reports all the time: not every report is a reason to read the rulesets.
   */
  watch(changed: (change?: Change) => void, options?: WatchOptions): () => void;
}

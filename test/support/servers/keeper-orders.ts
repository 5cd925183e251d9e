/** What a run tells its keeper. */
export type Order =
  | { readonly order: 'start'; readonly server: KeptProcess }
  | { readonly order: 'containers'; readonly engine: EngineAddress; readonly label: string }
  | { readonly order: 'stop' };

/** A process that must not outlive the run. */
export interface KeptProcess {
  readonly name: string;
  readonly program: string;
  readonly args: readonly string[];
  /** Besides the keeper's own environment. */
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** Where it writes what it has to say. */
  readonly log: string;
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  /** What ends it at once; its data are thrown away anyway. */
  readonly stopSignal: NodeJS.Signals;
  /** How long it may take to end before it is killed. @default 3_000 */
  readonly patienceMs?: number;
  /** A command that clears up behind it. */
  readonly afterwards?: readonly string[];
}

/** Where the engine's API listens. */
export type EngineAddress = { readonly socketPath: string } | { readonly host: string; readonly port: number };

/** What a keeper tells its run. */
export type Report =
  | { readonly report: 'started'; readonly name: string; readonly pid: number }
  | { readonly report: 'ended'; readonly name: string; readonly how: string };

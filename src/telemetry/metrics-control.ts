import type { Attributes, Meter } from '@opentelemetry/api';

/** What the control plane knows of one migration, as numbers. */
export interface MigrationReading {
  readonly migration: string;
  readonly revision: number;
  /** Percent of the line. */
  readonly dials: { readonly dualWrite: number; readonly shadowRead: number; readonly cutover: number };
  readonly retired: boolean;
  /** Percent of the line in which each store is known to be complete. */
  readonly coverage: { readonly old: number; readonly new: number };
  readonly dirty: { readonly ranges: number; readonly rejected: number };
  readonly divergences: number;
  readonly shadow: { readonly compared: number; readonly divergent: number };
  /** How long a handover has been going on, s; 0 for none. */
  readonly handoverSeconds: number;
  readonly replay: {
    readonly kind: string;
    readonly target: string;
    readonly scanned: number;
    readonly applied: number;
    readonly rejected: number;
    readonly estimate: number | null;
  } | null;
  /** How far a verification is that runs here; null where none does. */
  readonly verify: {
    readonly scanned: Readonly<Record<'old' | 'new', number>>;
    readonly estimated: Readonly<Record<'old' | 'new', number | null>>;
  } | null;
  /** Until when the latest verdict counts, and what it was; null where there is none. */
  readonly verification: { readonly verdict: string; readonly expiresInSeconds: number } | null;
}

/** What a process of the fleet last said of itself. */
export interface ProcessReading {
  readonly process: string;
  readonly incarnation: number;
  readonly silentSeconds: number;
  readonly memoryBytes: number;
  /** The stage of its migrations, `mixed` where they are in several. */
  readonly stage: string;
  readonly mirrorQueue: number;
  readonly shed: number;
  readonly operations: number;
  readonly errors: number;
  /** How many revisions it is behind, by migration. */
  readonly behind: Readonly<Record<string, number>>;
}

export interface ControlReading {
  readonly migrations: readonly MigrationReading[];
  readonly processes: readonly ProcessReading[];
}

/** Shows what the control plane knows; read when somebody collects. @returns what ends it */
export function observeControl(meter: Meter, read: () => Promise<ControlReading>): () => void {
  const gauge = (name: string, description: string) =>
    meter.createObservableGauge(`changeover.${name}`, { description });
  const instruments = {
    revision: gauge('ruleset.revision', 'The revision of the ruleset'),
    dial: gauge('dial', 'Where a dial stands, percent of the line'),
    coverage: gauge('coverage', 'Percent of the line in which a store is known to be complete'),
    dirty: gauge('dirty', 'Lines of dirt: ranges and keys that a store may be missing, and keys that it rejects'),
    divergences: gauge('divergences', 'Records that differ and are not repaired'),
    shadow: gauge('shadow.reads', 'Shadow reads compared since a dial moved last, by result'),
    handover: gauge('handover.age_seconds', 'How long a handover has been going on; 0 for none'),
    replay: gauge('replay.records', 'Records of the replay that is running, by result'),
    replayEstimate: gauge('replay.estimate', 'Records that the running replay has to scan, as the source estimates'),
    verify: gauge('verify.records', 'Records that the verification running at this server has read, by store'),
    verifyEstimate: gauge('verify.estimate', 'Records that it has to read, as the stores estimate'),
    verification: gauge('verification.expires_seconds', 'How long the latest verdict still counts'),
    nodes: gauge('fleet.processes', 'Processes that have the migration open'),
    lag: gauge('fleet.lag', 'Revisions that the process has not acknowledged'),
    silent: gauge('process.silent_seconds', 'How long a process has not been heard'),
    memory: gauge('process.memory_bytes', 'Resident memory of a process'),
    queue: gauge('process.mirror_queue', 'Mirror puts waiting or under way in a process'),
    shed: gauge('process.shed', 'Mirror puts that a process has shed since it started'),
    operations: gauge('process.operations', 'Operations of a process since it started'),
    errors: gauge('process.errors', 'Failed operations of a process since it started'),
  };
  const callback: Parameters<Meter['addBatchObservableCallback']>[0] = async (result) => {
    const { migrations, processes } = await read();
    for (const reading of migrations) {
      const { migration } = reading;
      const tell = (instrument: (typeof instruments)[keyof typeof instruments], value: number, more: Attributes = {}) =>
        result.observe(instrument, value, { migration, ...more });
      tell(instruments.revision, reading.revision);
      tell(instruments.dial, reading.dials.dualWrite, { dial: 'dual-write' });
      tell(instruments.dial, reading.dials.shadowRead, { dial: 'shadow-read' });
      tell(instruments.dial, reading.dials.cutover, { dial: 'cutover' });
      tell(instruments.dial, reading.retired ? 100 : 0, { dial: 'retire-old' });
      tell(instruments.coverage, reading.coverage.old, { store: 'old' });
      tell(instruments.coverage, reading.coverage.new, { store: 'new' });
      tell(instruments.dirty, reading.dirty.ranges, { kind: 'lost' });
      tell(instruments.dirty, reading.dirty.rejected, { kind: 'rejected' });
      tell(instruments.divergences, reading.divergences);
      tell(instruments.shadow, reading.shadow.compared - reading.shadow.divergent, { result: 'equal' });
      tell(instruments.shadow, reading.shadow.divergent, { result: 'divergent' });
      tell(instruments.handover, reading.handoverSeconds);
      const { replay, verification, verify } = reading;
      if (replay !== null) {
        const { kind, target } = replay;
        for (const done of ['scanned', 'applied', 'rejected'] as const) {
          tell(instruments.replay, replay[done], { kind, target, result: done });
        }
        if (replay.estimate !== null) tell(instruments.replayEstimate, replay.estimate, { kind, target });
      }
      for (const store of verify === null ? [] : (['old', 'new'] as const)) {
        const estimated = verify?.estimated[store] ?? null;
        tell(instruments.verify, verify?.scanned[store] ?? 0, { store });
        if (estimated !== null) tell(instruments.verifyEstimate, estimated, { store });
      }
      if (verification !== null) {
        tell(instruments.verification, verification.expiresInSeconds, { verdict: verification.verdict });
      }
      tell(instruments.nodes, processes.filter(({ behind }) => Object.hasOwn(behind, migration)).length);
    }
    for (const { process, incarnation, behind, ...reading } of processes) {
      const who = { process, incarnation };
      result.observe(instruments.silent, reading.silentSeconds, who);
      result.observe(instruments.memory, reading.memoryBytes, { ...who, stage: reading.stage });
      result.observe(instruments.queue, reading.mirrorQueue, who);
      result.observe(instruments.shed, reading.shed, who);
      result.observe(instruments.operations, reading.operations, who);
      result.observe(instruments.errors, reading.errors, who);
      for (const [migration, revisions] of Object.entries(behind)) {
        result.observe(instruments.lag, revisions, { ...who, migration });
      }
    }
  };
  const observed = Object.values(instruments);
  meter.addBatchObservableCallback(callback, observed);
  return () => meter.removeBatchObservableCallback(callback, observed);
}

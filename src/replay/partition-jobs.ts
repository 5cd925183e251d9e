import type { Job, PgBoss } from 'pg-boss';
import { ControlUnavailable } from '../core/errors.ts';

/** Word of a partition that wants somebody to work on it. */
export interface PartitionJob {
  readonly migration: string;
  /** Only who has this mapping can work on it. */
  readonly mapping: string;
  /** Of a replay, or of the scan of a verification. */
  readonly work: 'replay' | 'scan';
  /** Its id. */
  readonly of: number;
  readonly partition: number;
}

/** Whose jobs somebody can take. */
export type JobKind = Pick<PartitionJob, 'migration' | 'mapping' | 'work'>;

/** Carries partitions to whoever has time. What it loses is offered again, what it says twice is taken once. */
export interface PartitionCarrier {
  offer(jobs: readonly PartitionJob[]): Promise<void>;
}

/** A job in somebody's hands. */
export interface TakenJob extends PartitionJob {
  /** Keeps it from being carried to somebody else meanwhile. */
  touch(): Promise<void>;
  /** It need not be carried any more: done, or given back. */
  settle(): Promise<void>;
}

export interface PartitionJobsOptions {
  readonly connectionString: string;
  /** Of the tables of pg-boss. */
  readonly schema: string;
  /** For people; no secrets. */
  readonly label: string;
  /** Keeps the tables of pg-boss in order, as one process at least should. @default false */
  readonly supervise?: boolean;
  /** What goes wrong in the background. */
  readonly onError: (error: unknown) => void;
}

/** A job whose holder says nothing for this long is carried again, seconds. */
const HEARTBEAT_S = 60;
const QUEUE = {
  // One that waits is enough for a partition; those in work do not count.
  policy: 'short',
  heartbeatSeconds: HEARTBEAT_S,
  expireInSeconds: 86_399,
  retryLimit: 1_000,
  retryDelay: 1,
  deleteAfterSeconds: 3_600,
} as const;
/** Offers go over one connection, jobs are taken over another. */
const CONNECTIONS = 2;

type Data = Pick<PartitionJob, 'of' | 'partition'>;

/** Who has another mapping hears nothing of it. */
const queueOf = ({ migration, mapping, work }: JobKind): string =>
  `${migration}/${mapping.slice(0, 16)}${work === 'scan' ? '/scan' : ''}`;

/** Partitions as jobs of pg-boss, a queue for each migration, mapping and kind of work. Connects when it is first used. */
export class PartitionJobs implements PartitionCarrier {
  readonly #options: PartitionJobsOptions;
  readonly #queues = new Map<string, Promise<void>>();
  #boss: Promise<PgBoss> | undefined;

  constructor(options: PartitionJobsOptions) {
    this.#options = options;
  }

  /** @throws ControlUnavailable */
  async offer(jobs: readonly PartitionJob[]): Promise<void> {
    await this.#run(async (boss) => {
      for (const [queue, some] of Map.groupBy(jobs, queueOf)) {
        await this.#queue(boss, queue);
        const rows = some.map(({ of, partition }) => ({
          data: { of, partition } satisfies Data,
          singletonKey: `${partition}`,
        }));
        await boss.insert(queue, rows);
      }
    });
  }

  /** Up to `most` jobs. @throws ControlUnavailable */
  take(kind: JobKind, most: number): Promise<readonly TakenJob[]> {
    return this.#run(async (boss) => {
      const queue = queueOf(kind);
      await this.#queue(boss, queue);
      const jobs = await boss.fetch<Data>(queue, { batchSize: most });
      return jobs.map((job): TakenJob => this.#taken(kind, queue, job));
    });
  }

  async close(): Promise<void> {
    const boss = await this.#boss?.catch(() => undefined);
    this.#boss = undefined;
    await boss?.stop({ graceful: true, close: true, timeout: 5_000 });
  }

  #taken({ migration, mapping, work }: JobKind, queue: string, job: Job<Data>): TakenJob {
    const { id, retryCount } = job;
    return {
      migration,
      mapping,
      work,
      ...job.data,
      touch: () => this.#run(async (boss) => void (await boss.touch(queue, { id, retryCount }))),
      settle: () => this.#run(async (boss) => void (await boss.complete(queue, { id, retryCount }))),
    };
  }

  #queue(boss: PgBoss, name: string): Promise<void> {
    const known = this.#queues.get(name) ?? boss.createQueue(name, QUEUE);
    this.#queues.set(name, known);
    known.catch(() => this.#queues.delete(name));
    return known;
  }

  async #run<T>(call: (boss: PgBoss) => Promise<T>): Promise<T> {
    const { label } = this.#options;
    try {
      this.#boss ??= this.#start();
      this.#boss.catch(() => {
        this.#boss = undefined;
      });
      return await call(await this.#boss);
    } catch (cause) {
      throw new ControlUnavailable(`the jobs in ${label} cannot be reached`, { cause });
    }
  }

  async #start(): Promise<PgBoss> {
    const { connectionString, schema, supervise = false, onError } = this.#options;
    const { PgBoss: Boss } = await import('pg-boss');
    const boss = new Boss({
      connectionString,
      schema,
      supervise,
      schedule: false,
      max: CONNECTIONS,
      application_name: 'changeover jobs',
    });
    boss.on('error', onError);
    try {
      return await boss.start();
    } catch (error) {
      await boss.stop({ graceful: false, close: true }).catch(() => {});
      throw error;
    }
  }
}

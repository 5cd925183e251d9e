import { AlreadyExists, ChangeoverError, OutcomeUnknown } from '../../src/core/errors.ts';
import type { Content, Recorded } from './linearizability.ts';
import type { SeededRandom } from './random.ts';
import type { SimNode, SimRecord, World } from './world.ts';

/** A key of the simulation. */
export interface SimKey {
  readonly unit: string;
  readonly id: string;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** What all callers saw, by key; operations that never came back stay open-ended. */
export class History {
  readonly operations = new Map<string, Mutable<Recorded>[]>();
  /** Errors that no caller should ever see. */
  readonly bugs: string[] = [];
  #values = 0;

  nextValue(): string {
    this.#values += 1;
    return `v${this.#values}`;
  }

  begin(key: SimKey, operation: Pick<Recorded, 'kind' | 'invoked' | 'wrote'>): Mutable<Recorded> {
    const recorded: Mutable<Recorded> = {
      ...operation,
      answered: Number.POSITIVE_INFINITY,
      unknown: true,
      saw: undefined,
    };
    const id = `${key.unit}/${key.id}`;
    const list = this.operations.get(id) ?? [];
    this.operations.set(id, list);
    list.push(recorded);
    return recorded;
  }

  /** The operation surely had no effect and saw nothing. */
  forget(key: SimKey, recorded: Recorded): void {
    const list = this.operations.get(`${key.unit}/${key.id}`);
    const at = list?.indexOf(recorded) ?? -1;
    if (at >= 0) list?.splice(at, 1);
  }
}

const contentOf = (record: SimRecord | undefined): Content => record?.value ?? null;

/** One operation, recorded as its caller sees it. */
export async function operate(
  world: World,
  node: SimNode,
  history: History,
  key: SimKey,
  kind: 'put' | 'create' | 'get' | 'update' | 'delete' | 'replace',
): Promise<void> {
  const value = history.nextValue();
  const record = { ...key, value };
  const { repository } = node;
  const begin = (as: Recorded['kind'], wrote: Content): Mutable<Recorded> =>
    history.begin(key, { kind: as, invoked: world.clock.monotonic(), wrote });
  const recorded = begin(
    kind === 'get' ? 'read' : kind === 'put' ? 'write' : kind === 'replace' ? 'update' : kind,
    kind === 'get' || kind === 'delete' ? null : value,
  );
  const answered = (): void => {
    recorded.answered = world.clock.monotonic();
    recorded.unknown = false;
  };
  try {
    switch (kind) {
      case 'put':
        await repository.put(record);
        break;
      case 'create':
        await repository.create(record);
        break;
      case 'get':
        recorded.saw = contentOf(await repository.get(key));
        break;
      case 'delete': {
        const there = await repository.delete(key);
        // After a lost answer `true` may be wrong by contract, so only `false` says something.
        recorded.saw = there ? undefined : null;
        break;
      }
      case 'update':
        await repository.update(key, (present) => {
          recorded.saw = contentOf(present);
          return record;
        });
        break;
      case 'replace': {
        const present = await repository.get(key, { version: true });
        if (present === undefined) {
          history.forget(key, recorded);
          return;
        }
        recorded.saw = present.record.value;
        await repository.replace(key, record, { ifVersion: present.version });
        break;
      }
    }
    answered();
  } catch (error) {
    if (error instanceof OutcomeUnknown) return;
    if (error instanceof AlreadyExists) {
      (recorded as { kind: Recorded['kind'] }).kind = 'occupied';
      answered();
      return;
    }
    history.forget(key, recorded);
    if (!(error instanceof ChangeoverError)) history.bugs.push(String((error as Error)?.stack ?? error));
  }
}

const KINDS = ['put', 'put', 'put', 'create', 'get', 'get', 'get', 'update', 'update', 'delete', 'replace'] as const;

/** A caller that works until `until`, on whatever node it was given, and dies with it. */
export async function client(
  world: World,
  node: SimNode,
  history: History,
  keys: readonly SimKey[],
  random: SeededRandom,
  thinkMs: number,
  until: () => boolean,
): Promise<void> {
  while (!until() && node.process.alive && !node.closed) {
    await operate(world, node, history, random.pick(keys), random.pick(KINDS));
    await new Promise<void>((resolve) => node.process.after(random.int(1, thinkMs), resolve));
  }
}

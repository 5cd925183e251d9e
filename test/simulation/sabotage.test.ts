import { afterEach, describe, expect, test } from 'vitest';
import { MemoryStore } from '../../adapters/memory/memory-store.ts';
import { ControlPlane } from '../../src/control/control-plane.ts';
import type { ControlStorage, MigrationRow, Transaction } from '../../src/control/storage.ts';
import { ALL } from '../../src/core/dial.ts';
import { StoreFault } from '../../src/core/errors.ts';
import { union } from '../../src/core/intervals.ts';
import { Ruleset } from '../../src/core/ruleset.ts';
import { makeStamp, StampClock, stampMs } from '../../src/core/stamp.ts';
import type { Entry, LoadAnswer } from '../../src/core/store.ts';
import { LeadWrite } from '../../src/repository/lead-write.ts';
import { MigrationSession } from '../../src/repository/migration-session.ts';
import { type SimulationOptions, simulate } from './simulation.ts';
import { MIGRATION, World } from './world.ts';

/*
 * Each rule of the protocol is broken once, in a patched class, and the simulation has to notice. A rule whose breach
 * goes unnoticed is a rule that nothing tests.
 */

type Methods = Record<string, (...args: never[]) => unknown>;
const undo: (() => void)[] = [];

/** Replaces a method of a class until the test ends; the patch gets the original, bound. */
function patch(
  target: object,
  method: string,
  replacement: (original: (...args: unknown[]) => unknown, self: unknown, args: unknown[]) => unknown,
): void {
  const methods = target as Methods;
  const original = methods[method] as (...args: unknown[]) => unknown;
  methods[method] = function (this: unknown, ...args: unknown[]): unknown {
    return replacement((...more) => original.apply(this, more), this, args);
  } as Methods[string];
  undo.push(() => {
    methods[method] = original as Methods[string];
  });
}

/** Does something to the world again and again, from its first process on. */
function every(ms: number, act: (world: World) => void): void {
  patch(World.prototype, 'startNode', (original, self, args) => {
    const world = self as World;
    const again = (): void => {
      act(world);
      world.clock.after(ms, again, true);
    };
    if (world.nodes.length === 0) world.clock.after(ms, again, true);
    return original(...args);
  });
}

/** A storage whose transactions are seen through `change`. */
const through =
  (change: (tx: Transaction) => Partial<Transaction>) =>
  (real: ControlStorage): ControlStorage => ({
    transaction: (body) => real.transaction((tx) => body({ ...bound(tx), ...change(tx) })),
    read: (body) => real.read((tx) => body({ ...bound(tx), ...change(tx) })),
    transactionAtOnce: (body) => real.transactionAtOnce((tx) => body({ ...bound(tx), ...change(tx) })),
    readAtOnce: (body) => real.readAtOnce((tx) => body({ ...bound(tx), ...change(tx) })),
    watch: (changed, options) => real.watch(changed, options),
    prepare: () => real.prepare(),
    close: () => real.close(),
  });

const bound = (tx: Transaction): Transaction => ({
  insert: (table, row) => tx.insert(table, row),
  insertMany: (table, rows) => tx.insertMany(table, rows),
  select: (table, where, page) => tx.select(table, where, page),
  count: (table, where) => tx.count(table, where),
  update: (table, where, change, options) => tx.update(table, where, change, options),
  remove: (table, where) => tx.remove(table, where),
});

/** A storage that changes what is written to a migration's row. */
const migrations = (change: (next: Partial<MigrationRow>, tx: Transaction) => Promise<Partial<MigrationRow>>) =>
  through((tx) => ({
    update: (async (table: string, where: object, values: object, options: object) =>
      tx.update(
        table as 'migrations',
        where,
        table === 'migrations' ? await change(values, tx) : values,
        options,
      )) as Transaction['update'],
  }));

afterEach(() => {
  for (const restore of undo.splice(0).reverse()) restore();
});

interface Breach {
  readonly rule: string;
  readonly apply?: () => void;
  readonly options?: Partial<SimulationOptions>;
}

/** Processes that die with many requests on their way. */
const ONLY_CRASHES = { lengthMs: 30_000, storm: 0.5, busy: false, delayMs: 100, only: 'crashes' } as const;

/** Long histories in fair weather: chains of moves, with a fault now and then. */
const LONG = { lengthMs: 60_000, storm: 0.3, busy: false } as const;

const breaches: readonly Breach[] = [
  {
    rule: 'R1: two incarnations issue the same stamps',
    apply: () =>
      patch(StampClock.prototype, 'next', (original) => {
        const stamp = original() as string;
        return makeStamp(Math.floor(Number.parseInt(stamp.slice(0, 12), 16) / 500) * 500, 0, 1);
      }),
  },
  {
    rule: 'R2: a put looks at the stored stamp first and then writes without a guard',
    apply: () =>
      patch(MemoryStore.prototype, 'putIfNewer', async (original, self, args) => {
        const [entry, deadline] = args as [Entry, number];
        const store = self as MemoryStore;
        const stored = await store.get(entry.id, entry.key);
        if (stored?.stamp != null && stored.stamp >= entry.stamp!) return original(entry, deadline);
        await store.putPlain({ ...entry, stamp: null }, deadline);
        return original(entry, deadline);
      }),
  },
  {
    rule: 'R2: the store does not look at deadlines',
    apply: () => {
      patch(MemoryStore.prototype, 'putIfNewer', (original, _, [entry]) => original(entry, Number.MAX_SAFE_INTEGER));
      patch(MemoryStore.prototype, 'compareAndSet', (original, _, [entry, expected]) =>
        original(entry, expected, Number.MAX_SAFE_INTEGER),
      );
    },
    options: ONLY_CRASHES,
  },
  {
    rule: 'R3: a superseded lead put counts as done',
    apply: () =>
      patch(LeadWrite.prototype, 'conclude', (original, _, [answer]) =>
        original((answer as { kind: string }).kind === 'superseded' ? { kind: 'applied', previous: 'record' } : answer),
      ),
  },
  {
    rule: 'R4: a put of unknown outcome is sent again with a new stamp',
    apply: () =>
      patch(MemoryStore.prototype, 'putIfNewer', async (original, _, args) => {
        const [entry, deadline] = args as [Entry, number];
        try {
          return await original(entry, deadline);
        } catch (error) {
          if (!(error instanceof StoreFault) || error.outcome !== 'unknown') throw error;
          const stamp = makeStamp(stampMs(entry.stamp!) + 2_000, 0, 9);
          return original({ ...entry, stamp }, deadline);
        }
      }),
  },
  {
    rule: 'R5: a failed mirror put is forgotten',
    apply: () => patch(MigrationSession.prototype, 'markDirty', () => undefined),
  },
  {
    rule: 'R6: a lead put that was sent is not in flight',
    options: LONG,
    apply: () => patch(MigrationSession.prototype, 'enter', (_, self) => (self as MigrationSession).epoch),
  },
  {
    rule: 'R7: a revision is acknowledged before the mirror put has ended, and its failure comes too late',
    apply: () => patch(LeadWrite.prototype, 'beginMirror', (_, self) => (self as LeadWrite).end()),
  },
  {
    rule: 'R7: the acknowledgement does not carry its dirt',
    apply: () =>
      patch(ControlPlane.prototype, 'report', (original, _, [report]) => original({ ...(report as object), dirt: [] })),
  },
  {
    rule: 'R8: a process joins with a ruleset that it had kept',
    apply: () => {
      // Of the fleet's own past: what is ahead of a control plane is told by its processes.
      const kept = new WeakMap<object, unknown>();
      patch(ControlPlane.prototype, 'join', async (original, self, [request]) => {
        const joined = (await original(request)) as { rulesets: { revision: number }[] };
        const cached = kept.get(self as object) ?? joined.rulesets;
        if (!kept.has(self as object)) kept.set(self as object, joined.rulesets);
        return { ...joined, rulesets: cached };
      });
    },
  },
  {
    rule: 'R9: what a dead process mirrored is not dirty',
    options: ONLY_CRASHES,
    apply: () =>
      patch(ControlPlane.prototype, 'bury', async (original, self, [burial]) => {
        const plane = self as ControlPlane;
        const buried = await original(burial);
        const rows = await plane.dirt(MIGRATION, null, 10_000);
        await plane.clearDirt(
          MIGRATION,
          rows.filter((row) => row.cause.includes('ended without leaving')).map((row) => row.id),
        );
        return buried;
      }),
  },
  {
    rule: 'R9: a process that is alive is declared dead, and goes on writing',
    apply: () => {
      patch(World.prototype, 'startNode', async (original, self, args) => {
        const world = self as World;
        const node = (await original(...args)) as Awaited<ReturnType<World['startNode']>>;
        world.clock.after(3_000, () => {
          const incarnation = node.session.incarnation;
          if (incarnation === undefined || !node.process.alive) return;
          void world.plane.bury({
            incarnation,
            actor: 'sabotage',
            reason: 'not dead at all',
            deadlineLimit: 0,
            notBefore: null,
          });
        });
        return node;
      });
      patch(ControlPlane.prototype, 'report', async (original, _, [report]) => {
        await original(report);
        return { standing: 'member' };
      });
    },
  },
  {
    rule: 'R10: a replay that ends clears what became dirty while it ran',
    // One that takes its time.
    options: { ...LONG, settings: { replayConcurrency: 1 } },
    apply: () =>
      patch(ControlPlane.prototype, 'endReplay', async (original, self, args) => {
        const plane = self as ControlPlane;
        const ended = await original(...args);
        const rows = await plane.dirt(MIGRATION, null, 10_000);
        await plane.clearDirt(
          MIGRATION,
          rows.filter((row) => row.kind === 'lost').map((row) => row.id),
        );
        return ended;
      }),
  },
  {
    rule: 'R11: coverage is kept where a mirror was turned off',
    options: {
      storage: migrations(async (next, tx) => {
        const [row] = await tx.select('migrations', { name: MIGRATION });
        if (row === undefined || next.document === undefined) return next;
        return {
          ...next,
          ...(next.coverageNew === undefined ? {} : { coverageNew: union(next.coverageNew, row.coverageNew) }),
          ...(next.coverageOld === undefined ? {} : { coverageOld: union(next.coverageOld, row.coverageOld) }),
        };
      }),
    },
  },
  {
    rule: 'R12: writes do not wait under HOLD',
    apply: () => patch(MigrationSession.prototype, 'admit', () => undefined),
  },
  {
    rule: 'R12: authority moves without the acknowledgements of all',
    options: {
      storage: through((tx) => ({
        select: (async (table: 'acknowledgements', where: object, page: object) => {
          const rows = await tx.select(table, where, page);
          return table === 'acknowledgements' ? rows.map((row) => ({ ...row, revision: 1_000_000 })) : rows;
        }) as Transaction['select'],
      })),
    },
  },
  {
    rule: 'R12: authority moves although the range is dirty',
    options: {
      ...LONG,
      storage: through((tx) => ({
        select: (async (table: 'dirt', where: object, page: object) =>
          table === 'dirt' &&
          'fromPosition' in where &&
          typeof where.fromPosition === 'object' &&
          where.fromPosition !== null &&
          'lt' in where.fromPosition
            ? []
            : tx.select(table, where, page)) as Transaction['select'],
      })),
    },
  },
  {
    rule: 'R12: the hold ends with the move instead of after it',
    options: {
      busy: false,
      storm: 0,
      lengthMs: 60_000,
      nodes: 8,
      delayMs: 30,
      // A write that waits for its mirror is on both sides of the move before anybody else hears of it.
      settings: { mirrorToOld: 'detached' },
      storage: migrations(async (next) =>
        next.document?.handover != null && next.document.handover.movedAt !== null
          ? { ...next, document: { ...next.document, handover: null } }
          : next,
      ),
    },
  },
  {
    rule: 'R13: tombstones are purged while the migration runs',
    options: { busy: false },
    apply: () =>
      every(400, (world) => {
        for (const database of [world.databases.old, world.databases.new]) {
          database.unstamp(
            database
              .snapshot()
              .filter(({ value }) => value === null)
              .map(({ id }) => id),
          );
        }
      }),
  },
  {
    rule: 'R14: somebody writes to the old store past the repository',
    apply: () =>
      every(2_000, ({ databases: { old } }) => {
        const record = old.snapshot().find(({ value }) => value !== null);
        if (record !== undefined) old.load([{ ...record, value: { ...record.value, value: 'from outside' } }]);
      }),
    options: { storm: 0 },
  },
  {
    rule: 'R15: processes do not agree where an interval ends',
    apply: () => {
      let made = 0;
      const shift = new WeakMap<object, number>();
      patch(Ruleset.prototype, 'routeAt', (original, self, [position]) => {
        if (!shift.has(self as object)) {
          made += 1;
          shift.set(self as object, made % 2 === 0 ? 20_000 : 0);
        }
        return original(Math.max(-1, (position as number) - (shift.get(self as object) as number)));
      });
    },
  },
  {
    rule: 'R16: mirrors begin before all have acknowledged that they stamp',
    options: {
      storage: migrations(async (next) =>
        next.document?.stamping === 'starting'
          ? {
              ...next,
              document: { ...next.document, stamping: 'on', dials: { ...next.document.dials, dualWrite: ALL } },
              mirrorOnRevision: next.document.revision,
            }
          : next,
      ),
      busy: true,
      storm: 0,
      delayMs: 100,
    },
  },
  {
    rule: 'R17: an emergency sets no floor for the stamps that follow',
    options: {
      emergencies: true,
      endsAfterEmergencyMs: 500,
      storm: 0.3,
      nodes: 8,
      storage: migrations(async (next) =>
        next.document === undefined ? next : { ...next, document: { ...next.document, stampFloor: null } },
      ),
    },
  },
  {
    rule: 'R17: writes without an answer leave no dirt at an emergency',
    apply: () => patch(LeadWrite.prototype, 'abandon', (_, self) => (self as LeadWrite).end()),
    options: { emergencies: true },
  },
  {
    rule: 'R18: a unit brings no dirt and no lack of coverage to its new position',
    options: {
      ...LONG,
      storage: through((tx) => ({
        // Both follow from the history of cohort changes and from the coverage kept beside the document.
        update: (async (table: 'migrations', where: object, values: Partial<MigrationRow>, options: object) =>
          table === 'migrations' &&
          values.document === undefined &&
          (values.coverageNew ?? values.coverageOld) !== undefined &&
          !('endReplay' in where)
            ? tx.update(table, where, await keepCovered(tx, values))
            : tx.update(table, where, values, options)) as Transaction['update'],
      })),
    },
  },
  {
    rule: 'R19: a replay clears what a store refuses',
    options: { only: 'rejections', storm: 1 },
    apply: () =>
      patch(ControlPlane.prototype, 'dirtOf', async (original, self, args) => {
        const rows = (await original(...args)) as { id: number; kind: string }[];
        await (self as ControlPlane).clearDirt(
          MIGRATION,
          rows.filter((row) => row.kind === 'rejected').map((row) => row.id),
        );
        return rows.filter((row) => row.kind !== 'rejected');
      }),
  },
  {
    rule: 'R20: a copy of a load arrives after dual-write has risen',
    apply: () => {
      let copies = 0;
      patch(MemoryStore.prototype, 'load', async (original, _, [entries]) => {
        const answer = (await original(entries, Number.MAX_SAFE_INTEGER)) as LoadAnswer;
        copies += 1;
        const again = (): void => void original(entries, Number.MAX_SAFE_INTEGER);
        present?.clock.after(2_000 + (copies % 9) * 2_500, again);
        return { ...answer, loose: false };
      });
      let present: World | undefined;
      patch(World.prototype, 'startNode', (original, self, args) => {
        present = self as World;
        return original(...args);
      });
    },
    options: { preloads: true },
  },
];

/** Coverage that only grows. */
async function keepCovered(tx: Transaction, values: Partial<MigrationRow>): Promise<Partial<MigrationRow>> {
  const [row] = await tx.select('migrations', { name: MIGRATION });
  if (row === undefined) return values;
  return {
    ...values,
    ...(values.coverageNew === undefined ? {} : { coverageNew: union(values.coverageNew, row.coverageNew) }),
    ...(values.coverageOld === undefined ? {} : { coverageOld: union(values.coverageOld, row.coverageOld) }),
  };
}

const MOST_SEEDS = 1_000;

describe('the simulation notices a broken rule', () => {
  test.each(breaches)('$rule', { timeout: 240_000 }, async ({ apply, options }) => {
    apply?.();
    // `liveness` alone would only say that something got stuck; the breach has to show in the data.
    const inData: string[] = [];
    const stuck: string[] = [];
    for (let seed = 1; inData.length === 0 && seed <= MOST_SEEDS; seed += 1) {
      for (const violation of (await simulate({ seed, ...options })).violations) {
        (violation.startsWith('liveness') ? stuck : inData).push(`seed ${seed}: ${violation}`);
      }
    }
    expect(inData.length, stuck[0]).toBeGreaterThan(0);
  });
});

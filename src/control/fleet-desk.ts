import { canonicalText } from '../core/canonical.ts';
import type { DirtReport, DivergenceReport, Joined, JoinRequest, NodeReport, Receipt } from '../core/control-client.ts';
import { WHOLE_LINE } from '../core/dial.ts';
import { Busy, InvalidArgument } from '../core/errors.ts';
import { type Intervals, intervals, NOTHING, subtract, union } from '../core/intervals.ts';
import { initialRuleset, mirroredTo, type RulesetDocument } from '../core/ruleset.ts';
import type { Side } from '../core/stage.ts';
import { STAMP_MIN } from '../core/stamp.ts';
import { insertDirt } from './dirt.ts';
import { configuredMember, migrationRow, nameOf } from './facts.ts';
import { unlikeIn } from './fleet-gates.ts';
import { type Authorship, along, carried, cohortMovesSince, remember } from './publish.ts';
import type { DirtRow, DivergenceRow, NodeRow, Transaction } from './storage.ts';
import { foldTraffic, keepKnownTraffic, keepTraffic } from './traffic-desk.ts';

/** The id of a key in its JSON form: enough to tell the rows of one migration apart. */
export const keyIdOf = (key: unknown): string => canonicalText(key);

export async function ensureMigration(tx: Transaction, name: string, now: number): Promise<RulesetDocument> {
  const [row] = await tx.select('migrations', { name });
  if (row !== undefined) return row.document;
  const document = initialRuleset(name);
  await tx.insert('migrations', {
    name,
    revision: document.revision,
    document,
    coverageOld: WHOLE_LINE,
    coverageNew: NOTHING,
    mirrorOnRevision: 0,
    shadowCompared: 0,
    shadowDivergent: 0,
    shadowSince: now,
    createdAt: now,
  });
  return document;
}

/** R8: the incarnation, its required acknowledgements and the current revisions, in one transaction. */
export async function join(tx: Transaction, request: JoinRequest, now: number): Promise<Joined> {
  const { session, attempt } = request;
  for (const earlier of await tx.select('nodes', { session, state: 'alive' })) {
    if (earlier.attempt >= attempt) {
      throw new Busy('a later try of this process to register was quicker; this one is void');
    }
    // Its answer never arrived, or the session would not have tried again: it has done nothing, and never will.
    await tx.update('nodes', { id: earlier.id }, { state: 'left' });
  }
  const incarnation = await tx.insert('nodes', {
    id: 0,
    state: 'alive',
    info: request.node,
    session,
    attempt,
    joinedAt: now,
    seenAt: now,
    deadlineLimit: request.deadlineLimit,
    stampLimit: request.stampLimit,
    highWater: STAMP_MIN,
    health: null,
  });
  const rulesets: RulesetDocument[] = [];
  for (const name of request.migrations) {
    const document = await ensureMigration(tx, name, now);
    rulesets.push(document);
    await tx.insert('acknowledgements', {
      id: 0,
      node: incarnation,
      migration: name,
      joinedRevision: document.revision,
      revision: document.revision,
    });
  }
  const unlike = await unlikeAmong(tx, request);
  return { incarnation, rulesets, ...(unlike.length === 0 ? {} : { unlike }) };
}

/** What the live processes have configured differently for the migrations of one of them. */
async function unlikeAmong(tx: Transaction, { node, migrations }: JoinRequest): Promise<readonly string[]> {
  if (node.configured === undefined) return [];
  const alive = await tx.select('nodes', { state: 'alive' });
  return migrations.flatMap((migration) => {
    return unlikeIn(alive.map((row) => configuredMember(row, migration))).map(({ text }) => `${migration}: ${text}`);
  });
}

/** R7: acknowledgements and the dirt that they carry become durable together, or not at all. */
export async function report(tx: Transaction, report: NodeReport, now: number): Promise<Receipt> {
  const node = { id: report.incarnation };
  if (!(await renew(tx, report, now))) return { standing: 'dead' };
  await keepTraffic(tx, node.id, report.traffic);
  await addReported(tx, report.dirt, now);
  for (const [migration, revision] of await newer(tx, node.id, Object.entries(report.acknowledged))) {
    await tx.update('acknowledgements', { node: node.id, migration, revision: { lt: revision } }, { revision });
  }
  await upsertDivergences(tx, report.divergences);
  for (const { migration, compared, divergent } of report.shadow) {
    const row = await migrationRow(tx, migration);
    await tx.update(
      'migrations',
      { name: migration },
      { shadowCompared: row.shadowCompared + compared, shadowDivergent: row.shadowDivergent + divergent },
    );
  }
  return { standing: 'member' };
}

/** What every report renews; false for a process that is no member any more. */
async function renew(tx: Transaction, report: NodeReport, now: number): Promise<boolean> {
  const { deadlineLimit, stampLimit, health } = report;
  // A report that was overtaken must not lower what an acknowledgement stood on (R17).
  const raise = { deadlineLimit, stampLimit, highWater: health.highWater };
  return (await tx.update('nodes', member(report), { seenAt: now, health }, { raise })) > 0;
}

/** An incarnation is its own session's: two that had the same stamps would lose writes (R1). */
const member = ({ incarnation, session }: NodeReport) =>
  ({ id: incarnation, state: 'alive', ...(session === undefined ? {} : { session }) }) as const;

/** Whether a report says nothing that has to be looked up: nearly every one, and those that a move waits for. */
export const isPlain = (report: NodeReport): boolean =>
  report.dirt.length + report.divergences.length + report.shadow.length === 0 &&
  Object.keys(report.acknowledged).length < MANY;

/**
 * {@link report} for one that is plain, asked at once: as many processes acknowledge a move at the same moment, one after
 * another. Null where it is to be reported with looking after all: nothing is known yet of its traffic.
 */
export async function reportAtOnce(tx: Transaction, report: NodeReport, now: number): Promise<Receipt | null> {
  const { incarnation: node, acknowledged, traffic } = report;
  const provided = { table: 'nodes', where: member(report) } as const;
  const [isMember, kept] = await Promise.all([
    renew(tx, report, now),
    keepKnownTraffic(tx, node, traffic),
    ...Object.entries(acknowledged).map(([migration, revision]) =>
      tx.update('acknowledgements', { node, migration, revision: { lt: revision } }, { revision }, { provided }),
    ),
  ]);
  if (!isMember) return { standing: 'dead' };
  return kept ? { standing: 'member' } : null;
}

/** Of so many acknowledgements most are old: one look is quicker than as many updates that change nothing. */
const MANY = 8;

/** What a process may not have acknowledged before. */
async function newer(
  tx: Transaction,
  node: number,
  acknowledged: readonly (readonly [migration: string, revision: number])[],
): Promise<readonly (readonly [migration: string, revision: number])[]> {
  if (acknowledged.length < MANY) return acknowledged;
  const known = new Map((await tx.select('acknowledgements', { node })).map((row) => [row.migration, row.revision]));
  return acknowledged.filter(([migration, revision]) => (known.get(migration) ?? revision) < revision);
}

/** One row a key: when it was first and last seen, and what differed last. */
export async function upsertDivergences(tx: Transaction, lines: readonly DivergenceReport[]): Promise<void> {
  for (const [migration, its] of Map.groupBy(lines, (line) => line.migration)) {
    const byKey = [...Map.groupBy(its, ({ key }) => keyIdOf(key))];
    const keyIds = byKey.map(([keyId]) => keyId);
    const known = new Map(
      (await tx.select('divergences', { migration, keyId: { in: keyIds } })).map((row) => [row.keyId, row]),
    );
    const added: DivergenceRow[] = [];
    for (const [keyId, same] of byKey) {
      const { key, position, kind, cause, fields, at } = same.at(-1) as DivergenceReport;
      const patch = { kind, cause, fields: [...fields], position, lastSeen: at };
      const row = known.get(keyId);
      if (row === undefined) {
        const firstSeen = (same[0] as DivergenceReport).at;
        added.push({ id: 0, migration, keyId, key, firstSeen, seen: same.length, ...patch });
      } else {
        await tx.update('divergences', { id: row.id }, { ...patch, seen: row.seen + same.length });
      }
    }
    await tx.insertMany('divergences', added);
  }
}

/** All that a process reports as dirty, in few statements: while a follower is away that is a line a write. */
async function addReported(tx: Transaction, lines: readonly DirtReport[], at: number): Promise<void> {
  const rows: DirtRow[] = [];
  for (const [migration, its] of Map.groupBy(lines, (line) => line.migration)) {
    const since = its.reduce((least, { revision }) => Math.min(least, revision), Number.POSITIVE_INFINITY);
    const moves = await cohortMovesSince(tx, migration, since);
    for (const { target, kind, position, key, cause, revision, notBefore } of its) {
      const later = moves.filter((move) => move.revision > revision);
      const keyId = key === null ? null : keyIdOf(key);
      rows.push(
        ...dirtRows(migration, target, along([[position, position + 1]], later), {
          kind,
          keyId,
          key,
          cause,
          at,
          revision,
          notBefore,
        }),
      );
    }
  }
  await insertDirt(tx, rows);
}

type DirtLine = Omit<DirtRow, 'id' | 'migration' | 'target' | 'fromPosition' | 'toPosition'>;

const dirtRows = (migration: string, target: Side, positions: Intervals, line: DirtLine): DirtRow[] =>
  positions.map(([fromPosition, toPosition]) => ({ id: 0, migration, target, fromPosition, toPosition, ...line }));

export async function addDirt(
  tx: Transaction,
  migration: string,
  target: Side,
  positions: Intervals,
  line: DirtLine,
): Promise<void> {
  await insertDirt(tx, dirtRows(migration, target, positions, line));
}

/** The last report of a process that leaves in good order; its acknowledgements are no longer required (R9). */
export async function leave(tx: Transaction, last: NodeReport, now: number): Promise<void> {
  const { standing } = await report(tx, last, now);
  if (standing !== 'member') return;
  await foldTraffic(tx, last.incarnation);
  await tx.update('nodes', { id: last.incarnation }, { state: 'left' });
}

/** A process that was heard more lately is no dead one. */
const HEARD_MS = 5_000;

/**
 * Takes somebody's word that a silent process has ended, where nobody can look: its container or machine is gone. It is
 * buried as one whose end is proven. @throws InvalidArgument where there is none, or where it was heard a moment ago
 */
export async function declareEnded(
  tx: Transaction,
  name: string,
  incarnation: number,
  authorship: Authorship,
  now: number,
): Promise<void> {
  const [node] = await tx.select('nodes', { id: incarnation, state: 'alive' });
  const [member] = await tx.select('acknowledgements', { node: incarnation, migration: name });
  if (node === undefined || member === undefined) {
    throw new InvalidArgument(`no process #${incarnation} is in the fleet of ${name}`, {
      expected: 'the number of one that is silent',
      remedy: `changeover fleet ${name}`,
    });
  }
  const silentMs = now - node.seenAt;
  if (silentMs < HEARD_MS) {
    throw new InvalidArgument(`${nameOf(node)} was heard ${(silentMs / 1_000).toFixed(1)} s ago: it has not ended`, {
      expected: `a process that was not heard for ${HEARD_MS / 1_000} s`,
    });
  }
  await tx.update('nodes', { id: incarnation }, { info: { ...node.info, endedAt: now } });
  const summary = `${nameOf(node)} has ended, says ${authorship.actor}`;
  await remember(tx, name, { ...authorship, kind: 'burial', summary }, now);
}

/** What must be waited for before a process may be buried. */
export interface BurialFacts {
  readonly node: NodeRow;
  /** The sides that led in a revision that it may have run: no lead put may be on its way to them. */
  readonly ledSides: readonly Side[];
  /** The longest that one of its puts may have had, ms. */
  readonly longestPutMs: number;
}

/** The revisions that a process may have run of each migration: from its acknowledgement to the present one. */
async function possibleRulesets(
  tx: Transaction,
  node: number,
): Promise<readonly { readonly migration: string; readonly since: number; readonly documents: RulesetDocument[] }[]> {
  const result = [];
  for (const { migration, revision } of await tx.select('acknowledgements', { node })) {
    const row = await migrationRow(tx, migration);
    const later = await tx.select('history', { migration, revision: { gte: revision } }, { columns: ['after'] });
    const documents = later.flatMap(({ after }) => (after === null ? [] : [after]));
    if (!documents.some((document) => document.revision === row.revision)) documents.push(row.document);
    result.push({ migration, since: revision, documents });
  }
  return result;
}

export async function burialFacts(tx: Transaction, incarnation: number): Promise<BurialFacts> {
  const [node] = await tx.select('nodes', { id: incarnation });
  if (node === undefined) throw new InvalidArgument(`there is no process #${incarnation} in the fleet`);
  const led = new Set<Side>();
  let longestPutMs = 0;
  for (const { documents } of await possibleRulesets(tx, incarnation)) {
    for (const { dials, settings } of documents) {
      if (subtract(WHOLE_LINE, intervals([[WHOLE_LINE[0]![0], dials.cutover]])).length > 0) led.add('old');
      if (dials.cutover > WHOLE_LINE[0]![0]) led.add('new');
      longestPutMs = Math.max(longestPutMs, settings.putTimeoutMs, settings.mirrorTimeoutMs);
    }
  }
  return { node, ledSides: [...led], longestPutMs };
}

export interface Burial extends Authorship {
  readonly incarnation: number;
  /** The latest deadline that it can have issued: its durable limit, or less where its end is proven. */
  readonly deadlineLimit: number;
  /** Lead puts of it may be applied until then on each side, bounds included; null when that has passed (R9a). */
  readonly notBefore: Readonly<Record<Side, number>> | null;
}

/** R9b and c: everything that it may have mirrored is dirty in each direction it led; then its word is not needed. */
export async function bury(tx: Transaction, burial: Burial, now: number): Promise<boolean> {
  const [node] = await tx.select('nodes', { id: burial.incarnation });
  if (node === undefined || node.state !== 'alive') return false;
  for (const { migration, since, documents } of await possibleRulesets(tx, node.id)) {
    for (const target of ['old', 'new'] as const) {
      const positions = documents.reduce((all, document) => union(all, mirroredTo(document, target)), NOTHING);
      await addDirt(tx, migration, target, await carried(tx, migration, positions, since), {
        kind: 'lost',
        keyId: null,
        key: null,
        cause: `${nameOf(node)} ended without leaving`,
        at: now,
        revision: since,
        notBefore: burial.notBefore === null ? null : burial.notBefore[target === 'old' ? 'new' : 'old'],
      });
    }
    await remember(
      tx,
      migration,
      {
        actor: burial.actor,
        reason: burial.reason,
        kind: 'burial',
        summary: `${nameOf(node)} ended without leaving; what it mirrored is dirty`,
      },
      now,
    );
  }
  await foldTraffic(tx, node.id);
  await tx.update(
    'nodes',
    { id: node.id },
    { state: 'dead', deadlineLimit: Math.min(node.deadlineLimit, burial.deadlineLimit) },
  );
  return true;
}

/** The greatest stamp that anybody may have issued: live processes by their word, dead ones by their limit (R17). */
export async function stampCeiling(tx: Transaction): Promise<string> {
  let ceiling: string = STAMP_MIN;
  for (const node of await tx.select('nodes', {})) {
    const bound = node.state === 'dead' ? node.stampLimit : node.highWater;
    if (bound > ceiling) ceiling = bound;
  }
  return ceiling;
}

import { maskDifference } from '../../verify/compare.ts';
import { verifyStores } from '../../verify/full-scan.ts';
import { reportDocument } from '../../verify/reports/report-document.ts';
import type { VerifyProgress } from '../../verify/tally.ts';
import type { ReportMove, VerifyReport } from '../../verify/verify-report.ts';
import { describePositions, WHOLE_LINE } from '../core/dial.ts';
import { Busy, InvalidArgument } from '../core/errors.ts';
import { type Intervals, includes, intersect, intervals, subtract } from '../core/intervals.ts';
import { keyFromJson, keyToJson } from '../core/key-json.ts';
import { Ruleset } from '../core/ruleset.ts';
import { otherSide } from '../core/stage.ts';
import type { ControlPlaneApi } from './control-plane.ts';
import type { ControllerParts } from './controller-parts.ts';
import { ProofLease } from './proof-lease.ts';
import { type Authorship, coversEveryUnit, mirrored as mirroredBy } from './publish.ts';
import { shareScans } from './shared-verification.ts';
import type { RememberedReport } from './verified.ts';

export interface VerificationOptions extends Authorship {
  /** @default everything that is mirrored */
  readonly positions?: Intervals | null;
  /** Only one unit, by its fields or (one field) its value. */
  readonly unit?: unknown;
  /** Only a share of the units, above 0 and at most 1. @default 1 */
  readonly sample?: number;
  /** Plants known divergences and is inconclusive if it misses one. @default false */
  readonly prove?: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: VerifyProgress) => void) | undefined;
  /** How many divergences are listed and remembered for repair. @default 10000 */
  readonly maxDivergences?: number;
  /** Waits between looks at a difference, ms. */
  readonly recheckMs?: readonly number[];
}

const MOST_DIVERGENCES = 10_000;
/** What the control plane keeps of a report: enough to see what it is about. */
const MOST_KEPT = 500;
/** History that a report draws beside what diverges. */
const MOST_HISTORY = 100;
const MOST_MOVES = 20;
const NO_MOVES: ReadonlySet<string> = new Set(['verification', 'census', 'acceptance', 'stamping', 'burial']);

/** A full scan of both stores; its verdict and what it found are remembered for gates and repair. @throws Busy */
export async function verifyMigration(parts: ControllerParts, options: VerificationOptions): Promise<VerifyReport> {
  await refuseProof(parts, options);
  const lease = options.prove === true ? await ProofLease.take(parts, options.actor) : null;
  try {
    return await verifyOnce(parts, options);
  } finally {
    await lease?.release();
  }
}

async function verifyOnce(parts: ControllerParts, options: VerificationOptions): Promise<VerifyReport> {
  const { plane, migration, stores, keys, rules, clock, random, mapping } = parts;
  const document = await plane.ruleset(migration);
  const ruleset = new Ruleset(document);
  const mirrored = mirroredBy(document);
  const unit = options.unit === undefined ? null : keys.unitKeyOf(options.unit);
  const within = options.positions ?? (unit === null ? mirrored : WHOLE_LINE);
  const asked = unit === null ? within : intersect(within, ofUnit(ruleset, keys.unit(unit)));
  const positions = intersect(asked, mirrored);
  const skipped = subtract(asked, mirrored);
  if (unit !== null && asked.length === 0) {
    throw new InvalidArgument('the unit does not stand in these positions, so there is nothing to compare', {
      expected: `a unit of ${describePositions(within)}, or the unit alone`,
    });
  }
  if (positions.length === 0 && mirrored.length > 0) {
    throw new InvalidArgument(`nothing of that is mirrored by ${migration}, so there is nothing to compare`, {
      expected: describePositions(mirrored),
    });
  }
  if (document.dials.retireOld) {
    throw new InvalidArgument(`the old store of ${migration} is retired: it gets no writes to compare`, {
      expected: 'a migration whose stores are both written',
    });
  }
  if (positions.length === 0) {
    throw new InvalidArgument(`nothing of ${migration} is mirrored, so there is nothing to compare`, {
      remedy: `changeover set ${migration} dual-write … --reason "…", then changeover backfill ${migration} --reason "…"`,
    });
  }
  const [dirt, { covered }] = await Promise.all([knownDirt(parts, positions), plane.status(migration)]);
  const before = (await differedOtherwise(parts)) ? NONE : await openDivergences(parts, positions);
  // Everything needs no position: that of each record costs as much as its digest.
  const compared = coversEveryUnit(document, positions) ? null : positions;
  const found = await verifyStores({
    migration,
    old: stores.old,
    new: stores.new,
    keys,
    authority: (unit) => ruleset.route(unit).authority,
    includes: compared === null ? null : (name) => includes(compared, ruleset.position(name)),
    share: shareScans(parts, { positions: compared, document }),
    skipped: skipped.length === 0 ? [] : [`${describePositions(skipped)}, which is not mirrored`],
    unit,
    sample: options.sample ?? 1,
    prove: options.prove === true,
    rules,
    clock,
    random,
    revision: document.revision,
    mappingHash: mapping,
    ttlMs: document.settings.verificationTtlMs,
    dirty: { ranges: dirt.lost, rejected: dirt.rejected },
    knownDirt: (name, id) =>
      dirt.byId.get(id) ?? (includes(dirt.ranges, ruleset.position(name)) ? 'dirty range' : undefined),
    covered: (name) => includes(covered[otherSide(ruleset.route(name).authority)], ruleset.position(name)),
    signal: options.signal,
    onProgress: options.onProgress,
    maxDivergences: options.maxDivergences ?? MOST_DIVERGENCES,
    ...(options.recheckMs === undefined ? {} : { recheckMs: options.recheckMs }),
  });
  const report = { ...found, positions, moves: await movesOf(plane, migration) };
  // What is due comes with its backfill: it is nothing that somebody has to mend.
  const amiss = report.divergences.filter(({ cause }) => cause !== 'not backfilled');
  await plane.recordDivergences(
    migration,
    amiss.map((line) => ({
      migration,
      key: keyToJson(line.key),
      position: ruleset.position(keys.unit(line.key)),
      kind: line.kind,
      cause: line.cause,
      fields: line.fields.map(maskDifference).map(({ path, old, new: fresh }) => ({
        path,
        old: String(old),
        new: String(fresh),
      })),
      at: clock.now(),
    })),
  );
  await plane.recordVerification(
    {
      id: 0,
      migration,
      verdict: report.verdict,
      positions,
      revision: document.revision,
      mapping,
      startedAt: Date.parse(report.startedAt),
      finishedAt: Date.parse(report.finishedAt),
      expiresAt: Date.parse(report.expiresAt),
      report: remembered(report),
    },
    // Not the options: what calls back cannot be sent to a control plane in another thread.
    { actor: options.actor, reason: options.reason },
    reportDocument(report, { most: MOST_KEPT }),
  );
  if (report.verdict === 'consistent' && unit === null && report.sample === undefined) {
    await forgetDivergences(parts, positions, before);
  }
  return report;
}

const PAGE = 500;
/** As many verdicts are looked at for the last one of another mapping. */
const RECENT = 50;
const NONE: ReadonlyMap<number, number> = new Map();

/** Whether the last verdict of another mapping found differences: that this one sees none does not end them. */
async function differedOtherwise({ plane, migration, mapping }: ControllerParts): Promise<boolean> {
  const recent = await plane.verifications(migration, { limit: RECENT });
  const other = recent.find((row) => row.mapping !== mapping && row.verdict !== 'inconclusive');
  return other?.verdict === 'divergent';
}

/** How often each divergence of some positions was seen, by its row. */
async function openDivergences(
  { plane, migration }: ControllerParts,
  positions: Intervals,
): Promise<ReadonlyMap<number, number>> {
  const found = new Map<number, number>();
  for (let after = 0; ; ) {
    const rows = await plane.divergences(migration, after, PAGE);
    if (rows.length === 0) return found;
    after = rows.at(-1)?.id ?? after;
    for (const { id, position, seen } of rows) if (includes(positions, position)) found.set(id, seen);
  }
}

/** What was known before everything of these positions was found equal is over, unless it was met again meanwhile. */
async function forgetDivergences(
  parts: ControllerParts,
  positions: Intervals,
  before: ReadonlyMap<number, number>,
): Promise<void> {
  if (before.size === 0) return;
  const now = await openDivergences(parts, positions);
  const over = [...before].flatMap(([id, seen]) => (now.get(id) === seen ? [id] : []));
  for (let i = 0; i < over.length; i += PAGE) {
    await parts.plane.clearDivergences(parts.migration, over.slice(i, i + PAGE));
  }
}

/** What is dirty, all of it: what a verification of some positions did not know of could make its verdict another. */
async function knownDirt({ plane, migration, keys }: ControllerParts, positions: Intervals) {
  const ranges: [number, number][] = [];
  const byId = new Map<string, 'rejected' | 'lost mirror'>();
  const lines = { lost: 0, rejected: 0 };
  for (const target of ['old', 'new'] as const) {
    for (let after = 0; ; ) {
      const rows = await plane.dirtOf(migration, target, null, after, PAGE, positions);
      if (rows.length === 0) break;
      after = rows.at(-1)?.id ?? after;
      for (const { key, kind, fromPosition, toPosition } of rows) {
        lines[kind] += 1;
        if (key === null) ranges.push([fromPosition, toPosition]);
        else byId.set(keys.id(keyFromJson(key)), kind === 'rejected' ? kind : 'lost mirror');
      }
    }
  }
  return { ...lines, ranges: intervals(ranges), byId };
}

function remembered({ counts, reasons, truncated, unit, sample, proof }: VerifyReport): RememberedReport {
  return {
    counts,
    reasons,
    truncated,
    ...(unit === undefined ? {} : { unit }),
    ...(sample === undefined ? {} : { sample }),
    ...(proof === undefined ? {} : { proof }),
  };
}

function ofUnit(ruleset: Ruleset, unit: string): Intervals {
  const position = ruleset.position(unit);
  return [[position, position + 1]];
}

/** Replays pass over what is planted, but a worker of an earlier release copies it: none may be under way. @throws Busy */
async function refuseProof({ plane, migration }: ControllerParts, options: VerificationOptions): Promise<void> {
  if (options.prove !== true) return;
  if (options.unit !== undefined) {
    throw new InvalidArgument('one unit cannot be proven: planted records have units of their own', {
      expected: 'prove without unit',
    });
  }
  const { replay } = await plane.status(migration);
  if (replay === null) return;
  throw new Busy(`a ${replay.kind} of ${migration} is under way, and nothing is planted beside one`, {
    remedy: `wait for its end (changeover status ${migration}), or verify without --prove`,
  });
}

/** What was moved, oldest first. */
async function movesOf(plane: ControlPlaneApi, migration: string): Promise<readonly ReportMove[]> {
  const rows = await plane.history(migration, { limit: MOST_HISTORY });
  return rows
    .filter(({ kind }) => !NO_MOVES.has(kind))
    .slice(0, MOST_MOVES)
    .reverse()
    .map(({ at, kind, summary }) => ({ at: new Date(at).toISOString(), kind, summary }));
}

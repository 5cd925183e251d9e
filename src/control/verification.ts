import { maskValue } from '../../verify/compare.ts';
import { verifyStores } from '../../verify/full-scan.ts';
import type { VerifyProgress } from '../../verify/tally.ts';
import type { VerifyReport } from '../../verify/verify-report.ts';
import { below } from '../core/dial.ts';
import { InvalidArgument } from '../core/errors.ts';
import { type Intervals, includes } from '../core/intervals.ts';
import { keyFromJson, keyToJson } from '../core/key-json.ts';
import { Ruleset } from '../core/ruleset.ts';
import type { ControllerParts } from './controller-parts.ts';
import type { Authorship } from './publish.ts';

export interface VerificationOptions extends Authorship {
  /** @default everything that is mirrored */
  readonly positions?: Intervals | null;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: VerifyProgress) => void) | undefined;
  /** How many divergences are listed and remembered for repair. @default 10000 */
  readonly maxDivergences?: number;
  /** Waits between looks at a difference, ms. */
  readonly recheckMs?: readonly number[];
}

const MOST_DIVERGENCES = 10_000;

/** A full scan of both stores; its verdict and what it found are remembered for gates and repair. */
export async function verifyMigration(parts: ControllerParts, options: VerificationOptions): Promise<VerifyReport> {
  const { plane, migration, stores, keys, rules, clock, random, mapping } = parts;
  const document = await plane.ruleset(migration);
  const ruleset = new Ruleset(document);
  const positions = options.positions ?? below(document.dials.dualWrite);
  if (positions.length === 0) {
    throw new InvalidArgument(`nothing of ${migration} is mirrored, so there is nothing to compare`, {
      remedy: `changeover set ${migration} dual-write … --reason "…", then changeover backfill ${migration} --reason "…"`,
    });
  }
  const dirt = await plane.dirt(migration, null, MOST_DIVERGENCES);
  const dirty = dirt.filter((row) => positions.some(([from, to]) => row.fromPosition < to && row.toPosition > from));
  const byId = new Map(
    dirty.flatMap(({ key, kind }) =>
      key === null ? [] : [[keys.id(keyFromJson(key)), kind === 'rejected' ? 'rejected' : 'lost mirror'] as const],
    ),
  );
  const report = await verifyStores({
    migration,
    old: stores.old,
    new: stores.new,
    keys,
    authority: (unit) => ruleset.route(unit).authority,
    includes: (unit) => includes(positions, ruleset.position(unit)),
    rules,
    clock,
    random,
    revision: document.revision,
    mappingHash: mapping,
    ttlMs: document.settings.verificationTtlMs,
    dirty: {
      ranges: dirty.filter((row) => row.kind === 'lost').length,
      rejected: dirty.filter((row) => row.kind === 'rejected').length,
    },
    knownDirt: (_unit, id) => byId.get(id),
    signal: options.signal,
    onProgress: options.onProgress,
    maxDivergences: options.maxDivergences ?? MOST_DIVERGENCES,
    ...(options.recheckMs === undefined ? {} : { recheckMs: options.recheckMs }),
  });
  await plane.recordDivergences(
    migration,
    report.divergences.map((line) => ({
      migration,
      key: keyToJson(line.key),
      position: ruleset.position(keys.unit(line.key)),
      kind: line.kind,
      cause: line.cause,
      fields: line.fields.map((field) => ({ path: field.path, old: maskValue(field.old), new: maskValue(field.new) })),
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
      report: { counts: report.counts, reasons: report.reasons },
    },
    // Not the options: what calls back cannot be sent to a control plane in another thread.
    { actor: options.actor, reason: options.reason },
  );
  return report;
}

import { canonicalText } from '../../src/core/canonical.ts';
import { isPlainObject, type Value } from '../../src/core/value.ts';
import { type FieldDifference, maskDifference } from '../compare.ts';
import type { Divergence, VerifyReport } from '../verify-report.ts';
import { type ReportSummary, summaryOf } from './report-summary.ts';

/** What `$schema` of a report says: docs/verify-report-schema.json has this `$id`. */
export const REPORT_SCHEMA = 'urn:changeover:verify-report:1';

/** Everything of a run; a line of a listed divergence is plain JSON. */
type Run = Omit<VerifyReport, 'divergences'>;

/**
 * A report as plain JSON data: what `--json` prints, the control plane keeps and every other form is written from.
 * `docs/verify-report-schema.json` describes it.
 */
export interface ReportDocument extends Run {
  readonly $schema: typeof REPORT_SCHEMA;
  /** Values of fields are as the stores hold them; otherwise their types and lengths stand for them. */
  readonly valuesShown: boolean;
  readonly divergences: readonly DivergenceLine[];
  /** Of all divergences that the verification listed, those that this document leaves out too. */
  readonly summary: ReportSummary;
}

export interface DivergenceLine extends Omit<Divergence, 'key' | 'fields'> {
  readonly key: Readonly<Record<string, unknown>>;
  /** `userKey="ada", id=7n`: the key in one line, with the types that JSON does not have. */
  readonly keyText: string;
  /** A side without the field has no `old` or `new`. */
  readonly fields: readonly FieldLine[];
}

export interface FieldLine {
  /** Empty for the whole record. */
  readonly path: string;
  readonly old?: unknown;
  readonly new?: unknown;
  /** Types and lengths stand for the values, though this document shows values: there was no room for more. */
  readonly masked?: true;
}

export interface ReportOptions {
  /** Shows the values of fields that differ. @default false: type and length only, so that reports can be passed on */
  readonly showValues?: boolean;
  /** How many divergences are listed; all are counted. @default all that the verification listed */
  readonly most?: number;
}

/**
 * A value as JSON can hold it: bigint, Date, bytes, decimals, sets, NaN and -0 by their canonical text.
 */
export function plainJson(value: Value): unknown {
  if (value === undefined || value === null) return null;
  if (typeof value === 'number') return Number.isFinite(value) && !Object.is(value, -0) ? value : canonicalText(value);
  if (typeof value === 'string' || typeof value === 'boolean') return value;
  if (Array.isArray(value)) return value.map(plainJson);
  if (!isPlainObject(value)) return canonicalText(value);
  return Object.fromEntries(Object.entries(value).map(([field, item]) => [field, plainJson(item as Value)]));
}

/** The report as plain JSON data. */
export function reportDocument(report: VerifyReport, options: ReportOptions = {}): ReportDocument {
  const { divergences, ...run } = report;
  const shown = options.showValues === true ? (difference: FieldDifference) => difference : maskDifference;
  const side = (name: 'old' | 'new', value: Value): object => (value === undefined ? {} : { [name]: plainJson(value) });
  const fieldLine = ({ path, old, new: fresh, masked }: FieldDifference): FieldLine => ({
    path,
    ...side('old', old),
    ...side('new', fresh),
    ...(masked === true && options.showValues === true ? { masked } : {}),
  });
  const listed = divergences.slice(0, options.most ?? divergences.length);
  return {
    $schema: REPORT_SCHEMA,
    ...run,
    valuesShown: options.showValues === true,
    truncated: run.truncated || listed.length < divergences.length,
    summary: summaryOf(report),
    divergences: listed.map(({ key, fields, ...line }) => ({
      ...line,
      key: plainJson(key as Value) as Record<string, unknown>,
      keyText: keyText(key),
      fields: fields.map((field) => fieldLine(shown(field))),
    })),
  };
}

const keyText = (key: Divergence['key']): string =>
  Object.entries(key)
    .map(([field, part]) => `${field}=${canonicalText(part)}`)
    .join(', ');

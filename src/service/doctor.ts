import { acceptanceOf } from '../control/acceptances.ts';
import type { ControlPlaneApi } from '../control/control-plane.ts';
import { configuredMember } from '../control/facts.ts';
import { unlikeIn } from '../control/fleet-gates.ts';
import { type CensusRequest, type CensusResult, censusOf } from '../control/preflight.ts';
import type { AcceptanceRow } from '../control/storage.ts';
import type { Clock, Random } from '../core/clock.ts';
import { ChangeoverError } from '../core/errors.ts';
import type { Side } from '../core/stage.ts';
import { type Finding, identityCodec, type Store } from '../core/store.ts';
import { type Config, definitionOf, type MigrationDefinition } from './config.ts';
import { controlPlaceFindings } from './control-place.ts';
import { leftStampFindings, writesNoStamps } from './left-stamps.ts';
import { makeStore } from './open-stores.ts';

/** A finding, and who accepted it. */
export interface JudgedFinding extends Finding {
  readonly accepted: { readonly actor: string; readonly reason: string; readonly at: string } | null;
}

/** Why something could not be looked at. */
export interface Trouble {
  readonly code: string;
  readonly message: string;
  readonly remedy: string | null;
}

/** What a look at one store came to. */
export interface StoreReport {
  readonly label: string;
  /** Null: it was opened. */
  readonly trouble: Trouble | null;
  /** The server as it names itself. */
  readonly server: string | null;
  readonly prepared: boolean | null;
  /** How far its clock is ahead of this process's, ms. */
  readonly aheadMs: number | null;
  readonly findings: readonly JudgedFinding[];
}

export interface ControlReport {
  /** `sqlite`, `memory`, …; what follows the colon may be secret. */
  readonly kind: string;
  readonly trouble: Trouble | null;
  readonly aheadMs: number | null;
  readonly findings: readonly Finding[];
}

/** What stands in the way of a move, and what mends it. */
export interface OpenPoint {
  readonly what: string;
  readonly remedy: string;
}

/** What {@link Control.doctor} found. */
export interface DoctorReport {
  readonly migration: string;
  /** It is over: whatever its stores lack is in the way of nothing. */
  readonly finished: boolean;
  /** `open`: something has to be mended or accepted first. */
  readonly verdict: 'ready' | 'open' | 'configuration' | 'unreachable';
  readonly control: ControlReport;
  readonly stores: Readonly<Record<Side, StoreReport>>;
  readonly fleet: {
    readonly nodes: number;
    readonly acknowledged: number;
    readonly behind: readonly string[];
    /** What its processes have configured differently. */
    readonly unlike: readonly string[];
  } | null;
  readonly mapping: {
    readonly hash: string;
    readonly key: readonly string[];
    readonly unit: readonly string[];
    /** Whether a codec of the configuration stands between records and each store. */
    readonly codecs: Readonly<Record<Side, boolean>>;
  };
  readonly census: CensusResult | null;
  /** Why there is no census. */
  readonly censusTrouble: Trouble | null;
  readonly open: readonly OpenPoint[];
}

export type DoctorOptions = Partial<CensusRequest>;

export interface DoctorParts {
  readonly config: Config;
  readonly name: string;
  /** The control plane, or what kept it from being opened. */
  readonly plane: ControlPlaneApi | Error;
  readonly clock: Clock;
  readonly random: Random;
}

/** A difference of clocks that people want to know of, ms. */
const CLOCK_MS = 1_000;

/**
 * Looks at everything that a migration needs and goes on with the rest where something does not answer. Takes a census
 * and records it unless it is a dry run; changes nothing else. @throws UnknownMigration, Interrupted
 */
export async function examine(parts: DoctorParts, options: DoctorOptions = {}): Promise<DoctorReport> {
  const { config, name, clock, random } = parts;
  const definition = definitionOf(config, name);
  const { keys, rules, mapping } = definition;
  const { control, plane } = await examineControl(parts, options.dryRun === true);
  const acceptances = plane === null ? [] : await plane.acceptances(name);
  const [old, fresh] = await Promise.all([
    openSide(name, definition, 'old', clock),
    openSide(name, definition, 'new', clock),
  ]);
  const unstamped = plane !== null && (await writesNoStamps(plane, name));
  try {
    const look = ({ store, trouble, label }: Opened, side: Side): Promise<StoreReport> | StoreReport =>
      store === null || trouble !== null
        ? { ...UNSEEN, label, trouble }
        : examineStore(store, side, acceptances, clock, unstamped);
    const [oldReport, newReport] = await Promise.all([look(old, 'old'), look(fresh, 'new')]);
    const seen = { old: oldReport, new: newReport };
    let census: CensusResult | null = null;
    let censusTrouble: Trouble | null = null;
    if (old.store === null || fresh.store === null || oldReport.trouble !== null || newReport.trouble !== null) {
      censusTrouble = { code: 'NOT_SUPPORTED', message: 'a census needs both stores', remedy: null };
    } else {
      const request = { actor: 'changeover', reason: 'doctor', ...options };
      const stores = { old: old.store, new: fresh.store };
      try {
        census = await censusOf({ plane, migration: name, stores, keys, rules, mapping, clock, random }, request);
      } catch (error) {
        options.signal?.throwIfAborted();
        censusTrouble = troubleOf(error);
      }
    }
    const report = {
      migration: name,
      control,
      stores: seen,
      ...(await examineMigration(plane, name)),
      mapping: {
        hash: mapping,
        key: keys.fields,
        unit: keys.unitFields,
        codecs: { old: definition.codecs.old !== identityCodec, new: definition.codecs.new !== identityCodec },
      },
      census,
      censusTrouble,
    };
    const points = openPoints(report);
    return { ...report, open: points, verdict: verdictOf(report, points) };
  } finally {
    await Promise.allSettled([fresh.store?.close(), old.store?.close()]);
  }
}

const UNSEEN = { server: null, prepared: null, aheadMs: null, findings: [] } as const;

async function examineControl(
  { config, name, plane, clock }: DoctorParts,
  dryRun: boolean,
): Promise<{ readonly control: ControlReport; readonly plane: ControlPlaneApi | null }> {
  const report = {
    kind: /^[a-z]+/i.exec(config.control)?.[0] ?? '',
    findings: await controlPlaceFindings(config.control),
  };
  try {
    if (plane instanceof Error) throw plane;
    if (!dryRun) await plane.ensureMigration(name);
    const aheadMs = Math.round((await plane.writable()) - clock.now());
    return { plane, control: { ...report, trouble: null, aheadMs } };
  } catch (error) {
    return { plane: null, control: { ...report, trouble: troubleOf(error), aheadMs: null } };
  }
}

async function examineMigration(
  plane: ControlPlaneApi | null,
  name: string,
): Promise<Pick<DoctorReport, 'fleet' | 'finished'>> {
  if (plane === null || !(await plane.migrations()).includes(name)) return { fleet: null, finished: false };
  const { fleet, revision, finished } = await plane.status(name);
  const behind = (await plane.behind(name, revision)).map((member) => member.name);
  const members = (await plane.fleet('alive')).map(({ node }) => configuredMember(node, name));
  return { fleet: { ...fleet, behind, unlike: unlikeIn(members).map(({ text }) => text) }, finished };
}

interface Opened {
  readonly label: string;
  /** Null where it could not even be made. */
  readonly store: Store | null;
  readonly trouble: Trouble | null;
}

/** Opens a store as far as that goes. */
async function openSide(name: string, definition: MigrationDefinition, side: Side, clock: Clock): Promise<Opened> {
  let store: Store | null = null;
  const label = (): string => store?.label ?? definition.stores[side].adapter;
  try {
    store = await makeStore(name, definition, side, clock);
    await store.open();
    return { label: label(), store, trouble: null };
  } catch (error) {
    return { label: label(), store, trouble: troubleOf(error) };
  }
}

async function examineStore(
  store: Store,
  side: Side,
  acceptances: readonly AcceptanceRow[],
  clock: Clock,
  unstamped: boolean,
): Promise<StoreReport> {
  const { label } = store;
  try {
    const inspection = await store.inspect();
    const prepared = await store.prepared();
    const left = unstamped ? await leftStampFindings(store, side) : [];
    const findings = [...left, ...inspection.findings].map((finding) => {
      const row = acceptanceOf(acceptances, side, finding.name);
      const at = row === null ? '' : new Date(row.at).toISOString();
      return { ...finding, accepted: row === null ? null : { actor: row.actor, reason: row.reason, at } };
    });
    const aheadMs = Math.round(store.now() - clock.now());
    return { label, trouble: null, server: inspection.server, prepared, aheadMs, findings };
  } catch (error) {
    return { ...UNSEEN, label, trouble: troubleOf(error) };
  }
}

/** @throws whatever is a mistake of ours */
function troubleOf(error: unknown): Trouble {
  if (!(error instanceof ChangeoverError)) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    if (!/^E[A-Z0-9]+$/.test(code)) throw error;
    return { code: 'CONTROL_UNAVAILABLE', message: `it cannot be opened: ${code}`, remedy: null };
  }
  return { code: error.code, message: error.message, remedy: error.remedy ?? null };
}

type Unjudged = Omit<DoctorReport, 'open' | 'verdict'>;

function openPoints(report: Unjudged): readonly OpenPoint[] {
  const { migration, finished, control, stores, fleet, census, censusTrouble } = report;
  if (finished) return [];
  const points: OpenPoint[] = [];
  const add = (what: string, remedy: string | null): void => {
    points.push({ what, remedy: remedy ?? '' });
  };
  if (control.trouble !== null) add(`the control plane: ${control.trouble.message}`, control.trouble.remedy);
  for (const { message, remedy } of control.findings) add(message, remedy);
  for (const side of ['old', 'new'] as const) {
    const { trouble, prepared, findings } = stores[side];
    if (trouble !== null) add(`the ${side} store: ${trouble.message}`, trouble.remedy);
    for (const { name, level, message, remedy, accepted } of findings) {
      if (level === 'info' || (level === 'risk' && accepted !== null)) continue;
      add(`the ${side} store: ${name}: ${message}`, remedy);
    }
    if (prepared === false)
      add(`the ${side} store is not prepared for stamped writes`, `changeover prepare ${migration}`);
  }
  for (const unlike of fleet?.unlike ?? []) {
    add(`the fleet: ${unlike}`, `give all processes one configuration of ${migration}, or end those that have another`);
  }
  for (const loss of census?.open ?? []) {
    add(`census: ${loss}`, `mend the codec, or changeover accept ${migration} census --reason "…"`);
  }
  const both = stores.old.trouble === null && stores.new.trouble === null;
  if (censusTrouble !== null && both) add(`the census: ${censusTrouble.message}`, censusTrouble.remedy);
  return points;
}

const UNREACHABLE: ReadonlySet<string> = new Set(['STORE_FAULT', 'STORE_UNAVAILABLE', 'CONTROL_UNAVAILABLE']);

function verdictOf(
  { finished, control, stores, censusTrouble }: Unjudged,
  points: readonly OpenPoint[],
): DoctorReport['verdict'] {
  if (finished) return 'ready';
  const both = stores.old.trouble === null && stores.new.trouble === null;
  const troubles = [control.trouble, stores.old.trouble, stores.new.trouble, both ? censusTrouble : null];
  const codes = troubles.filter((trouble) => trouble !== null).map(({ code }) => code);
  if (codes.some((code) => UNREACHABLE.has(code))) return 'unreachable';
  if (codes.length > 0) return 'configuration';
  return points.length === 0 ? 'ready' : 'open';
}

/** What people want to know of clocks; null where they agree. */
export const clockText = (aheadMs: number | null): string | null =>
  aheadMs === null || Math.abs(aheadMs) < CLOCK_MS
    ? null
    : `its clock is ${Math.abs(aheadMs) / 1_000} s ${aheadMs > 0 ? 'ahead of' : 'behind'} this process's`;

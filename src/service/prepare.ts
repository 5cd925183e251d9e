import type { CensusRequest, CensusResult } from '../control/preflight.ts';
import { GatesRefused, type GateVerdict } from '../core/errors.ts';
import type { Side } from '../core/stage.ts';
import type { Inspection, PrepareReport } from '../core/store.ts';

/** How `prepare` takes its census, and whether it only looks. */
export type PrepareOptions = Partial<CensusRequest>;

/** What `prepare` did, or would do, and what it found. */
export interface Prepared extends Readonly<Record<Side, PrepareReport>> {
  readonly inspections: Readonly<Record<Side, Inspection>>;
  /** Null for a dry run. */
  readonly census: CensusResult | null;
}

/** @throws GatesRefused where a store cannot work, but for what `prepare` makes itself */
export function refuseProblems(name: string, inspections: Readonly<Record<Side, Inspection>>): void {
  const gates = (['old', 'new'] as const).flatMap((side) =>
    inspections[side].findings
      .filter(({ level, kind }) => level === 'problem' && kind !== 'missing')
      .map((finding): GateVerdict => {
        const evidence = `the ${side} store: ${finding.name}: ${finding.message}`;
        return { gate: finding.kind, passed: false, advice: false, evidence, remedy: finding.remedy };
      }),
  );
  if (gates.length === 0) return;
  throw new GatesRefused(`${name} cannot be prepared: ${gates.length} problems; nothing was made`, gates, {
    remedy: `changeover doctor ${name}`,
  });
}

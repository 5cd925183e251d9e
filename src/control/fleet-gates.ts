import type { GateVerdict } from '../core/errors.ts';
import { behind, type FleetMember, type StepFacts } from './facts.ts';

/** Every process of the fleet must be there to acknowledge. Pure. */
export function fleetGate(facts: StepFacts, revision: number, what: string): GateVerdict {
  const late = behind(facts.fleet, revision);
  const passed = late.length === 0;
  return {
    gate: 'fleet',
    passed,
    advice: false,
    evidence: passed
      ? `${facts.fleet.length} of ${facts.fleet.length} processes acknowledged ${what}`
      : `not acknowledged by ${late.map((member) => member.name).join(', ')}`,
    remedy: passed ? null : `changeover fleet ${facts.document.migration}`,
  };
}

/** What processes of one fleet have configured differently. */
export interface Unlike {
  /** What each of them says of it must be the same, or writes get lost. */
  readonly vital: boolean;
  readonly text: string;
}

const ASPECTS = [
  ['key', 'another key or unit', true],
  ['old', 'another old store', true],
  ['new', 'another new store', true],
  ['mapping', 'another codec, schema or compare rule', false],
] as const;
const MOST_NAMED = 5;

/** What live processes have configured differently for a migration, as far as they say. Pure. */
export function unlikeIn(fleet: readonly Omit<FleetMember, 'acknowledged'>[]): readonly Unlike[] {
  const members = fleet.toSorted((a, b) => a.incarnation - b.incarnation);
  const found = ASPECTS.flatMap(([aspect, what, vital]) => {
    const groups = [...Map.groupBy(members, ({ configured }) => configured?.[aspect] ?? null)]
      .filter(([digest]) => digest !== null)
      .map(([, alike]) => alike)
      // As many of one kind as of the other: those that were there first are what the others are compared with.
      .toSorted((a, b) => b.length - a.length);
    const [[usual] = [], ...others] = groups;
    if (usual === undefined || others.length === 0) return [];
    const names = others.flat().map(({ name }) => name);
    const more = names.length > MOST_NAMED ? ` and ${names.length - MOST_NAMED} more` : '';
    const verb = names.length === 1 ? 'has' : 'have';
    return [{ vital, text: `${names.slice(0, MOST_NAMED).join(', ')}${more} ${verb} ${what} than ${usual.name}` }];
  });
  // Keys and stores are part of the mapping: that it differs too says nothing more.
  return found.some(({ vital }) => vital) ? found.filter(({ vital }) => vital) : found;
}

/**
 * Where some processes lead or mirror to another store than the rest, or name records by another key, what they write is
 * lost to the others. Says nothing of a fleet that is alike. Pure.
 */
export function configurationGates({ fleet, document: { migration } }: StepFacts): readonly GateVerdict[] {
  const unlike = unlikeIn(fleet);
  if (unlike.length === 0) return [];
  const vital = unlike.some((each) => each.vital);
  const evidence = unlike.map(({ text }) => text).join('; ');
  const remedy = vital
    ? `give all of them one configuration of ${migration} (server, port, database and table written alike), or end those that have another; changeover doctor ${migration} names them`
    : `let the deployment end; changeover doctor ${migration} names who is left`;
  return [{ gate: 'configuration', passed: false, advice: !vital, evidence, remedy }];
}

import { type AuditReport, audit, type FindingKind, historyUntil } from './audit.ts';
import type { Expectations } from './expectations.ts';
import { readJournals } from './journal.ts';
import { count, duration, type Narrator, plural } from './narrator.ts';
import { readNewStore, readOldStore } from './raw-stores.ts';
import type { WalkResult } from './walk.ts';
import type { Workplace } from './workplace.ts';

/** What the last chapter is made of. */
export interface ConclusionParts {
  readonly workplace: Workplace;
  readonly narrator: Narrator;
  readonly expectations: Expectations;
  readonly result: WalkResult;
  readonly pausesMs: readonly number[];
  /** When it all began, `performance.now()`. */
  readonly begun: number;
}

const MOST_FINDINGS = 5;

/** Audits both stores against the services' journals, then tells what it all came to. */
export async function concludeWalk(parts: ConclusionParts): Promise<void> {
  const { workplace, narrator, expectations, result, pausesMs, begun } = parts;
  narrator.chapter('The audit: what callers wrote down, against what the stores hold');
  const history = readJournals(workplace.journals);
  const writes = [...workplace.seeds, ...history.writes];
  const now = audit({ writes, reads: history.reads, final: await readNewStore(workplace.places.endpoint) });
  const then = audit({
    writes: historyUntil(writes, result.retired.from, result.retired.to),
    reads: [],
    final: readOldStore(workplace.places.old),
  });
  narrator.say(
    `${plural(now.acknowledged, 'acknowledged write')} and ${plural(now.reads, 'record')} read, of ${plural(now.keys, 'key')}; ${plural(now.uncertain, 'write')} without an answer (${count(history.cutOff)} cut off by kill -9)`,
  );
  expectations.check(now.findings.length === 0, `new store: ${tally(now)}`);
  tellFindings(narrator, now);
  expectations.check(then.findings.length === 0, `old store, as it was when it retired: ${tally(then)}`);
  tellFindings(narrator, then);

  narrator.chapter('What it came to');
  const errors = [...history.errors].map(([code, times]) => `${count(times)} ${code}`).join(', ');
  narrator.fact('calls of the services', count(history.calls));
  narrator.fact('errors that callers saw', errors === '' ? 'none' : errors);
  narrator.fact('acknowledged writes', `${count(now.acknowledged)}: ${tally(now)}`);
  narrator.fact(
    'corrupted events',
    `${count(result.planted.corrupted)} planted; ${count(result.found)} found and repaired, the rest overwritten`,
  );
  narrator.fact('handovers', `${pausesMs.length}; writes paused ${pausesMs.map((ms) => Math.round(ms)).join(', ')} ms`);
  narrator.fact('roll-back of everything', duration(result.rollbackMs));
  const { before, during } = result.hang;
  narrator.fact('p99 while the store hung', `${duration(during.p99Ms)} (before: ${duration(before.p99Ms)})`);
  narrator.fact('promises', `${expectations.checked - expectations.broken.length} of ${expectations.checked} held`);
  narrator.fact('total time', duration(performance.now() - begun));
  narrator.gap();
  for (const broken of expectations.broken) narrator.verdict(false, broken);
}

const TALLIED: readonly (readonly [words: string, kinds: readonly FindingKind[]])[] = [
  ['lost', ['lost', 'stale', 'lost update']],
  ['resurrected', ['resurrected']],
  ['corrupt', ['corrupt', 'unexplained']],
  ['stale reads', ['stale read']],
];

const tally = ({ findings }: AuditReport): string =>
  TALLIED.map(([words, kinds]) => `${count(findings.filter(({ kind }) => kinds.includes(kind)).length)} ${words}`).join(
    ', ',
  );

function tellFindings(narrator: Narrator, { findings }: AuditReport): void {
  for (const { kind, key, detail } of findings.slice(0, MOST_FINDINGS)) narrator.say(`${kind}: ${key}: ${detail}`);
  if (findings.length > MOST_FINDINGS) narrator.say(`and ${count(findings.length - MOST_FINDINGS)} more`);
}

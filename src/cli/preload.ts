import { GatesRefused } from '../core/errors.ts';
import { EXIT } from './exit-code.ts';
import { allows, sayGates } from './gate-text.ts';
import { runReplay } from './replay-run.ts';
import type { Outcome, Session } from './session.ts';
import { count, duration } from './wording.ts';

interface Why {
  readonly actor: string;
  readonly reason: string;
}

/** `changeover backfill <migration> --preload`: fills the new store before anything is mirrored to it. */
export async function preload(session: Session, migration: string, why: Why): Promise<Outcome> {
  const { terminal, signal } = session;
  const controller = await session.controller(migration);
  const begun = performance.now();
  const summary = await runReplay(session, migration, 'preload', ['new'], (onProgress) =>
    controller.preload({ ...why, signal, onProgress }),
  ).catch((error: unknown) => {
    if (error instanceof GatesRefused) sayGates(terminal, error.gates);
    throw error;
  });
  const tookMs = Math.round(performance.now() - begun);
  const { scanned, applied, skipped, rejected, resumed } = summary;
  // What was put before it was interrupted did not take this time.
  const rate = tookMs === 0 || resumed ? '' : `, ${count(Math.round((scanned / tookMs) * 1_000))} a second`;
  terminal.say(
    `${terminal.style('bold', migration)} preload of the new store done in ${duration(tookMs)}${rate}${resumed ? ', gone on from its checkpoint' : ''}`,
  );
  terminal.say(
    `  ${count(scanned)} scanned: ${count(applied)} put, ${count(skipped)} there already, ${count(rejected)} rejected`,
  );
  if (rejected > 0) terminal.say('  the backfill after dual-write meets the rejected ones again, and names their keys');
  terminal.say(
    `  it makes nothing complete: changeover set ${migration} dual-write 100 --reason …, then changeover backfill ${migration} --reason …`,
  );
  const data = { migration, target: 'new', dryRun: false, resumed, scanned, applied, skipped, rejected, tookMs };
  return { code: EXIT.done, data };
}

/** The gates of a preload, changing nothing. */
export async function previewPreload(session: Session, migration: string, why: Why): Promise<Outcome> {
  const { terminal } = session;
  const controller = await session.controller(migration);
  const { gates, stamping } = await controller.previewPreload(why);
  sayGates(terminal, gates);
  const stores = await (await session.operations()).stores(migration);
  const estimate = await stores.old.estimate();
  const allowed = allows(gates, false);
  const first = stamping ? 'bring stamping on, then ' : '';
  const size = estimate === null ? '' : `, about ${count(estimate)} records`;
  terminal.say(
    allowed
      ? `dry run: would ${first}put everything from the old store into the new one${size}`
      : 'dry run: the preload would be refused',
  );
  const code = allowed ? EXIT.done : EXIT.refused;
  return { code, data: { migration, target: 'new', dryRun: true, allowed, stamping, estimate, gates } };
}

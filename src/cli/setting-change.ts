import { RevisionConflict } from '../core/errors.ts';
import { type Settings, settingText } from '../core/settings.ts';
import { waitAcknowledged } from './acknowledged.ts';
import { EXIT } from './exit-code.ts';
import type { Outcome, Session } from './session.ts';
import { parseSetting } from './setting-value.ts';
import { duration, plural } from './wording.ts';

/** How a setting is to be changed. */
export interface SettingCall {
  readonly actor: string;
  readonly reason: string;
  readonly dryRun: boolean;
  readonly ifRevision: number | null;
}

/**
 * Changes one setting of a migration and waits until every process goes by it.
 * @throws InvalidArgument, RevisionConflict, MigrationFinished, FleetTimeout
 */
export async function changeSetting(
  session: Session,
  migration: string,
  name: string,
  text: string,
  call: SettingCall,
): Promise<Outcome> {
  const { terminal, signal } = session;
  const { field, value } = parseSetting(name, text);
  const { settings, revision } = await session.moving(migration);
  const plane = await session.plane(migration);
  if (call.ifRevision !== null && call.ifRevision !== revision) {
    throw new RevisionConflict(`${migration} is at revision ${revision}, not ${call.ifRevision}`, {
      remedy: 'look again, then repeat',
    });
  }
  const from = settings[field];
  const to = value as Settings[typeof field];
  const changed = JSON.stringify(from) !== JSON.stringify(to);
  const data = { migration, setting: name, from, to, changed, dryRun: call.dryRun };
  const words = `${settingText(from)} → ${settingText(to)}`;
  if (!changed) {
    terminal.say(`${migration} ${name} is ${settingText(to)} already; nothing changed`);
    return { code: EXIT.done, data: { ...data, revision, tookMs: null } };
  }
  if (call.dryRun) {
    terminal.say(`dry run: ${migration} ${name} would go ${words}`);
    return { code: EXIT.done, data: { ...data, revision, tookMs: null } };
  }
  const document = await plane.changeSettings(migration, { [field]: to }, call);
  const tookMs = await waitAcknowledged(session, migration, document.revision, signal);
  const { nodes } = (await plane.status(migration)).fleet;
  const everywhere = nodes === 0 ? 'no process is running' : `in force in ${plural(nodes, 'process', 'processes')}`;
  terminal.say(
    `${terminal.style('bold', migration)} ${name} ${words}, revision ${document.revision}; ${everywhere} after ${duration(tookMs)}`,
  );
  return { code: EXIT.done, data: { ...data, revision: document.revision, tookMs: Math.round(tookMs) } };
}

import { BUCKETS } from '../core/bucket.ts';
import { CANARY_POSITION, KEPT_BACK_POSITION } from '../core/dial.ts';
import { otherSide } from '../core/stage.ts';
import { EXIT } from './exit-code.ts';
import { examples, type Registration } from './registration.ts';
import { parseUnit } from './unit-text.ts';
import { percent, printable } from './wording.ts';

/** Where a position is on the line, for people. */
export function positionText(position: number): string {
  if (position === CANARY_POSITION) return 'canary, before every bucket';
  if (position === KEPT_BACK_POSITION) return 'kept back, behind every bucket';
  return `bucket ${position}, which is ${(position * 100) / BUCKETS} %`;
}

/** `changeover route <migration> <unit>`: where a unit's operations go now, and why. */
export const routeCommand: Registration = (program, run) => {
  program
    .command('route')
    .description('where the operations of a unit go now, and why')
    .argument('<migration>')
    .argument('<unit>', 'plain text for one string field, JSON for others')
    .addHelpText(
      'after',
      examples('changeover route events ada', `changeover route orders '{"tenant": 7, "region": "eu"}'`),
    )
    .action(
      run(async (session, name: string, text: string) => {
        const { terminal } = session;
        const { keys } = await session.definition(name);
        const unit = parseUnit(keys, text);
        const route = await (await session.operations()).route(name, unit);
        const { dials } = await (await session.plane(name)).status(name);
        const follower = otherSide(route.authority);
        const line = (what: string, value: string): void => terminal.say(`  ${what.padEnd(14)}${value}`);
        terminal.say(`${terminal.style('bold', printable(route.unit))}  ${route.stage}`);
        terminal.say();
        line('position', positionText(route.position));
        line('reads', `from the ${route.authority} store${route.compare ? `, compared with the ${follower} one` : ''}`);
        line('writes', `to the ${route.authority} store${route.mirror ? `, mirrored to the ${follower} one` : ''}`);
        if (route.hold !== 'nothing') {
          line('hold', `${route.hold === 'writes' ? 'writes wait' : 'reads and writes wait'} for a handover`);
        }
        line('because', route.reason);
        line(
          'dials',
          `dual-write ${percent(dials.dualWrite)}, shadow-read ${percent(dials.shadowRead)}, cutover ${percent(dials.cutover)}, retire-old ${dials.retireOld ? 'yes' : 'no'}; revision ${route.revision}`,
        );
        const { unitFields } = keys;
        if (unitFields.length === 1 && /^-?\d+$/.test(text)) {
          terminal.note(`note: taken as the text "${text}"; for the number, '{"${unitFields[0]}": ${text}}'`);
        }
        return { code: EXIT.done, data: { migration: name, ...route } };
      }),
    );
};

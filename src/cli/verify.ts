import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { exitCode, type ReportFormat, reportData, writeReport } from '../../verify/report.ts';
import type { VerifyProgress } from '../../verify/tally.ts';
import { NOBODY } from '../core/dial.ts';
import { InvalidArgument } from '../core/errors.ts';
import type { RulesetDocument } from '../core/ruleset.ts';
import { didYouMean } from './nearest.ts';
import { ProgressMeter } from './progress.ts';
import { examples, REASON, type Registration } from './registration.ts';
import { authorship, type ReasonOptions } from './session.ts';
import { wholeNumber } from './whole-number.ts';
import { count } from './wording.ts';

interface VerifyCall extends ReasonOptions {
  readonly report?: string;
  readonly showValues?: true;
  readonly limit: string;
}

const FORMATS = ['json', 'markdown', 'junit', 'text'] as const satisfies readonly ReportFormat[];

/** `junit=out.xml,json=out.json`. @throws InvalidArgument */
function parseReports(text: string | undefined): readonly (readonly [ReportFormat, string])[] {
  if (text === undefined) return [];
  return text.split(',').map((part) => {
    const at = part.indexOf('=');
    const [name, file] = [part.slice(0, Math.max(0, at)), part.slice(at + 1)];
    const format = FORMATS.find((known) => known === name);
    if (format !== undefined && file !== '') return [format, file] as const;
    throw new InvalidArgument(`--report cannot be "${part}"`, {
      expected: `form=file, the form one of ${FORMATS.join(', ')}`,
      ...didYouMean(name, FORMATS),
    });
  });
}

/** `changeover verify <migration>`: a full scan of both stores. */
export const verifyCommand: Registration = (program, run) => {
  program
    .command('verify')
    .description('compare what both stores hold; exits 0 consistent, 1 divergent, 2 inconclusive')
    .argument('<migration>')
    .option('--report <form=file,…>', `write reports: ${FORMATS.join(', ')}`)
    .option('--show-values', 'show the values of fields that differ, not only their types and lengths')
    .option('--limit <n>', 'how many divergences are printed; all are counted, and reports list up to 10,000', '20')
    .option(REASON[0], 'why, for the history (default: "verify")')
    .addHelpText(
      'after',
      examples('changeover verify events', 'changeover verify events --report junit=verify.xml,json=verify.json'),
    )
    .action(
      run(async (session, migration: string, options: VerifyCall) => {
        const { terminal, signal } = session;
        const limit = wholeNumber('--limit', options.limit, 0);
        const reports = parseReports(options.report).map(
          ([format, file]) => [format, resolve(session.folder, file)] as const,
        );
        const definition = await session.definition(migration);
        requirePair(await session.moving(migration));
        const show = { showValues: options.showValues === true || definition.showValues };
        const controller = await session.controller(migration);
        const meter = new ProgressMeter(terminal, `verify ${migration}`);
        const onProgress = (progress: VerifyProgress): void => meter.update(progressOf(progress));
        const report = await controller
          .verify({ ...authorship(options, 'verify'), signal, onProgress })
          .finally(() => meter.end());
        for (const [format, file] of reports) {
          await mkdir(dirname(file), { recursive: true });
          await writeFile(file, writeReport(report, format, show));
          terminal.note(`${format} report: ${file}`);
        }
        const listed = report.divergences.slice(0, limit);
        const shortened = {
          ...report,
          divergences: listed,
          truncated: listed.length < report.divergences.length || report.truncated,
        };
        terminal.say(writeReport(shortened, 'text', show).trimEnd());
        return { code: exitCode(report), data: reportData(report, show) };
      }),
    );
};

/** @throws InvalidArgument where there is nothing that both stores should hold */
function requirePair({ migration, dials }: RulesetDocument): void {
  if (dials.retireOld) {
    throw new InvalidArgument(`the old store of ${migration} is retired: it gets no writes to compare`, {
      expected: 'a migration whose stores are both written',
    });
  }
  if (dials.dualWrite === NOBODY) {
    throw new InvalidArgument(`nothing of ${migration} is mirrored, so there is nothing to verify`, {
      expected: 'dual-write above 0',
      remedy: `changeover set ${migration} dual-write 100 --reason …, then changeover backfill ${migration} --reason …`,
    });
  }
}

function progressOf({ phase, scanned, estimated, compared, partitions, candidates }: VerifyProgress) {
  const all = estimated.old === null || estimated.new === null ? null : estimated.old + estimated.new;
  if (phase === 'scan') {
    return {
      done: scanned.old + scanned.new,
      all,
      detail: `scanning: ${count(scanned.old)} old, ${count(scanned.new)} new`,
    };
  }
  const detail = `comparing: ${count(compared)} of ${count(partitions)} partitions, ${count(candidates)} keys looked at again`;
  return { done: scanned.old + scanned.new, all: null, detail };
}

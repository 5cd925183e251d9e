import { reportDocument } from '../../verify/reports/report-document.ts';
import { exitCode, REPORT_FORMATS, writeReport } from '../../verify/reports/write-report.ts';
import type { VerifyProgress } from '../../verify/tally.ts';
import { NOBODY, parsePositions } from '../core/dial.ts';
import { InvalidArgument } from '../core/errors.ts';
import type { RulesetDocument } from '../core/ruleset.ts';
import { parseShare } from './amount.ts';
import { EXIT } from './exit-code.ts';
import { ProgressMeter } from './progress.ts';
import { examples, REASON, type Registration } from './registration.ts';
import { ReportFiles } from './report-files.ts';
import { authorship, type ReasonOptions } from './session.ts';
import { parseUnit } from './unit-text.ts';
import { wholeNumber } from './whole-number.ts';
import { count } from './wording.ts';

interface VerifyCall extends ReasonOptions {
  readonly positions?: string;
  readonly unit?: string;
  readonly sample?: string;
  readonly prove?: true;
  readonly report?: string;
  readonly showValues?: true;
  readonly limit: string;
}

/** `changeover verify <migration>`: a full scan of both stores. */
export const verifyCommand: Registration = (program, run) => {
  program
    .command('verify')
    .description('compare what both stores hold; exits 0 consistent, 1 divergent, 2 inconclusive')
    .argument('<migration>')
    .option('--positions <list>', 'only these: canary, kept-back, shares of the line as 0-5 (percent); with commas')
    .option('--unit <unit>', 'only this unit: plain text for one string field, JSON for others')
    .option('--sample <percent>', 'only this share of the units, others every time; satisfies no gate by itself')
    .option('--prove', 'plant known differences in both stores, see that each is found, and remove them')
    .option('--report <form=file,…>', `write reports: ${REPORT_FORMATS.join(', ')}; github alone prints annotations`)
    .option('--show-values', 'show the values of fields that differ, not only their types and lengths')
    .option('--limit <n>', 'how many divergences are printed; all are counted, and reports list up to 10,000', '20')
    .option(REASON[0], 'why, for the history (default: "verify")')
    .addHelpText(
      'after',
      examples(
        'changeover verify events',
        'changeover verify events --positions canary,0-5 --prove',
        'changeover verify events --report junit=verify.xml,html=verify.html',
        'changeover verify events --report github,markdown=summary.md',
      ),
    )
    .action(
      run(async (session, migration: string, options: VerifyCall) => {
        const { terminal, signal } = session;
        const limit = wholeNumber('--limit', options.limit, 0);
        const sample = options.sample === undefined ? 1 : parseShare('--sample', options.sample);
        const positions = options.positions === undefined ? null : parsePositions(options.positions);
        const reports = new ReportFiles(options.report, session.folder);
        await reports.clear();
        const definition = await session.definition(migration);
        const unit = options.unit === undefined ? undefined : parseUnit(definition.keys, options.unit);
        requirePair(await session.moving(migration));
        const show = { showValues: options.showValues === true || definition.showValues };
        const controller = await session.controller(migration);
        const meter = new ProgressMeter(terminal, `verify ${migration}`);
        const onProgress = (progress: VerifyProgress): void => meter.update(progressOf(progress));
        const report = await controller
          .verify({
            ...authorship(options, 'verify'),
            positions,
            sample,
            prove: options.prove === true,
            ...(unit === undefined ? {} : { unit }),
            signal,
            onProgress,
          })
          .finally(() => meter.end());
        const document = reportDocument(report, show);
        await reports.write(document, terminal);
        terminal.say(writeReport(reportDocument(report, { ...show, most: limit }), 'text').trimEnd());
        reports.annotate(document, terminal);
        return { code: exitCode(report), data: document };
        // Refused, it has found no difference.
      }, EXIT.inconclusive),
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

import type { VerifyReport } from '../verify-report.ts';
import { githubReport } from './github-report.ts';
import { htmlReport } from './html-report.ts';
import { jsonReport } from './json-report.ts';
import { junitReport } from './junit-report.ts';
import { markdownReport } from './markdown-report.ts';
import type { ReportDocument } from './report-document.ts';
import { textReport } from './text-report.ts';

/** What a report can be written as. */
export const REPORT_FORMATS = ['json', 'junit', 'markdown', 'html', 'github', 'text'] as const;
export type ReportFormat = (typeof REPORT_FORMATS)[number];

interface Writer {
  readonly mediaType: string;
  /** `now`: when it is shown, for a form that says whether the verdict has expired by then. */
  readonly write: (document: ReportDocument, now?: number) => string;
}

const WRITERS: Readonly<Record<ReportFormat, Writer>> = Object.freeze({
  json: { mediaType: 'application/json; charset=utf-8', write: jsonReport },
  junit: { mediaType: 'application/xml; charset=utf-8', write: junitReport },
  markdown: { mediaType: 'text/markdown; charset=utf-8', write: markdownReport },
  html: { mediaType: 'text/html; charset=utf-8', write: htmlReport },
  github: { mediaType: 'text/plain; charset=utf-8', write: githubReport },
  text: { mediaType: 'text/plain; charset=utf-8', write: textReport },
});

/** Writes a report in one of its forms. Pure. @example writeReport(reportDocument(report), 'junit') */
export const writeReport = (document: ReportDocument, format: ReportFormat, now?: number): string =>
  WRITERS[format].write(document, now);

/** The media type of a form, as HTTP names it. */
export const mediaTypeOf = (format: ReportFormat): string => WRITERS[format].mediaType;

/** 0 consistent, 1 divergent, 2 inconclusive: what `changeover verify` exits with. */
export function exitCode(report: Pick<VerifyReport, 'verdict'>): 0 | 1 | 2 {
  return ({ consistent: 0, divergent: 1, inconclusive: 2 } as const)[report.verdict];
}

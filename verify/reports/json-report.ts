import type { ReportDocument } from './report-document.ts';

/** The report as a JSON document. */
export const jsonReport = (document: ReportDocument): string => `${JSON.stringify(document, null, 2)}\n`;

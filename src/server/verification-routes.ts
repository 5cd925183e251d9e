import type { FastifyInstance, FastifyRequest } from 'fastify';
import { HTML_REPORT_POLICY } from '../../verify/reports/html-report.ts';
import type { ReportDocument } from '../../verify/reports/report-document.ts';
import { mediaTypeOf, REPORT_FORMATS, type ReportFormat, writeReport } from '../../verify/reports/write-report.ts';
import { NotSupported } from '../core/errors.ts';
import { addRoute, pageSchema, type ServerParts } from './routing.ts';
import { COUNT, ID, NAME, oneOf, type Schema, whole } from './schemas.ts';

const LINE: Schema = { type: 'object', additionalProperties: true };
const ENDINGS: Readonly<Record<ReportFormat, string>> = {
  json: 'json',
  junit: 'xml',
  markdown: 'md',
  html: 'html',
  github: 'txt',
  text: 'txt',
};

/** A report is a page of its own, which only the console may show within it. */
const REPORT_POLICY = `${HTML_REPORT_POLICY}; frame-ancestors 'self'`;

/** Another version, or somebody's own program, may have recorded what none of the forms can be made from. */
function written(document: ReportDocument, format: ReportFormat, now: number): string {
  try {
    return writeReport(document, format, now);
  } catch (cause) {
    throw new NotSupported('the report cannot be written in this form', {
      expected: 'one that `changeover verify` made',
      remedy: `changeover verify ${document.migration}`,
      cause,
    });
  }
}

/** Verdicts, and the reports that they stand on. */
export function verificationRoutes(app: FastifyInstance, { operations, clock }: ServerParts): void {
  const { plane } = operations;

  addRoute(app, {
    method: 'GET',
    url: '/migrations/:name/verifications',
    access: 'viewer',
    id: 'getVerifications',
    summary: 'Verdicts, newest first, and whether the report of each is kept',
    tag: 'verifications',
    params: { name: NAME },
    query: { 'before?': ID, 'limit?': { ...whole(1, 1_000), default: 100 } },
    answers: { 200: pageSchema(LINE, COUNT) },
    handle: async (request: FastifyRequest) => {
      const { name } = request.params as { readonly name: string };
      const { before, limit } = request.query as { readonly before?: number; readonly limit: number };
      await plane.ruleset(name);
      const rows = await plane.verifications(name, { limit, ...(before === undefined ? {} : { before }) });
      return { rows, next: rows.length < limit ? null : (rows.at(-1)?.id ?? null) };
    },
  });

  addRoute(app, {
    method: 'GET',
    url: '/migrations/:name/verifications/:id/report',
    access: 'viewer',
    id: 'getReport',
    summary: 'The report of a verification, values masked, in any form that `changeover verify --report` writes',
    tag: 'verifications',
    params: { name: NAME, id: { type: 'string', pattern: '^\\d{1,15}$' } },
    query: { 'format?': { ...oneOf(...REPORT_FORMATS), default: 'json' }, 'download?': { type: 'boolean' } },
    answers: {
      200: {
        description: 'the report',
        content: Object.fromEntries(
          REPORT_FORMATS.map((format) => [mediaTypeOf(format).split(';')[0], { schema: { type: 'string' } }]),
        ),
      },
    },
    handle: async (request, reply) => {
      const { name, id } = request.params as { readonly name: string; readonly id: string };
      const { format, download = false } = request.query as {
        readonly format: ReportFormat;
        readonly download?: boolean;
      };
      await plane.ruleset(name);
      const document = (await plane.verificationReport(name, Number(id))) as ReportDocument;
      const text = written(document, format, clock.now());
      if (format === 'html') {
        reply.header('content-security-policy', REPORT_POLICY).header('x-frame-options', 'SAMEORIGIN');
      }
      if (download) {
        const file = `${name}-verification-${id}.${ENDINGS[format]}`;
        reply.header('content-disposition', `attachment; filename="${file}"`);
      }
      return reply.type(mediaTypeOf(format)).send(text);
    },
  });
}

import type { Socket } from 'node:net';
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { ChangeoverError, InvalidArgument, NotFound, RateLimited } from '../core/errors.ts';
import { errorToJson } from '../core/revive-error.ts';

/** The HTTP status of every error code: the one place where they are decided. */
export const STATUS_OF_CODE: Readonly<Record<string, number>> = Object.freeze({
  INVALID_ARGUMENT: 400,
  INVALID_CONFIGURATION: 400,
  UNAUTHENTICATED: 401,
  FORBIDDEN: 403,
  NOT_FOUND: 404,
  UNKNOWN_MIGRATION: 404,
  ALREADY_EXISTS: 409,
  VERSION_CONFLICT: 409,
  GATES_REFUSED: 409,
  REVISION_CONFLICT: 409,
  HANDOVER_IN_PROGRESS: 409,
  BUSY: 409,
  MIGRATION_FINISHED: 409,
  NOT_PREPARED: 409,
  INTERRUPTED: 409,
  // The server did its part: the revision is published, some process has not said that it follows.
  FLEET_TIMEOUT: 409,
  CURSOR_EXPIRED: 410,
  STORE_REJECTED: 422,
  INVALID_RECORD: 422,
  NOT_SUPPORTED: 422,
  RATE_LIMITED: 429,
  STAMP_EXHAUSTED: 500,
  STORE_FAULT: 502,
  STORE_UNAVAILABLE: 503,
  NOT_REGISTERED: 503,
  CONTROL_UNAVAILABLE: 503,
  CLOSED: 503,
  SIGN_IN_UNAVAILABLE: 503,
  OUTCOME_UNKNOWN: 504,
  DEADLINE_EXCEEDED: 504,
});

/** Problem details (RFC 9457) with what our errors carry. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: string;
  readonly [member: string]: unknown;
}

const PROBLEM_TYPE = 'application/problem+json';

const titleOf = (code: string): string => code.charAt(0) + code.slice(1).toLowerCase().replaceAll('_', ' ');

/** What a client is told of an error. What is no error of ours says nothing: messages of drivers hold addresses. */
export function problemOf(error: unknown): Problem {
  if (!(error instanceof ChangeoverError)) {
    return {
      type: 'urn:changeover:error:INTERNAL',
      title: 'Internal error',
      status: 500,
      detail: 'the server failed in a way that nobody thought of; its log says more',
      code: 'INTERNAL',
    };
  }
  const { message, cause: _, code = error.code, ...rest } = errorToJson(error);
  const status = STATUS_OF_CODE[code] ?? 500;
  return { type: `urn:changeover:error:${code}`, title: titleOf(code), status, detail: message, code, ...rest };
}

/** Fastify's own refusals (bad JSON, too large, no such type) as errors of ours, with the status that they have. */
function ownError(error: FastifyError): { readonly error: unknown; readonly status: number | null } {
  if (error instanceof ChangeoverError) return { error, status: null };
  if (error.validation !== undefined) {
    return { error: new InvalidArgument(error.message, { expected: 'see /api/v1/openapi.json' }), status: null };
  }
  const { statusCode } = error;
  if (statusCode === undefined || statusCode < 400 || statusCode > 499) return { error, status: null };
  return { error: new InvalidArgument(error.message), status: statusCode };
}

export function sendProblem(reply: FastifyReply, error: unknown, status: number | null = null): void {
  const problem = problemOf(error);
  const code = status ?? problem.status;
  if (error instanceof RateLimited) reply.header('retry-after', String(error.details['retryAfterS'] ?? 1));
  if (code === 401) reply.header('www-authenticate', 'Bearer realm="changeover"');
  void reply
    .code(code)
    .type(PROBLEM_TYPE)
    .send({ ...problem, status: code });
}

export function errorHandler(thrown: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  const { error, status } = ownError(thrown);
  if (!(error instanceof ChangeoverError)) request.log.error({ err: error, route: request.routeOptions.url }, 'failed');
  sendProblem(reply, error, status);
}

/** What is no HTTP, or too much of it, never reaches a route: the answer is written by hand. */
const UNREADABLE: Readonly<Record<string, readonly [status: string, detail: string]>> = {
  HPE_HEADER_OVERFLOW: ['431 Request Header Fields Too Large', 'the address and the headers are too long'],
  ERR_HTTP_REQUEST_TIMEOUT: ['408 Request Timeout', 'the request took too long to arrive'],
};

export function clientErrorHandler(error: Error & { readonly code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, detail] = UNREADABLE[error.code ?? ''] ?? ['400 Bad Request', 'this is no HTTP request'];
  const problem = problemOf(new InvalidArgument(detail));
  const body = JSON.stringify({ ...problem, status: Number(status.slice(0, 3)) });
  const head = [`content-type: ${PROBLEM_TYPE}`, `content-length: ${Buffer.byteLength(body)}`, 'connection: close'];
  socket.end(`HTTP/1.1 ${status}\r\n${head.join('\r\n')}\r\n\r\n${body}`);
}

export function notFoundHandler(_: FastifyRequest, reply: FastifyReply): void {
  sendProblem(reply, new NotFound('there is nothing under this address', { expected: 'see /api/v1/openapi.json' }));
}

import type { FastifyRequest } from 'fastify';
import type { Logger } from '../core/telemetry.ts';

/**
 * Whether the browser came over TLS, also through a proxy that nobody said to trust: its page says so itself, and
 * whoever lies about it only keeps their own cookie from being used.
 */
export const overTls = ({ protocol, headers }: FastifyRequest): boolean =>
  protocol === 'https' ||
  headers.origin?.startsWith('https:') === true ||
  /^https\b/i.test(String(headers['x-forwarded-proto'] ?? ''));

/** Says once that a proxy is in front that is not trusted: all who come through it look like one address. */
export function proxyWarning(logger: Logger): (request: FastifyRequest) => void {
  let said = false;
  return ({ headers, ip, socket }) => {
    if (said || headers['x-forwarded-for'] === undefined || ip !== socket.remoteAddress) return;
    said = true;
    logger.warn(
      { proxy: ip },
      'requests come through a proxy that is not trusted, so that all of its clients count as one address: changeover serve --trust-proxy <its address>',
    );
  };
}

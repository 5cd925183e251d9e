import { connectionUrl, ENCODE_CREDENTIALS } from '../../../src/core/connection-url.ts';
import { InvalidConfiguration } from '../../../src/core/errors.ts';

/** A server's URL as it is. @throws InvalidConfiguration, without the URL: it may hold a password */
export function wholeUrl(url: string): string {
  if (connectionUrl(url) !== null) return url;
  throw new InvalidConfiguration('sql: the URL of `connection` cannot be read', {
    expected: 'scheme://user:password@host:port/database',
    remedy: ENCODE_CREDENTIALS,
  });
}

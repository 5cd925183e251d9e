/**
 * An `@` where none can be: a `/`, `?` or `#` of a password was taken for the end of the host, and the rest of the URL
 * is a secret that nobody may be told.
 */
const TORN = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*(?:#.*|\/[^?]*|\?[^=]*)@/i;

/** What helps where a connection URL cannot be read. */
export const ENCODE_CREDENTIALS =
  'write special characters of its user and password in percent-encoding: # as %23, ? as %3F';

/**
 * A connection URL, taken apart as its writer meant it, as far as one can tell; null for one that cannot be read.
 *
 * @example
 * connectionUrl('postgres://ada:pass#word@db/app'); // null: the host would be "ada", and the port "pass"
 * connectionUrl('postgres://ada:secret@/app?host=/run/postgresql')?.hostname; // 'localhost', as where none is named
 */
export function connectionUrl(text: string): URL | null {
  if (TORN.test(text)) return null;
  // Nobody before the path: what drivers take for this machine, or for a socket that is named behind it.
  return URL.parse(text.replace(/^([^/]+:\/\/[^/?#]*@)(?=[/?#]|$)/, '$1localhost'));
}

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { Provider } from 'oidc-provider';
import { freePort } from '../support/servers/free-port.ts';

/** What the provider knows of somebody besides the subject. */
export interface Person {
  readonly email?: string;
  readonly email_verified?: boolean;
  readonly groups?: readonly string[];
}

export const CLIENT_ID = 'changeover';

/** A real identity provider, with pages where anybody is whoever they say. */
export class IdentityProvider implements AsyncDisposable {
  readonly issuer: string;
  readonly clientSecret: string;
  readonly #server: Server;

  private constructor(issuer: string, clientSecret: string, server: Server) {
    this.issuer = issuer;
    this.clientSecret = clientSecret;
    this.#server = server;
  }

  /** `host` is a name of this machine: with another one than the server's, it is another site for browsers. */
  static async start(
    redirectUri: string,
    people: Readonly<Record<string, Person>>,
    { host = '127.0.0.1', port: wanted }: { readonly host?: string; readonly port?: number } = {},
  ): Promise<IdentityProvider> {
    const port = wanted ?? (await freePort());
    const issuer = `http://${host}:${port}`;
    const clientSecret = randomBytes(24).toString('base64url');
    const key = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });
    const provider = new Provider(issuer, {
      clients: [
        {
          client_id: CLIENT_ID,
          client_secret: clientSecret,
          redirect_uris: [redirectUri],
          // Its own default; it takes no other then.
          token_endpoint_auth_method: 'client_secret_basic',
        },
      ],
      claims: { openid: ['sub'], email: ['email', 'email_verified'], groups: ['groups'] },
      cookies: { keys: [randomBytes(24).toString('hex')] },
      jwks: { keys: [{ ...key, alg: 'RS256', use: 'sig' }] },
      ttl: { AccessToken: 600, AuthorizationCode: 60, Grant: 600, IdToken: 3_600, Interaction: 600, Session: 600 },
      findAccount: (_: unknown, sub: string) => ({ accountId: sub, claims: () => ({ sub, ...people[sub] }) }),
    });
    const server = createServer(provider.callback()).listen(port, '127.0.0.1');
    await once(server, 'listening');
    return new IdentityProvider(issuer, clientSecret, server);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }
}

/** As much of a browser as a sign-in needs: cookies by site, and no redirect that nobody looked at. */
export class Visitor {
  readonly #cookies = new Map<string, Map<string, string>>();

  async visit(address: string | URL, form?: Readonly<Record<string, string>>): Promise<Response> {
    const { origin } = new URL(address);
    const kept = this.#cookies.get(origin) ?? new Map<string, string>();
    this.#cookies.set(origin, kept);
    const response = await fetch(address, {
      redirect: 'manual',
      ...(form === undefined ? {} : { method: 'POST', body: new URLSearchParams(form) }),
      headers: { accept: 'text/html', cookie: [...kept].map(([name, value]) => `${name}=${value}`).join('; ') },
    });
    for (const line of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line) as unknown as [string, string, string];
      if (value === '') kept.delete(name);
      else kept.set(name, value);
    }
    return response;
  }

  cookies(origin: string): ReadonlyMap<string, string> {
    return this.#cookies.get(new URL(origin).origin) ?? new Map();
  }

  /** Signs in at the provider and agrees to everything. @returns where the provider sends the browser back to */
  async agree(address: string, login: string, backTo: string): Promise<URL> {
    let at = new URL(address);
    for (let step = 0; step < 12; step += 1) {
      if (at.href.startsWith(backTo)) return at;
      const response = await this.visit(at);
      const next = response.headers.get('location');
      if (next !== null) {
        at = new URL(next, at);
        continue;
      }
      const prompt = /name="prompt" value="(\w+)"/.exec(await response.text())?.[1];
      if (prompt === undefined) throw new Error(`the provider answers ${response.status} at ${at.pathname}`);
      const sent = await this.visit(at, { prompt, login, password: 'any' });
      at = new URL(sent.headers.get('location') as string, at);
    }
    throw new Error('the provider sends nobody back');
  }
}

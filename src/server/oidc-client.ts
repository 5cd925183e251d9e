import type { ClientAuth, Configuration } from 'openid-client';
import type { Clock } from '../core/clock.ts';
import { SignInUnavailable, Unauthenticated } from '../core/errors.ts';
import { loadOptional } from '../core/optional-packages.ts';
import type { Claims, Oidc } from '../core/sign-in.ts';

type Library = typeof import('openid-client');

/** What only the browser that began a sign-in knows. */
export interface Pending {
  readonly state: string;
  readonly nonce: string;
  readonly verifier: string;
}

export const CALLBACK = '/api/v1/session/oidc/callback';

const TIMEOUT_S = 10;
/** How far the provider's clock may be from ours. */
const SKEW_S = 60;

/** The identity provider, by OpenID Connect: the authorization code flow with PKCE, state and nonce. */
export class OidcClient {
  readonly oidc: Oidc;
  readonly #library: Library;
  readonly #clock: Clock;
  #discovered: Promise<Configuration> | undefined;

  private constructor(oidc: Oidc, library: Library, clock: Clock) {
    this.oidc = oidc;
    this.#library = library;
    this.#clock = clock;
  }

  /** @throws InvalidConfiguration where the library is not installed */
  static async load(oidc: Oidc, clock: Clock): Promise<OidcClient> {
    const library = await loadOptional(
      'signing in by OpenID Connect',
      ['openid-client'],
      () => import('openid-client'),
    );
    return new OidcClient(oidc, library, clock);
  }

  get name(): string {
    return this.oidc.name;
  }

  get callback(): string {
    return `${this.oidc.url}${CALLBACK}`;
  }

  /** Where the browser goes, and what it keeps meanwhile. @throws SignInUnavailable */
  async begin(): Promise<{ readonly to: URL; readonly pending: Pending }> {
    const library = this.#library;
    const configuration = await this.#discover();
    const pending = {
      state: library.randomState(),
      nonce: library.randomNonce(),
      verifier: library.randomPKCECodeVerifier(),
    };
    const to = library.buildAuthorizationUrl(configuration, {
      redirect_uri: this.callback,
      response_type: 'code',
      scope: this.oidc.scopes.join(' '),
      state: pending.state,
      nonce: pending.nonce,
      code_challenge: await library.calculatePKCECodeChallenge(pending.verifier),
      code_challenge_method: 'S256',
    });
    return { to, pending };
  }

  /**
   * Who came back: the claims of the ID token, and what the provider says of its subject besides.
   * @throws Unauthenticated when it is not the answer to what was asked; SignInUnavailable
   */
  async finish(search: string, { state, nonce, verifier }: Pending): Promise<Claims> {
    const library = this.#library;
    const configuration = await this.#discover();
    const checks = { expectedState: state, expectedNonce: nonce, pkceCodeVerifier: verifier, idTokenExpected: true };
    try {
      const answer = await library.authorizationCodeGrant(configuration, new URL(`${this.callback}${search}`), checks);
      const claims = answer.claims();
      if (claims === undefined) throw refused(null);
      const asks = configuration.serverMetadata().userinfo_endpoint !== undefined;
      const more = asks ? await library.fetchUserInfo(configuration, answer.access_token, claims.sub) : {};
      return { ...more, ...claims };
    } catch (error) {
      throw this.#why(error);
    }
  }

  /** What the provider says of itself; asked when somebody first signs in, as it may start after us. */
  #discover(): Promise<Configuration> {
    if (this.#discovered === undefined) {
      const found = this.#ask();
      this.#discovered = found;
      found.catch(() => {
        this.#discovered = undefined;
      });
    }
    return this.#discovered;
  }

  async #ask(): Promise<Configuration> {
    const { clockSkew, clockTolerance, discovery, allowInsecureRequests, enableNonRepudiationChecks } = this.#library;
    const { issuer, clientId, clientSecret } = this.oidc;
    const here = new URL(issuer);
    const metadata = {
      [clockSkew]: Math.round((this.#clock.now() - Date.now()) / 1_000),
      [clockTolerance]: SKEW_S,
    };
    try {
      return await discovery(here, clientId, metadata, this.#authentication(clientSecret), {
        // Only an issuer on this host may be without TLS: the options have seen to that.
        execute: [enableNonRepudiationChecks, ...(here.protocol === 'http:' ? [allowInsecureRequests] : [])],
        timeout: TIMEOUT_S,
      });
    } catch (error) {
      throw unavailable(this.oidc.name, error);
    }
  }

  /** As the provider takes it; where it says nothing, as the standard says. */
  #authentication(secret: string | null): ClientAuth {
    const { ClientSecretBasic, ClientSecretPost, None } = this.#library;
    if (secret === null) return None();
    return (server, client, body, headers) => {
      const methods = server.token_endpoint_auth_methods_supported;
      const basic = methods === undefined || methods.includes('client_secret_basic');
      return (basic ? ClientSecretBasic : ClientSecretPost)(secret)(server, client, body, headers);
    };
  }

  /** Errors of the library, by their class and code; their messages may hold what was sent. */
  #why(error: unknown): Error {
    const { AuthorizationResponseError, ResponseBodyError } = this.#library;
    if (error instanceof Unauthenticated) return error;
    if (error instanceof AuthorizationResponseError) return refused(error.error, error);
    // A code that was used, is another client's, or came too late.
    if (error instanceof ResponseBodyError && error.error === 'invalid_grant') return refused(error.error, error);
    return NOT_OURS.has(codeOf(error)) ? refused(null, error) : unavailable(this.oidc.name, error);
  }
}

/** What comes back is not the answer to what was asked: state, nonce, issuer, subject, signature or times are wrong. */
const NOT_OURS = new Set([
  'OAUTH_INVALID_RESPONSE',
  'OAUTH_JWT_CLAIM_COMPARISON_FAILED',
  'OAUTH_JSON_ATTRIBUTE_COMPARISON_FAILED',
  'OAUTH_JWT_TIMESTAMP_CHECK_FAILED',
]);

const codeOf = (error: unknown): string => (error instanceof Error && 'code' in error ? String(error.code) : '');

const unavailable = (name: string, cause: unknown): SignInUnavailable =>
  new SignInUnavailable(`${name} cannot be asked who you are`, { remedy: 'try again, or sign in with a token', cause });

/** `said` is a word of the provider's, such as access_denied. */
function refused(said: string | null, cause?: unknown): Unauthenticated {
  const word = said !== null && /^[a-z_]{1,50}$/.test(said) ? ` (${said})` : '';
  return new Unauthenticated(`this sign-in was refused, or is not the one that began here${word}`, {
    remedy: 'sign in again',
    cause,
  });
}

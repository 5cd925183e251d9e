import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { SignInOptions } from '../server/api-types.ts';
import { ask, describeError, Refusal, signIn } from './api.ts';
import { CommandLine } from './parts/command-line.tsx';
import { Brand } from './parts/glyph.tsx';
import { Icon } from './parts/icon.tsx';

/** With a token, once, for a session that no script can read. */
export function SignInPage() {
  const field = useRef<HTMLInputElement>(null);
  const trouble = useSignal<string | null>(null);
  const busy = useSignal(false);
  const provider = useSignal<string | null>(null);
  useEffect(() => field.current?.focus(), []);
  useEffect(() => {
    // Who cannot be told of another way still has the token.
    ask<SignInOptions>('/session/options').then(
      ({ oidc }) => {
        provider.value = oidc?.name ?? null;
      },
      () => undefined,
    );
  }, [provider]);
  const onSubmit = async (event: Event): Promise<void> => {
    event.preventDefault();
    const token = field.current?.value.trim() ?? '';
    if (token === '') {
      trouble.value = 'A token is needed.';
      return;
    }
    busy.value = true;
    try {
      await signIn(token);
    } catch (error) {
      trouble.value = error instanceof Refusal ? error.problem.detail : describeError(error);
    } finally {
      busy.value = false;
    }
  };
  return (
    <main class="door">
      <form class="dialog" onSubmit={onSubmit}>
        <Brand />
        <h1>Sign in</h1>
        <label class="field">
          <span>Token</span>
          <input
            ref={field}
            type="password"
            name="token"
            autoComplete="current-password"
            aria-describedby="token-trouble"
            aria-invalid={trouble.value !== null}
          />
        </label>
        <div id="token-trouble" role="alert">
          {trouble.value !== null && (
            <p class="small bad">
              <Icon name="cross" /> {trouble.value}
            </p>
          )}
        </div>
        <p class="small soft">An admin makes a token with:</p>
        <CommandLine text="changeover token create <name> --role operator" />
        <button type="submit" class="btn go" disabled={busy.value}>
          Sign in
        </button>
        {provider.value !== null && (
          // Not a link of the page's own router: it leaves for another site.
          <a class="btn" href="/api/v1/session/oidc" target="_top">
            Sign in with {provider.value}
          </a>
        )}
      </form>
    </main>
  );
}

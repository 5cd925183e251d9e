import { useSignal } from '@preact/signals';
import { useLayoutEffect, useRef } from 'preact/hooks';

interface AskReasonProps {
  /** What is going to be done: the button's words. */
  readonly does: string;
  begin(reason: string): void;
  leave(): void;
}

/** Nothing that moves production goes without a reason: a line that asks for it. Esc leaves. */
export function AskReason({ does, begin, leave }: AskReasonProps) {
  const reason = useSignal('');
  const field = useRef<HTMLInputElement>(null);
  useLayoutEffect(() => field.current?.focus(), []);
  return (
    <form
      class="row editor"
      onSubmit={(event) => {
        event.preventDefault();
        begin(reason.value);
      }}
      onKeyDown={(event) => {
        if (event.key === 'Escape') leave();
      }}
    >
      <label class="field">
        <span>Reason ({does.toLowerCase()})</span>
        <input
          ref={field}
          type="text"
          required
          value={reason.value}
          onInput={(event) => {
            reason.value = event.currentTarget.value;
          }}
        />
      </label>
      <button type="submit" class="btn go s">
        {does}
      </button>
      <button type="button" class="btn s" onClick={leave}>
        Leave
      </button>
    </form>
  );
}

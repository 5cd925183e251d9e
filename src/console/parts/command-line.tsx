import { useSignal } from '@preact/signals';
import { Icon } from './icon.tsx';

export async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

export function CopyButton({ text, label = 'Copy' }: { readonly text: string; readonly label?: string }) {
  const said = useSignal<string | null>(null);
  const onClick = async (): Promise<void> => {
    said.value = (await copy(text)) ? 'Copied' : 'Not allowed here';
    setTimeout(() => {
      said.value = null;
    }, 2_000);
  };
  return (
    <button type="button" class="btn quiet s" onClick={onClick}>
      <Icon name="copy" />
      <span aria-live="polite">{said.value ?? label}</span>
    </button>
  );
}

/** A command that can be pasted. */
export function CommandLine({ text }: { readonly text: string }) {
  return (
    <div class="cmd">
      <code>{text}</code>
      <CopyButton text={text} />
    </div>
  );
}

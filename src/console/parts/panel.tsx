import type { ComponentChildren } from 'preact';

interface PanelProps {
  readonly title?: ComponentChildren;
  /** At the end of the title's line. */
  readonly end?: ComponentChildren;
  readonly footer?: ComponentChildren;
  readonly class?: string;
  /** The name for screen readers where the title is none. */
  readonly label?: string;
  /** Makes it a place that the focus can be sent to. */
  readonly id?: string;
  readonly children: ComponentChildren;
}

export function Panel({ title, end, footer, class: more = '', label, id, children }: PanelProps) {
  const name = label === undefined ? {} : { 'aria-label': label };
  const place = id === undefined ? {} : { id, tabIndex: -1, 'aria-labelledby': `${id}-title` };
  return (
    <section class={`panel ${more}`} {...name} {...place}>
      {(title !== undefined || end !== undefined) && (
        <header>
          {title !== undefined && <h2 {...(id === undefined ? {} : { id: `${id}-title` })}>{title}</h2>}
          {end !== undefined && <div class="end">{end}</div>}
        </header>
      )}
      {children}
      {footer !== undefined && <footer>{footer}</footer>}
    </section>
  );
}

/** A table that scrolls by itself where it does not fit; it takes the focus then, for the arrow keys. */
export function Scroll({ label, children }: { readonly label: string; readonly children: ComponentChildren }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard
    <section class="scroll" tabIndex={0} aria-label={label}>
      {children}
    </section>
  );
}

/** Pairs of a name and what is to say of it. */
export function Facts({ of }: { readonly of: readonly (readonly [string, ComponentChildren] | null)[] }) {
  return (
    <dl class="kv">
      {of
        .filter((fact) => fact !== null)
        .map(([name, value]) => [<dt key={`${name}-name`}>{name}</dt>, <dd key={name}>{value}</dd>])}
    </dl>
  );
}

/** Something went wrong with one view; the others are none the worse. */
export function Trouble({ children }: { readonly children: ComponentChildren }) {
  return (
    <p class="bad body" role="alert">
      {children}
    </p>
  );
}

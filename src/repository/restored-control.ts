import type { RulesetDocument } from '../core/ruleset.ts';

/**
 * Tells a control plane that was restored from a copy: it knows less than a process that follows it, whose
 * acknowledgements would count for what others follow. Told at the second look, as the first answer may be older than
 * the registration that it met.
 */
export class RestoredControl {
  #older = false;

  /** `known` is the revision that is in force here. */
  seen(documents: readonly RulesetDocument[], known: (migration: string) => number): boolean {
    const before = this.#older;
    this.#older = documents.some(({ migration, revision }) => revision < known(migration));
    return before && this.#older;
  }
}

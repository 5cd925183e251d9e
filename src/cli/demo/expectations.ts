import type { Narrator } from './narrator.ts';

/** What the demonstration promises; each promise is checked where it is made good, and counted. */
export class Expectations {
  readonly #narrator: Narrator;
  readonly #broken: string[] = [];
  #checked = 0;

  constructor(narrator: Narrator) {
    this.#narrator = narrator;
  }

  /** Says whether it held, and remembers when it did not. */
  check(held: boolean, text: string): void {
    this.#checked += 1;
    if (!held) this.#broken.push(text);
    this.#narrator.verdict(held, text);
  }

  get checked(): number {
    return this.#checked;
  }

  get broken(): readonly string[] {
    return this.#broken;
  }
}

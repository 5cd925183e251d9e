const ignore = (): void => {};

/** Lets one body in at a time, in order of arrival. Not re-entrant: a body that waits for its own turn waits forever. */
export class Mutex {
  #last: Promise<void> = Promise.resolve();

  run<T>(body: () => Promise<T>): Promise<T> {
    const result = this.#last.then(body);
    this.#last = result.then(ignore, ignore);
    return result;
  }

  /** Resolves when everybody who came before has left. */
  idle(): Promise<void> {
    return this.#last;
  }
}

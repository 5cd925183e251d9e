import type { CasOutcome, PutFault, Rejection } from '../../../src/core/store.ts';
import type { Write } from '../dialect.ts';
import { keyToText } from '../key-text.ts';

/** Thrown for a statement that wrote nothing because one of its rows breaks a rule; nobody knows which. */
export class Refused extends Error {
  readonly rejection: Rejection;
  constructor(rejection: Rejection) {
    super(rejection.message);
    this.rejection = rejection;
  }
}

type Outcome = CasOutcome | PutFault;

interface Numbered {
  readonly i: number;
  readonly text: string;
  readonly write: Write;
}

/**
 * Puts many in statements of up to `size` rows; outcomes in the order of `writes`. Within a statement each key occurs
 * once, and the keys are in an order that is the same for every client, so that two of them never wait for each other.
 * `put` answers in the order of its rows and either writes all that it says or nothing; what it refuses as a whole is
 * halved until the row that breaks the rule is alone.
 */
export async function putInBatches(
  writes: readonly Write[],
  size: number,
  put: (batch: readonly Write[]) => Promise<readonly Outcome[]>,
): Promise<Outcome[]> {
  const outcomes: Outcome[] = new Array(writes.length);
  const settle = async (batch: readonly Numbered[]): Promise<void> => {
    try {
      const found = await put(batch.map(({ write }) => write));
      for (const [n, { i }] of batch.entries()) outcomes[i] = found[n] as Outcome;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      const [only] = batch;
      if (only !== undefined && batch.length === 1) {
        outcomes[only.i] = error.rejection;
        return;
      }
      const half = Math.ceil(batch.length / 2);
      await settle(batch.slice(0, half));
      await settle(batch.slice(half));
    }
  };
  for (const round of rounds(writes)) {
    for (let from = 0; from < round.length; from += size) await settle(round.slice(from, from + size));
  }
  return outcomes;
}

/** The first write of every key, then the second of every key, and so on; each round sorted by key. */
function rounds(writes: readonly Write[]): readonly (readonly Numbered[])[] {
  const all = writes.map((write, i): Numbered => ({ i, text: keyToText(write.key), write }));
  // Of one key in the order in which they came: the sort is stable.
  all.sort((a, b) => (a.text < b.text ? -1 : a.text === b.text ? 0 : 1));
  const found: Numbered[][] = [];
  let round = 0;
  for (const [n, write] of all.entries()) {
    round = n > 0 && all[n - 1]?.text === write.text ? round + 1 : 0;
    const writesOfRound = found[round] ?? [];
    found[round] = writesOfRound;
    writesOfRound.push(write);
  }
  return found;
}

import type { GateVerdict } from '../core/errors.ts';
import type { Terminal } from './terminal.ts';
import { printable } from './wording.ts';

const NAME_WIDTH = 16;

/** Prints each gate with its verdict and evidence, and what mends those that did not pass. */
export function sayGates(terminal: Terminal, gates: readonly GateVerdict[], force = false): void {
  for (const { gate, passed, advice, evidence, remedy } of gates) {
    const mark = passed
      ? terminal.style('green', '✓')
      : advice && force
        ? terminal.style('yellow', '!')
        : terminal.style('red', '✗');
    const note =
      passed || !advice ? '' : force ? ' (advice, overridden by --force)' : ' (advice: --force overrides it)';
    terminal.say(`  ${mark} ${gate.padEnd(NAME_WIDTH)}${printable(evidence)}${note}`);
    if (!passed && remedy !== null) terminal.say(`    ${' '.repeat(NAME_WIDTH)}→ ${printable(remedy)}`);
  }
}

/** Whether a move with these gates may be made. */
export const allows = (gates: readonly GateVerdict[], force: boolean): boolean =>
  gates.every((gate) => gate.passed || (gate.advice && force));

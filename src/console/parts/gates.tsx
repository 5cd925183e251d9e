import type { GateVerdict } from '../../server/api-types.ts';
import { CommandLine } from './command-line.tsx';
import { Icon } from './icon.tsx';

/** A gate's verdict, as an icon and a word. */
function Verdict({ passed, advice }: GateVerdict) {
  if (passed) return <Icon name="check" tone="good" />;
  return advice ? <Icon name="warn" tone="warn" /> : <Icon name="cross" tone="bad" />;
}

const word = ({ passed, advice }: GateVerdict): string =>
  passed ? 'passed' : advice ? 'not passed, advice' : 'not passed';

const rank = ({ passed, advice }: GateVerdict): number => (passed ? 2 : advice ? 1 : 0);

/** Each gate with its evidence and the command that mends it; what is in the way first. */
export function Gates({ gates }: { readonly gates: readonly GateVerdict[] }) {
  return (
    <ul class="gates" aria-label="Gates">
      {gates
        .toSorted((a, b) => rank(a) - rank(b))
        .map((gate) => (
          <li key={gate.gate}>
            <Verdict {...gate} />
            <b>
              {gate.gate.replaceAll('-', ' ')}
              <span class="sr">: {word(gate)}</span>
            </b>
            <span class="ev">{gate.evidence}</span>
            {gate.remedy !== null &&
              (gate.remedy.startsWith('changeover ') ? (
                <CommandLine text={gate.remedy} />
              ) : (
                <span class="ev mend">{gate.remedy}</span>
              ))}
          </li>
        ))}
    </ul>
  );
}

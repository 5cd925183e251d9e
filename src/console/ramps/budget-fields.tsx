import { judgesDivergence, judgesLatency, type RampDraft } from './ramp-plan.ts';

interface BudgetFieldsProps {
  readonly draft: RampDraft;
  set(part: Partial<RampDraft>): void;
}

type Amount = 'errorRate' | 'p99Ratio' | 'p99FloorMs' | 'divergence' | 'divergenceBound';

/** What the new store may do worse than the old one; only what is judged for this dial. */
export function BudgetFields({ draft, set }: BudgetFieldsProps) {
  const field = (name: Amount, words: string, placeholder?: string) => (
    <label class="field" key={name}>
      <span>{words}</span>
      <input
        type="text"
        inputMode="decimal"
        required={placeholder === undefined}
        placeholder={placeholder}
        value={draft[name]}
        onInput={(event) => set({ [name]: event.currentTarget.value })}
      />
    </label>
  );
  return (
    <>
      <fieldset class="budgets">
        <legend class="lbl">Budgets: it goes back by itself above one of them</legend>
        <div class="row ramp-fields">
          {field('errorRate', 'More errors, %')}
          {judgesLatency(draft.dial) && field('p99Ratio', 'p99, times the old')}
          {judgesLatency(draft.dial) && field('p99FloorMs', 'p99 never below, ms')}
          {judgesDivergence(draft.dial) && field('divergence', 'Divergence, %')}
          {judgesDivergence(draft.dial) && field('divergenceBound', 'Proven below, %', 'no proof')}
        </div>
      </fieldset>
      <label class="row small advice">
        <input
          type="checkbox"
          checked={draft.force}
          onChange={(event) => set({ force: event.currentTarget.checked })}
        />
        Go against gates that are advice (--force); no data can be lost by it
      </label>
    </>
  );
}

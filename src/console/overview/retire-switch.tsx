import type { MigrationOverview } from '../../server/api-types.ts';
import type { Change } from '../change.ts';
import { limitsOf } from '../dial-limits.ts';

interface RetireSwitchProps {
  readonly status: MigrationOverview;
  readonly change: Change;
  readonly lock: string | null;
}

/** retire-old is a yes or a no: with it the old store stops following. */
export function RetireSwitch({ status, change, lock }: RetireSwitchProps) {
  const inForce = status.dials.retireOld;
  const limits = limitsOf('retire-old', status);
  const wanted = change.wantedOf('retire-old');
  const on = (wanted ?? inForce) === true;
  const never = limits.length > 0;
  return (
    <div class="dial">
      <h3 id="dial-retire-old">
        retire-old
        <span>
          in force <b>{inForce ? 'yes' : 'no'}</b>
        </span>
      </h3>
      {never ? (
        <div class="rail">
          <div class="in">
            <span class="base" />
            <span class="never" style={{ left: '0', width: '100%' }} />
          </div>
        </div>
      ) : (
        <label class="row switch">
          <input
            type="checkbox"
            checked={on}
            disabled={lock !== null}
            title={lock ?? undefined}
            onChange={() => change.want('retire-old', inForce, !on)}
          />
          <span>the old store gets no more writes</span>
        </label>
      )}
      <span class="num soft">{on ? 'yes' : 'no'}</span>
      <p class="why">
        {limits.map(({ why }) => (
          <span key={why}>
            <i class="key never" />
            {why}
          </span>
        ))}
        {!inForce && <span>ends the way back</span>}
      </p>
    </div>
  );
}

import { signal } from '@preact/signals';
import { bothZones, clockTime, clockTimeUtc, duration, longTime, shortTime, zoneName } from '../wording.ts';

/** The time of this page, a second at a time. */
export const now = signal(Date.now());
setInterval(() => {
  now.value = Date.now();
}, 1_000);

/** The time in the viewer's zone and in UTC. */
export function Clock() {
  const at = now.value;
  return (
    <span class="zone">
      <b>{clockTime(at)}</b> {zoneName}
      {zoneName !== 'UTC' && ` · ${clockTimeUtc(at)} UTC`}
    </span>
  );
}

/** When something was; both zones in full stand in its title. */
export function Moment({ at, long = false }: { readonly at: number; readonly long?: boolean }) {
  return (
    <time dateTime={new Date(at).toISOString()} title={bothZones(at)}>
      {(long ? longTime : shortTime)(at, now.value)}
    </time>
  );
}

/** How long ago something was. */
export function Age({ since }: { readonly since: number }) {
  return (
    <time dateTime={new Date(since).toISOString()} title={bothZones(since)}>
      {duration(now.value - since)}
    </time>
  );
}

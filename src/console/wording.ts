const NUMBER = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const ONE_DIGIT = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });
const COMPACT = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });

export const count = (n: number): string => NUMBER.format(n);
export const compact = (n: number): string => (Math.abs(n) < 10_000 ? ONE_DIGIT.format(n) : COMPACT.format(n));
export const plural = (n: number, one: string, many = `${one}s`): string => `${count(n)} ${n === 1 ? one : many}`;

/** 61.4 %, 0.003 %: as many digits as say something. */
export function percent(share: number): string {
  if (share === 0 || share === 100) return `${share} %`;
  const digits = share < 0.01 ? share.toPrecision(2) : String(Number(share.toFixed(share < 1 ? 3 : 1)));
  return `${digits} %`;
}

/** 41 ms, 2.3 s, 12 min 43 s, 3 h 04 min, 5 d. */
export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.max(Math.round(ms), 0)} ms`;
  const s = ms / 1_000;
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 60) return `${Math.round(s)} s`;
  const min = Math.floor(s / 60);
  if (min < 60) return min < 20 ? `${min} min ${String(Math.floor(s % 60)).padStart(2, '0')} s` : `${min} min`;
  const h = Math.floor(min / 60);
  return h < 48 ? `${h} h ${String(min % 60).padStart(2, '0')} min` : `${Math.floor(h / 24)} d`;
}

/** 41, 9.1, 0.34: a latency in ms without its unit. */
export const milliseconds = (ms: number): string =>
  ms >= 100 ? NUMBER.format(ms) : ms >= 1 ? ms.toFixed(1) : ms.toFixed(2);

export function bytes(n: number): string {
  const mib = n / 1_048_576;
  return mib < 1_024 ? `${NUMBER.format(mib)} MiB` : `${ONE_DIGIT.format(mib / 1_024)} GiB`;
}

export const zoneName: string = Intl.DateTimeFormat().resolvedOptions().timeZone;

const formatter = (options: Intl.DateTimeFormatOptions): ((at: number) => string) => {
  const format = new Intl.DateTimeFormat('en-GB', { hourCycle: 'h23', ...options });
  return (at) => format.format(at);
};

/** 14:32:07, in the viewer's zone. */
export const clockTime = formatter({ hour: '2-digit', minute: '2-digit', second: '2-digit' });
export const clockTimeUtc = formatter({ hour: '2-digit', minute: '2-digit', second: '2-digit', timeZone: 'UTC' });
export const clockMinute = formatter({ hour: '2-digit', minute: '2-digit' });
const day = formatter({ day: 'numeric', month: 'short' });
const full = formatter({ dateStyle: 'medium', timeStyle: 'medium' });
const fullUtc = formatter({ dateStyle: 'medium', timeStyle: 'medium', timeZone: 'UTC' });

const isToday = (at: number, now: number): boolean => new Date(at).toDateString() === new Date(now).toDateString();

/** 14:32 of today, 4 May of another day. */
export const shortTime = (at: number, now: number): string => (isToday(at, now) ? clockMinute(at) : day(at));

/** 14:32:07, with the day where it was another. */
export const longTime = (at: number, now: number): string =>
  isToday(at, now) ? clockTime(at) : `${day(at)} ${clockTime(at)}`;

/** For titles: both zones, in full. */
export const bothZones = (at: number): string => `${full(at)} ${zoneName} · ${fullUtc(at)} UTC`;

/** With a text's first letter as it is: `ada (10.0.0.7)` is ada. */
export const actorName = (actor: string): string => actor.replace(/ \([^()]*\)$/, '');

/** As a shell takes it in one piece. */
export const shellQuoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

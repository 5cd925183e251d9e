const PATHS = {
  check: 'M3.5 8.5l3 3 6-7',
  cross: 'M4 4l8 8M12 4l-8 8',
  warn: 'M8 2.5l6 11H2zM8 7v3M8 12v.1',
  info: 'M8 7.5V11M8 5v.1M8 14.5a6.5 6.5 0 100-13 6.5 6.5 0 000 13z',
  lock: 'M4 7.5h8v6H4zM5.5 7.5V5a2.5 2.5 0 015 0v2.5',
  to: 'M2.5 8h11M9.5 4l4 4-4 4',
  back: 'M6 3L2.5 6.5 6 10M3 6.5h6a4 4 0 010 8H6.5',
  copy: 'M5.5 5.5h7v8h-7zM3.5 10.5v-8h7',
  clock: 'M8 4.5V8l2.5 2M8 14.5a6.5 6.5 0 100-13 6.5 6.5 0 000 13z',
  pause: 'M5.5 3.5v9M10.5 3.5v9',
  ramp: 'M2 13h3v-3h3V7h3V4h3',
  dial: 'M8 8l3-3M3.2 12.5a6.3 6.3 0 119.6 0',
  replay: 'M13 8a5 5 0 11-1.5-3.6M13 2v3h-3',
  link: 'M2 2l12 12M6 4a5 5 0 016.5 6M4 6a5 5 0 006 6',
  eye: 'M1.5 8S4 3.5 8 3.5 14.5 8 14.5 8 12 12.5 8 12.5 1.5 8 1.5 8zM8 6.3a1.7 1.7 0 100 3.4 1.7 1.7 0 000-3.4',
  gear: 'M8 5.5a2.5 2.5 0 100 5 2.5 2.5 0 000-5M8 1.5v2M8 12.5v2M1.5 8h2M12.5 8h2M3.4 3.4l1.4 1.4M11.2 11.2l1.4 1.4M12.6 3.4l-1.4 1.4M4.8 11.2l-1.4 1.4',
} as const;

export type IconName = keyof typeof PATHS;

/** An icon never says anything alone: a word stands beside it, or is hidden in it for who cannot see it. */
export function Icon({
  name,
  tone,
  word,
}: {
  readonly name: IconName;
  readonly tone?: string;
  readonly word?: string;
}) {
  return (
    <>
      <svg class={tone === undefined ? 'i' : `i ${tone}`} viewBox="0 0 16 16" aria-hidden="true">
        <path d={PATHS[name]} />
      </svg>
      {word !== undefined && <span class="sr">{word}</span>}
    </>
  );
}

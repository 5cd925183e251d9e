import { InvalidArgument } from '../core/errors.ts';

const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** `90s`, `10m`, `1h30m` in ms. @throws InvalidArgument */
export function parseDuration(option: string, text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|min|s|m|h|d)/g)];
  if (parts.length > 0 && parts.map(([all]) => all).join('') === text.replaceAll(' ', '')) {
    return parts.reduce((sum, [, value, unit]) => sum + Number(value) * (UNIT_MS[unit as string] as number), 0);
  }
  throw new InvalidArgument(`${option} cannot be "${text}"`, {
    expected: 'a time with its unit: 500ms, 90s, 10m, 1h30m',
  });
}

/** `0.5` or `0.5%` as a share of 1. @throws InvalidArgument */
export function parsePercent(option: string, text: string): number {
  const match = /^(\d{1,3}(?:\.\d+)?)\s*%?$/.exec(text.trim());
  const percent = match === null ? Number.NaN : Number(match[1]);
  if (percent <= 100) return percent / 100;
  throw new InvalidArgument(`${option} cannot be "${text}"`, { expected: 'a percentage from 0 to 100' });
}

/** `3` or `3x`. @throws InvalidArgument */
export function parseFactor(option: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)x?$/.exec(text.trim());
  if (match !== null && Number(match[1]) >= 1) return Number(match[1]);
  throw new InvalidArgument(`${option} cannot be "${text}"`, { expected: 'a factor from 1: 3 or 3x' });
}

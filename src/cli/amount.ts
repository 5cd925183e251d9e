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
  const percent = percentOf(text);
  if (percent <= 100) return percent / 100;
  throw new InvalidArgument(`${option} cannot be "${text}"`, { expected: 'a percentage from 0 to 100' });
}

/** The same, and not nothing. @throws InvalidArgument */
export function parseShare(option: string, text: string): number {
  const percent = percentOf(text);
  if (percent > 0 && percent <= 100) return percent / 100;
  throw new InvalidArgument(`${option} cannot be "${text}"`, {
    expected: 'a percentage above 0, at most 100: 1 or 0.5%',
  });
}

const percentOf = (text: string): number => Number(/^(\d{1,3}(?:\.\d+)?)\s*%?$/.exec(text.trim())?.[1] ?? Number.NaN);

/** `3` or `3x`. @throws InvalidArgument */
export function parseFactor(option: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)x?$/.exec(text.trim());
  if (match !== null && Number(match[1]) >= 1) return Number(match[1]);
  throw new InvalidArgument(`${option} cannot be "${text}"`, { expected: 'a factor from 1: 3 or 3x' });
}

import { InvalidArgument } from '../core/errors.ts';

/** A whole number of an option. @throws InvalidArgument */
export function wholeNumber(option: string, text: string, least: number, most?: number): number {
  if (/^\d{1,15}$/.test(text) && Number(text) >= least && Number(text) <= (most ?? Infinity)) return Number(text);
  throw new InvalidArgument(`${option} cannot be "${text}"`, {
    expected: `a whole number from ${least}${most === undefined ? '' : ` to ${most}`}`,
  });
}

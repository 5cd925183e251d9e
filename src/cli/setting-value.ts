import { DIALS } from '../core/dial.ts';
import { InvalidArgument } from '../core/errors.ts';
import { DEFAULT_SETTINGS, type Settings, settingName, validateSettings } from '../core/settings.ts';
import { didYouMean } from './nearest.ts';

/** The settings by their names on the command line. */
export const SETTINGS: ReadonlyMap<string, keyof Settings> = new Map(
  (Object.keys(DEFAULT_SETTINGS) as (keyof Settings)[]).map((field) => [settingName(field), field]),
);

const YES_NO: ReadonlyMap<string, boolean> = new Map([
  ['yes', true],
  ['true', true],
  ['no', false],
  ['false', false],
]);

/** `yes` or `no`, of a dial or a setting. @throws InvalidArgument */
export function parseYesNo(text: string, what: string): boolean {
  const value = YES_NO.get(text.toLowerCase());
  if (value === undefined) throw new InvalidArgument(`${what} cannot be "${text}"`, { expected: 'yes or no' });
  return value;
}

/** What a setting may be, in the words of the one who checks it. */
export function settingForm(field: keyof Settings): string {
  const standard = DEFAULT_SETTINGS[field];
  if (typeof standard === 'boolean') return 'yes or no';
  const expected = refusal(field, undefined) ?? '';
  if (Array.isArray(standard)) return `${expected}, separated by commas, or none`;
  return expected.replace(/^null or/, 'none or');
}

function refusal(field: keyof Settings, value: unknown): string | null {
  try {
    validateSettings({ ...DEFAULT_SETTINGS, [field]: value });
    return null;
  } catch (error) {
    if (error instanceof InvalidArgument) return error.expected ?? '';
    throw error;
  }
}

/** Numbers as people write them; not what JavaScript takes for one (empty text, 0x10). */
const parseNumber = (text: string): number => (/^-?\d+(\.\d+)?$/.test(text.trim()) ? Number(text) : Number.NaN);

function parse(field: keyof Settings, text: string): unknown {
  const standard = DEFAULT_SETTINGS[field];
  if (typeof standard === 'boolean') return YES_NO.get(text.toLowerCase());
  if (typeof standard === 'string') return text;
  if (Array.isArray(standard)) return text === 'none' ? [] : text.split(',').map(parseNumber);
  return standard === null && text === 'none' ? null : parseNumber(text);
}

/** A setting's value out of text. @throws InvalidArgument says what it may be */
export function parseSetting(name: string, text: string): { readonly field: keyof Settings; readonly value: unknown } {
  const field = SETTINGS.get(name);
  if (field === undefined) {
    const names = [...DIALS, ...SETTINGS.keys()];
    throw new InvalidArgument(`there is no dial or setting "${name}"`, {
      expected: `a dial: ${DIALS.join(', ')}; or a setting: ${[...SETTINGS.keys()].join(', ')}`,
      ...didYouMean(name, names),
    });
  }
  const value = parse(field, text);
  if (refusal(field, value) !== null) {
    throw new InvalidArgument(`${name} cannot be "${text}"`, { expected: settingForm(field) });
  }
  return { field, value };
}

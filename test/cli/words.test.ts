import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { EXIT_OF_CODE } from '../../src/cli/exit-code.ts';
import { nearest } from '../../src/cli/nearest.ts';
import { nextStep } from '../../src/cli/next-step.ts';
import { SETTING_MEANING } from '../../src/cli/setting-meaning.ts';
import { parseSetting, SETTINGS, settingForm } from '../../src/cli/setting-value.ts';
import { replayLines, verifiedText } from '../../src/cli/status-text.ts';
import { parseUnit } from '../../src/cli/unit-text.ts';
import { duration, keyText, printable, share, table } from '../../src/cli/wording.ts';
import type { MigrationStatus } from '../../src/control/status.ts';
import { below, EVERY_BUCKET, WHOLE_LINE } from '../../src/core/dial.ts';
import * as errors from '../../src/core/errors.ts';
import { KeySpec } from '../../src/core/record-key.ts';
import { initialRuleset } from '../../src/core/ruleset.ts';
import { DEFAULT_SETTINGS, settingText } from '../../src/core/settings.ts';

test('every error code has an exit code, and no other has', () => {
  const codes = Object.values(errors)
    .filter((Type) => typeof Type === 'function' && Type !== errors.ChangeoverError)
    .map((Type) => new (Type as new (message: string, second: unknown) => errors.ChangeoverError)('', []).code);
  expect(Object.keys(EXIT_OF_CODE).sort()).toEqual(codes.sort());
});

test('docs/settings.md tells every setting as the help does, and no other', () => {
  const told = readFileSync(join(import.meta.dirname, '../../docs/settings.md'), 'utf8').match(/^\| `.*$/gm);
  const rows = [...SETTINGS].map(([name, field]) => {
    const values = `${settingForm(field)} | ${settingText(DEFAULT_SETTINGS[field])}`;
    return `| \`${name}\` | ${SETTING_MEANING[field]} | ${values} |`;
  });
  expect(told).toEqual(rows);
});

describe('the nearest name', () => {
  test.each([
    ['evnts', 'events'],
    ['EVENTS', 'events'],
    ['dualwrite', 'dual-write'],
    ['cutvoer', 'cutover'],
    ['retire', 'retire-old'],
    ['xyz', null],
    ['', null],
  ])('of %j is %j', (word, expected) => {
    expect(nearest(word, ['events', 'dual-write', 'cutover', 'retire-old'])).toBe(expected);
  });
});

describe('settings', () => {
  test('every one has a name, a form, and a default that its own words set', () => {
    for (const [name, field] of SETTINGS) {
      expect(settingForm(field)).not.toBe('');
      expect(parseSetting(name, settingText(DEFAULT_SETTINGS[field]))).toEqual({
        field,
        value: DEFAULT_SETTINGS[field],
      });
    }
    expect(SETTINGS.size).toBe(Object.keys(DEFAULT_SETTINGS).length);
  });

  test.each([
    ['no-outside-writers', 'yes', true],
    ['replay-rate', '0.5', 0.5],
    ['replay-rate', 'none', null],
    ['mirror-to-new', 'wait', 'wait'],
    ['shadow-recheck-ms', '10,20', [10, 20]],
    ['shadow-recheck-ms', 'none', []],
  ])('%s %s', (name, text, value) => {
    expect(parseSetting(name, text).value).toEqual(value);
  });

  test.each([
    ['no-outside-writers', 'perhaps'],
    ['replay-rate', '-1'],
    ['replay-rate', ''],
    ['put-timeout-ms', '0x10'],
    ['put-timeout-ms', 'none'],
    ['mirror-to-new', 'later'],
    ['shadow-recheck-ms', '1,x'],
    ['constructor', '1'],
  ])('%s cannot be %j', (name, text) => {
    expect(() => parseSetting(name, text)).toThrow(errors.InvalidArgument);
  });
});

describe('units', () => {
  const one = new KeySpec(['userKey', 'id'], ['userKey']);

  test('plain text is the one string field, whatever it looks like', () => {
    for (const text of ['ada', '42', 'true', '["a"]', ' ']) expect(parseUnit(one, text)).toEqual({ userKey: text });
  });

  test('JSON gives a field its type', () => {
    expect(parseUnit(one, '{"userKey": 42}')).toEqual({ userKey: 42 });
    expect(parseUnit(one, '{"userKey": "{"}')).toEqual({ userKey: '{' });
    expect(parseUnit(one, '{"userKey": {"type": "bigint", "text": "42"}}')).toEqual({ userKey: 42n });
  });

  test.each([
    '{',
    '{"userKey": null}',
    '{"userKey": {"type": "set", "text": ""}}',
    '{"userKey": {"type": "date", "text": "x"}}',
    '{}',
  ])('%s is refused', (text) => {
    expect(() => parseUnit(one, text)).toThrow(errors.ChangeoverError);
  });
});

describe('the next step', () => {
  const base: MigrationStatus = {
    migration: 'events',
    revision: 7,
    stage: 'off',
    dials: { dualWrite: 0, shadowRead: 0, cutover: 0, retireOld: false },
    coverage: { old: 100, new: 0 },
    covered: { old: WHOLE_LINE, new: [] },
    dirty: { ranges: 0, rejected: 0 },
    fleet: { nodes: 1, acknowledged: 1 },
    handover: null,
    shadow: { compared: 0, divergent: 0 },
    replay: null,
    stamping: 'off',
    finished: false,
    cleaned: false,
    divergences: 0,
    verification: null,
    ramp: null,
  };
  const document = initialRuleset('events', { noOutsideWriters: true });
  const covered = { old: WHOLE_LINE, new: WHOLE_LINE };
  const verification = {
    verdict: 'consistent',
    revision: 7,
    finishedAt: 0,
    expiresAt: 1_000,
    outdated: false,
    only: null,
  } as const;
  const dials = (
    dualWrite: MigrationStatus['dials']['dualWrite'],
    shadowRead: typeof dualWrite,
    cutover: typeof dualWrite,
    retireOld = false,
  ) => ({
    dials: { dualWrite, shadowRead, cutover, retireOld },
  });

  const replay: MigrationStatus['replay'] = {
    kind: 'backfill',
    target: 'new',
    scanned: 1,
    applied: 1,
    skipped: 0,
    rejected: 0,
    partitions: { done: 0, all: 4 },
    estimate: 9,
    startedAt: 0,
    runner: null,
    runners: 0,
    failure: null,
    rate: null,
    etaMs: null,
    paused: false,
    eased: null,
  };

  test('what is told of a replay beside it fits 80 columns, and names what holds it up', () => {
    const busy = { scanned: 99_999_999, applied: 88_888_888, skipped: 11_111_111, estimate: 100_000_000 };
    const going = {
      ...busy,
      runners: 12,
      rate: 12_345,
      etaMs: 3_600_000,
      eased: 'replica lag 21 s; at most 900 a second',
    };
    const lines = replayLines({ replay: { ...replay, ...going, startedAt: Date.now() - 60_000 } });
    for (const line of lines) expect(line.length, line).toBeLessThanOrEqual(64);
    expect(lines).toContain('99,999,999 of about 100,000,000 scanned, 0 of 4 partitions done');
    expect(lines).toContain('12 processes at it; 12,345/s, 60 min left');
    expect(lines).toContain('eased: replica lag 21 s; at most 900 a second');
    const held = replayLines({ replay: { ...replay, ...going, paused: true, failure: 'no answer' } });
    expect(held).toContain('12 processes at it; paused');
    expect(held).toContain('a partition failed and is tried again: no answer');
    expect(held.join()).not.toContain('eased');
    expect(replayLines({ replay: null })).toEqual(['none running']);
  });

  test('of the newest verdict: what alone it is about, and that it holds no more', () => {
    const hour = { ...verification, finishedAt: Date.now(), expiresAt: Date.now() + 3_600_500 };
    const text = (changes: object): string => verifiedText({ verification: { ...hour, ...changes } });
    expect(text({})).toMatch(/^consistent \S.* at revision 7, valid for 60 min$/);
    const part = { only: 'a sample of 5 % of the units', expiresAt: 0 };
    expect(text(part)).toMatch(/^consistent .* at revision 7, only a sample of 5 % of the units, expired /);
    expect(verifiedText({ verification: null })).toBe('never');
  });

  test.each<[Partial<MigrationStatus>, string]>([
    [{}, 'changeover set events dual-write canary'],
    [dials('canary', 0, 0), 'changeover set events dual-write 1 '],
    [dials(30, 0, 0), 'changeover set events dual-write 50'],
    [dials(100, 0, 0), 'changeover backfill events --reason'],
    [{ ...dials(100, 0, 0), covered }, 'changeover verify events'],
    [{ ...dials(100, 0, 0), covered, verification }, 'changeover set events shadow-read 100'],
    [{ ...dials(100, 0, 0), covered, verification: { ...verification, outdated: true } }, 'changeover verify events'],
    [{ ...dials(100, 100, 0), covered, verification }, 'changeover set events cutover canary'],
    [{ ...dials(100, 100, 25), covered, verification }, 'changeover set events cutover 50'],
    [{ ...dials(100, 0, 100), covered, verification }, 'changeover set events dual-write all'],
    [{ ...dials('all', 0, 100), covered, verification }, 'changeover set events cutover all'],
    [{ ...dials('all', 0, 'all'), covered }, 'changeover set events retire-old yes'],
    [
      { ...dials('all', 0, 100), covered: { old: WHOLE_LINE, new: below(EVERY_BUCKET) } },
      'changeover backfill events --reason …: the new store is not complete in kept-back',
    ],
    [{ ...dials(100, 0, 100), covered: { old: below(0), new: WHOLE_LINE } }, 'changeover backfill events --to old'],
    [dials('all', 0, 'all', true), 'changeover finish events'],
    [{ finished: true, cleaned: true }, 'nothing'],
    [{ finished: true }, 'changeover finish events --yes'],
    [{ dirty: { ranges: 2, rejected: 0 } }, 'changeover repair events'],
    [{ dirty: { ranges: 2, rejected: 1 } }, 'mend the rejected'],
    [{ divergences: 3 }, 'mend the cause'],
    [{ replay }, 'changeover backfill events --reason'],
    [{ replay: { ...replay, target: 'old' } }, 'changeover backfill events --to old --reason'],
    [{ replay: { ...replay, kind: 'preload' } }, 'changeover backfill events --preload --reason'],
    [{ replay: { ...replay, kind: 'repair' } }, 'changeover repair events --reason'],
    [{ replay: { ...replay, paused: true } }, 'changeover backfill events --resume --reason'],
    [{ fleet: { nodes: 3, acknowledged: 2 } }, 'changeover fleet events'],
  ])('of %j is: %s', (change, expected) => {
    expect(nextStep({ ...base, ...change }, document, 500)).toContain(expected);
  });

  test('asks first that all writers are wrapped', () => {
    expect(nextStep(base, initialRuleset('events'), 0)).toContain('no-outside-writers yes');
  });
});

test('words for people are exact and keep control characters off the terminal', () => {
  expect([0, 999, 1_000, 59_000, 600_000, 90_000_000, 1e9].map(duration)).toEqual([
    '0 ms',
    '999 ms',
    '1.0 s',
    '59 s',
    '10 min',
    '25 h',
    '12 days',
  ]);
  expect([0, 0.001, 33.3333, 99.999, 100].map(share)).toEqual(['0 %', '0.01 %', '33.33 %', '99.99 %', '100 %']);
  expect(printable('a\u001b[31mb\n')).toBe('a\\u001b[31mb\\u000a');
  expect(printable('\u202eevil')).toBe('\\u202eevil');
  const long = keyText({ userKey: 'x'.repeat(5_000), id: '7' });
  expect(long).toMatch(/^userKey="x+… \(5010 characters\), id="7"$/);
  expect(long.length).toBeLessThan(400);
  expect(keyText({ userKey: 'a"\u0007', id: { type: 'bigint', text: '7' } })).toBe(
    'userKey="a\\"\\u0007", id=bigint 7',
  );
  expect(
    table(
      ['a', 'n'],
      [
        ['xx', '1'],
        ['y', '10'],
      ],
      [1],
    ),
  ).toBe('a    n\nxx   1\ny   10');
});

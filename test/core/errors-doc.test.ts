import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import * as errors from '../../src/core/errors.ts';

const source = readFileSync(new URL('../../src/core/errors.ts', import.meta.url), 'utf8');
const document = readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8');

const inSource = [...source.matchAll(/override readonly code = '([A-Z_]+)'/g)].map(([, code]) => code as string);
const rows = [...document.matchAll(/^\| `([A-Z_]+)` \|(.*)\|$/gm)].map(([, code, rest]) => ({
  code: code as string,
  cells: (rest as string).split('|').map((cell) => cell.trim()),
}));

describe('docs/errors.md', () => {
  test('lists each code of the source once, and no other, in its order', () => {
    expect(rows.map(({ code }) => code)).toStrictEqual(inSource);
    expect(new Set(inSource).size).toBe(inSource.length);
  });

  test('is compared with every error class that is exported', () => {
    const classes = Object.values(errors).filter(
      (value) => typeof value === 'function' && value.prototype instanceof errors.ChangeoverError,
    );
    expect(inSource).toHaveLength(classes.length);
  });

  test('says of each what happened, whether anything is written and what to do', () => {
    for (const { code, cells } of rows) {
      expect(cells, code).toHaveLength(3);
      for (const cell of cells) expect(cell, code).toMatch(/\.$/);
    }
  });

  test('does not tell anybody to try again after a write that may have been applied', () => {
    const unknown = rows.find(({ code }) => code === 'OUTCOME_UNKNOWN');
    expect(unknown?.cells[1]).toBe('Perhaps.');
    expect(unknown?.cells[2]).toContain('Read the key');
  });
});

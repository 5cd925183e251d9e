import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { scanSource } from '../source-scan.ts';
import { SERVER_NAMES, type ServerName } from './names.ts';

const CALL = /\b(?:testServer|freshDatabase)\(\s*(?:(['"])(\w+)\1)?/g;

interface Scan {
  readonly asks: ReadonlySet<ServerName>;
  readonly imports: readonly string[];
}

/**
 * Which servers test files ask for: every `testServer('…')` and `freshDatabase('…')` in them and in the files of the
 * tests that they import. A call with a computed name asks for all.
 */
export function serversNeededBy(files: readonly string[], testRoot: string): Record<string, readonly ServerName[]> {
  const scans = new Map<string, Scan>();
  const scan = (path: string): Scan => {
    const known = scans.get(path);
    if (known !== undefined) return known;
    const made = scanFile(path, testRoot);
    scans.set(path, made);
    return made;
  };
  return Object.fromEntries(
    files.map((file) => {
      const seen = new Set([file]);
      for (const path of seen) for (const next of scan(path).imports) seen.add(next);
      const asks = new Set([...seen].flatMap((path) => [...scan(path).asks]));
      return [file, SERVER_NAMES.filter((name) => asks.has(name))];
    }),
  );
}

function scanFile(path: string, testRoot: string): Scan {
  const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
  const { imports, code } = scanSource(text);
  const asks = new Set<ServerName>();
  for (const match of text.matchAll(CALL)) {
    // Comments and strings are blank in `code`; a declaration is no call.
    if (!code.startsWith(match[0].slice(0, 8), match.index) || /\bfunction\s+$/.test(text.slice(0, match.index)))
      continue;
    const named = SERVER_NAMES.filter((name) => name === match[2]);
    for (const name of named.length > 0 ? named : SERVER_NAMES) asks.add(name);
  }
  return {
    asks,
    imports: imports
      .filter(({ kind, specifier }) => kind !== 'type import' && specifier?.startsWith('.') === true)
      .map(({ specifier }) => resolve(dirname(path), specifier as string))
      // servers.ts itself calls testServer for whoever calls freshDatabase.
      .filter((target) => target.startsWith(testRoot) && target !== join(testRoot, 'support/servers.ts')),
  };
}

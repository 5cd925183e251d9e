import { isBuiltin } from 'node:module';
import { posix } from 'node:path';
import { type ImportKind, type ScannedSource, scanSource } from './source-scan.ts';

/** Files by their path below the root, with `/` between folders. */
export type SourceTree = ReadonlyMap<string, string>;

/** What the files of a folder may import besides Node's own modules and files of the same folder. */
export interface FolderRule {
  /** Files, or folders ending in `/`. */
  readonly files: readonly string[];
  readonly packages: readonly string[];
  /** `import(…)` of a name that is computed when the program runs. */
  readonly computed?: boolean;
}

/**
 * Who may import whom: the table of the style guide. The longest folder that a file is in decides; what no line names
 * is forbidden. Where this says more than the guide's table, the design demands it:
 *
 * - `adapters/conformance` is a test kit, so it may import vitest and fast-check;
 * - `src/service/version.ts` reads package.json, which is data and no import;
 * - `src/repository` has of `verify` nothing but `compare.ts`;
 * - `src/index.ts` exports the errors, values, dials and types of `src/core` beside what `src/service` has, and the
 *   types of its own signatures live where they are used;
 * - the configuration of a command line is the user's file, so `src/cli` imports computed names.
 */
export const RULES: Readonly<Record<string, FolderRule>> = {
  'src/core/': { files: [], packages: [] },
  'src/repository/': { files: ['src/core/', 'verify/compare.ts'], packages: ['p-queue'] },
  'src/replay/': { files: ['src/core/'], packages: ['p-queue'] },
  'src/replay/partition-jobs.ts': { files: ['src/core/'], packages: ['pg-boss'] },
  'src/flags/': {
    files: ['src/core/'],
    packages: ['@openfeature/server-sdk', '@openfeature/core', '@openfeature/flagd-core'],
  },
  'src/telemetry/': {
    files: ['src/core/'],
    packages: ['@opentelemetry/api', '@opentelemetry/exporter-prometheus', '@opentelemetry/sdk-metrics', 'pino'],
  },
  'src/control/': { files: ['src/core/', 'src/replay/', 'verify/', 'migrations/'], packages: ['knex', 'pg'] },
  'src/server/': {
    files: ['src/control/', 'src/core/', 'src/flags/', 'src/telemetry/', 'verify/reports/'],
    packages: ['fastify', '@fastify/sse', '@fastify/static', '@fastify/swagger', 'openid-client'],
  },
  'src/server/http-control-client.ts': { files: ['src/core/'], packages: [] },
  'src/console/': {
    files: ['src/server/api-types.ts'],
    packages: ['preact', '@preact/signals', 'preact-iso', 'uplot'],
  },
  'src/service/': {
    files: [
      'src/core/',
      'src/repository/',
      'src/replay/',
      'src/control/',
      'src/flags/',
      'src/telemetry/',
      'src/server/http-control-client.ts',
      'verify/',
      'migrations/',
      'adapters/',
    ],
    packages: ['p-queue', 'knex', 'pino'],
  },
  'src/cli/': {
    files: ['src/', 'adapters/', 'verify/', 'migrations/', 'package.json'],
    packages: ['*'],
    computed: true,
  },
  'src/index.ts': { files: ['src/service/', 'src/core/'], packages: [] },
  'verify/': { files: ['src/core/'], packages: [] },
  'migrations/': { files: [], packages: ['knex'] },
  'adapters/memory/': { files: ['src/core/'], packages: [] },
  'adapters/load-bson.ts': { files: ['src/core/'], packages: ['bson', 'mongodb'] },
  'adapters/sql/': {
    files: ['src/core/', 'adapters/load-bson.ts'],
    packages: ['knex', 'better-sqlite3', 'pg', 'mysql2'],
  },
  'adapters/dynamodb/': { files: ['src/core/', 'adapters/load-bson.ts'], packages: ['@aws-sdk/client-dynamodb'] },
  'adapters/mongodb/': { files: ['src/core/'], packages: ['bson', 'mongodb'] },
  'adapters/conformance/': { files: ['src/core/'], packages: ['vitest', 'fast-check'] },
  'examples/': {
    files: [
      'src/index.ts',
      'adapters/memory/index.ts',
      'adapters/sql/index.ts',
      'adapters/dynamodb/index.ts',
      'adapters/mongodb/index.ts',
    ],
    // A user's own driver makes the tables that an example begins with.
    packages: ['changeover', '@octokit/webhooks-examples', 'better-sqlite3', 'fastify', 'mongodb'],
  },
  // Parts are measured by themselves, beside what others have; its packages are its own.
  'bench/': { files: ['src/', 'adapters/', 'verify/'], packages: ['*'] },
  'bin/': { files: ['src/cli/main.ts'], packages: [], computed: true },
};

/** Files above 400 lines, and why they are. */
export const LONG_FILES: Readonly<Record<string, string>> = {
  'src/control/control-plane.ts':
    'the one interface of the control plane: one short transaction a method, no logic to split off',
  'src/repository/repository.ts': 'the public data access: every call of the API with its documentation in one place',
};

/** Deeper than three folders' worth of path below the root. */
export const DEEP_FOLDERS: readonly string[] = ['src/cli/demo/', 'src/console/'];

const MOST_LINES = 400;
const MOST_DEPTH = 3;

/** Where the environment, the exit code and the terminal belong. */
const COMMAND_LINE = ['src/cli/', 'bin/', 'examples/', 'bench/'];
const STRICT = ['src/', 'adapters/', 'verify/'];
const KEBAB = /^[a-z0-9]+(?:-[a-z0-9]+)*(?:\.d)?\.(?:ts|tsx|js|mjs|json|md|sh|sql|css|html|svg|yaml)$/;
const KEBAB_FOLDER = /^[a-z0-9]+(?:-[a-z0-9]+)*$/;
const ROOT_NAMES = /^(?:README|CHANGELOG|LICENSE|Dockerfile|compose|changeover\.config)(?:\.[a-z]+)?$/;

export interface Edge {
  readonly to: string;
  readonly kind: ImportKind;
}

interface Scanned extends ScannedSource {
  readonly path: string;
}

const isCode = (path: string): boolean => /\.(?:ts|tsx|js|mjs)$/.test(path);

function ruleFor(rules: Readonly<Record<string, FolderRule>>, path: string): readonly [string, FolderRule] | undefined {
  return Object.entries(rules)
    .filter(([place]) => (place.endsWith('/') ? path.startsWith(place) : path === place))
    .sort(([a], [b]) => b.length - a.length)[0];
}

const packageOf = (specifier: string): string =>
  specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');

const among = (places: readonly string[], path: string): boolean =>
  places.some((place) => (place.endsWith('/') ? path.startsWith(place) : path === place));

/** The file that a relative specifier names. */
const resolve = (from: string, specifier: string): string => posix.join(posix.dirname(from), specifier);

/** Everything that is wrong with a tree; one line a violation, empty if it is in order. */
export function violationsOf(
  tree: SourceTree,
  rules: Readonly<Record<string, FolderRule>> = RULES,
  longFiles: Readonly<Record<string, string>> = LONG_FILES,
): string[] {
  const files = [...tree]
    .filter(([path]) => isCode(path))
    .map(([path, text]): Scanned => ({ path, ...scanSource(text) }));
  const circle = shortestCircle(graphOf(files, tree));
  return [
    ...[...tree.keys()].flatMap(nameViolations),
    ...files.flatMap((file) => [...importViolations(file, tree, rules), ...wordViolations(file)]),
    ...lengthViolations(files, longFiles),
    ...(circle === null ? [] : [`an import circle: ${describeCircle(circle)}`]),
  ];
}

function nameViolations(path: string): string[] {
  const found: string[] = [];
  const parts = path.split('/');
  const name = parts.at(-1) as string;
  const folders = parts.slice(0, -1);
  if (!KEBAB.test(name) && !ROOT_NAMES.test(name)) found.push(`${path}: the name is not in kebab-case`);
  for (const folder of folders) {
    if (!KEBAB_FOLDER.test(folder)) found.push(`${path}: the folder ${folder} is not in kebab-case`);
    if (/^(?:utils?|helpers?|managers?|misc|common|lib)$/.test(folder))
      found.push(`${path}: the folder ${folder} names no concept`);
  }
  if (/^(?:utils?|helpers?|managers?|misc|common)\./.test(name)) found.push(`${path}: the name names no concept`);
  if (
    folders.length > MOST_DEPTH ||
    (folders.length === MOST_DEPTH && !path.startsWith('adapters/') && !among(DEEP_FOLDERS, path))
  ) {
    found.push(`${path}: lies ${folders.length} folders deep`);
  }
  return found;
}

function importViolations(file: Scanned, tree: SourceTree, rules: Readonly<Record<string, FolderRule>>): string[] {
  const entry = ruleFor(rules, file.path);
  if (entry === undefined) return [`${file.path}: no line of the table names its folder`];
  const [place, rule] = entry;
  const own = place.endsWith('/') ? place : `${posix.dirname(place)}/`;
  const found: string[] = [];
  for (const { kind, specifier } of file.imports) {
    const what = `${file.path}: ${kind} of`;
    if (specifier === null) {
      if (rule.computed !== true) found.push(`${what} a computed name`);
    } else if (specifier.startsWith('.')) {
      const target = resolve(file.path, specifier);
      if (!tree.has(target)) found.push(`${what} ${target}, which does not exist`);
      else if (!(place.endsWith('/') && target.startsWith(own)) && !among(rule.files, target)) {
        found.push(`${what} ${target} is not allowed`);
      }
    } else if (!isBuiltin(specifier) && !rule.packages.includes('*') && !rule.packages.includes(packageOf(specifier))) {
      found.push(`${what} the package ${specifier} is not allowed`);
    } else if (isBuiltin(specifier) && !specifier.startsWith('node:')) {
      found.push(`${what} ${specifier} lacks its node: prefix`);
    }
  }
  return found;
}

function wordViolations({ path, code, comments }: Scanned): string[] {
  const found: string[] = [];
  const line = (text: string, index: number): number => text.slice(0, index).split('\n').length;
  const look = (text: string, pattern: RegExp, what: string): void => {
    for (const match of text.matchAll(pattern)) found.push(`${path}:${line(text, match.index)}: ${what}`);
  };
  if (among(STRICT, path)) {
    look(
      code,
      /(?:[:<|&,=(]|\bas|\bextends|=>)\s*(?:readonly\s+)?any\b(?=\s*(?:[;,)>|&{}\]\n]|\[\s*\]|=(?!=)|$))/g,
      'the type any',
    );
    look(comments, /@ts-(?:ignore|expect-error|nocheck)\b/g, 'a silenced type error');
    look(code, /(?<![.\w])enum\s+\w+\s*\{/g, 'an enum');
    look(code, /\bexport\s+default\b/g, 'a default export');
  }
  if (!among(COMMAND_LINE, path)) {
    look(code, /\bprocess\s*(?:\.|\?\.)\s*env\b/g, 'process.env outside of the command line');
    look(code, /\bprocess\s*(?:\.|\?\.)\s*(?:exit|exitCode)\b/g, 'process.exit outside of the command line');
    look(code, /(?<![.\w])console\s*(?:\.|\?\.)\s*\w/g, 'console outside of the command line');
  }
  return found;
}

function lengthViolations(files: readonly Scanned[], longFiles: Readonly<Record<string, string>>): string[] {
  const found: string[] = [];
  for (const { path, lines } of files) {
    const listed = Object.hasOwn(longFiles, path);
    if (lines > MOST_LINES && !listed) found.push(`${path}: ${lines} lines, and no reason is listed`);
    if (lines <= MOST_LINES && listed) found.push(`${path}: listed as long, but has only ${lines} lines`);
  }
  for (const path of Object.keys(longFiles)) {
    if (!files.some((file) => file.path === path)) found.push(`${path}: listed as long, but does not exist`);
  }
  return found;
}

function graphOf(files: readonly Scanned[], tree: SourceTree): ReadonlyMap<string, readonly Edge[]> {
  return new Map(
    files.map(({ path, imports }) => [
      path,
      imports
        .filter(({ specifier }) => specifier?.startsWith('.') === true)
        .map(({ specifier, kind }) => ({ to: resolve(path, specifier as string), kind }))
        .filter(({ to }) => tree.has(to)),
    ]),
  );
}

const describeCircle = (circle: readonly Edge[]): string =>
  `${(circle.at(-1) as Edge).to}${circle.map(({ to, kind }) => ` → ${to}${kind === 'import' ? '' : ` (${kind})`}`).join('')}`;

/**
 * The shortest way from a file back to itself; null when there is none. A circle of which one link is a type import
 * ties the files together no less for a reader, but has no effect when the program runs and no other form where two
 * classes know each other: it is allowed between files of one folder, and nowhere else. So is the link to a worker,
 * which runs in a thread of its own.
 */
export function shortestCircle(graph: ReadonlyMap<string, readonly Edge[]>): readonly Edge[] | null {
  let best: readonly Edge[] | null = null;
  for (const start of graph.keys()) {
    const seen = new Set<string>();
    let ways: (readonly Edge[])[] = [[]];
    while (ways.length > 0 && (best === null || (ways[0] as readonly Edge[]).length + 1 < best.length)) {
      const further: (readonly Edge[])[] = [];
      for (const way of ways) {
        const at = way.at(-1)?.to ?? start;
        for (const edge of graph.get(at) ?? []) {
          if (isLoose(at, edge)) continue;
          if (edge.to === start) {
            if (best === null || way.length + 1 < best.length) best = [...way, edge];
          } else if (!seen.has(edge.to)) {
            seen.add(edge.to);
            further.push([...way, edge]);
          }
        }
      }
      ways = further;
    }
  }
  return best;
}

const isLoose = (from: string, { to, kind }: Edge): boolean =>
  kind === 'worker' || (kind === 'type import' && posix.dirname(from) === posix.dirname(to));

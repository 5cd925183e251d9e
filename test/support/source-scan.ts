/** How one file refers to another: by an import, by a type that vanishes at runtime, when it runs, or as a worker. */
export type ImportKind = 'import' | 'type import' | 'dynamic import' | 'worker';

export interface ImportFound {
  readonly kind: ImportKind;
  /** As written; null where it is computed. */
  readonly specifier: string | null;
}

export interface ScannedSource {
  readonly imports: readonly ImportFound[];
  /** The source with comments and the insides of strings blanked: what words may be looked for in. */
  readonly code: string;
  /** The comments alone, as long as the source; everything else is blank. */
  readonly comments: string;
  readonly lines: number;
}

/** Before these a slash begins a regular expression, not a division. */
const BEFORE_REGEX =
  /(?:^|[(,=:[!&|?{};+\-*%<>~^]|\b(?:return|typeof|case|in|of|do|else|void|delete|throw|new|await|yield))\s*$/;

interface Blanked {
  readonly code: string;
  readonly comments: string;
  /** Where each plain string stands, with what it says. */
  readonly strings: ReadonlyMap<number, string>;
}

/** Tells code, comments and strings apart; good enough for formatted TypeScript without JSX. */
function blank(source: string): Blanked {
  let code = '';
  let comments = '';
  const strings = new Map<number, string>();
  /** For each template literal that is open: how many braces are open in its present expression. */
  const templates: number[] = [];
  const keep = (text: string): void => {
    code += text;
    comments += text.replace(/[^\n]/g, ' ');
  };
  const hide = (text: string): void => keep(text.replace(/[^\n]/g, ' '));
  const hideComment = (text: string): void => {
    code += text.replace(/[^\n]/g, ' ');
    comments += text;
  };
  let i = 0;
  const upTo = (end: number): string => source.slice(i, end < 0 ? source.length : end);
  const templateText = (): void => {
    const from = i;
    while (i < source.length && source[i] !== '`' && !source.startsWith('${', i)) i += source[i] === '\\' ? 2 : 1;
    hide(source.slice(from, i));
    if (source.startsWith('${', i)) {
      keep('${');
      i += 2;
      templates.push(0);
    } else {
      keep('`');
      i += 1;
    }
  };
  while (i < source.length) {
    const character = source[i] as string;
    if (source.startsWith('//', i)) {
      const text = upTo(source.indexOf('\n', i));
      hideComment(text);
      i += text.length;
    } else if (source.startsWith('/*', i)) {
      const end = source.indexOf('*/', i + 2);
      const text = upTo(end < 0 ? -1 : end + 2);
      hideComment(text);
      i += text.length;
    } else if (character === "'" || character === '"') {
      let end = i + 1;
      while (end < source.length && source[end] !== character && source[end] !== '\n')
        end += source[end] === '\\' ? 2 : 1;
      strings.set(i, source.slice(i + 1, end));
      keep(character);
      hide(source.slice(i + 1, end));
      keep(source.slice(end, end + 1));
      i = end + 1;
    } else if (character === '`') {
      keep('`');
      i += 1;
      templateText();
    } else if (character === '/' && BEFORE_REGEX.test(code.slice(-40))) {
      let end = i + 1;
      let inClass = false;
      while (end < source.length && source[end] !== '\n' && (inClass || source[end] !== '/')) {
        if (source[end] === '[') inClass = true;
        else if (source[end] === ']') inClass = false;
        end += source[end] === '\\' ? 2 : 1;
      }
      hide(source.slice(i, end + 1));
      i = end + 1;
    } else {
      keep(character);
      i += 1;
      if (templates.length === 0) continue;
      const open = templates.at(-1) as number;
      if (character === '{') templates[templates.length - 1] = open + 1;
      else if (character === '}' && open > 0) templates[templates.length - 1] = open - 1;
      else if (character === '}') {
        templates.pop();
        templateText();
      }
    }
  }
  return { code, comments, strings };
}

const QUOTE = `(?=['"])`;
const FROM = new RegExp(`\\b(import|export)(\\s+type\\b)?([\\w\\s$*,{}]*?)\\bfrom\\s*${QUOTE}`, 'g');
const BARE = new RegExp(`\\bimport\\s+${QUOTE}`, 'g');
const DYNAMIC = /\bimport\s*\(\s*/g;
/** `typeof import('x')`, and `: import('x').Name` in a declaration. */
const TYPE_POSITION = /(?:\btypeof|[<|:]|\bas)\s*$/;
const WORKER = new RegExp(`\\bnew\\s+URL\\(\\s*${QUOTE}`, 'g');

/** Every member of `{ … }` is marked as a type, and nothing else is imported. */
const onlyTypes = (clause: string): boolean => {
  const inner = /^\s*\{([^}]*)\}\s*$/.exec(clause)?.[1];
  const members = inner
    ?.split(',')
    .map((member) => member.trim())
    .filter((member) => member !== '');
  return members !== undefined && members.length > 0 && members.every((member) => /^type\s/.test(member));
};

/** What a source file imports, and its text without comments and strings. */
export function scanSource(source: string): ScannedSource {
  const { code, comments, strings } = blank(source);
  const imports: ImportFound[] = [];
  const at = (match: RegExpExecArray): string | null => strings.get(match.index + match[0].length) ?? null;
  for (const match of code.matchAll(FROM)) {
    const isType = match[2] !== undefined || onlyTypes(match[3] ?? '');
    imports.push({ kind: isType ? 'type import' : 'import', specifier: at(match) });
  }
  for (const match of code.matchAll(BARE)) imports.push({ kind: 'import', specifier: at(match) });
  for (const match of code.matchAll(DYNAMIC)) {
    const isType = TYPE_POSITION.test(code.slice(0, match.index));
    imports.push({ kind: isType ? 'type import' : 'dynamic import', specifier: at(match) });
  }
  for (const match of code.matchAll(WORKER)) {
    const specifier = at(match);
    if (specifier?.endsWith('.ts') === true) imports.push({ kind: 'worker', specifier });
  }
  const lines = source.split('\n').length - (source.endsWith('\n') ? 1 : 0);
  return { imports, code, comments, lines };
}

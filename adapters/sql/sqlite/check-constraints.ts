/** A CHECK of a table, as its declaration has it. */
export interface CheckConstraint {
  /** The name of its CONSTRAINT clause, or null. */
  readonly name: string | null;
  readonly expression: string;
}

/** A comment, a text, a quoted name, a word, or any other character. */
const TOKEN =
  /--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)|'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|[\p{L}_$][\p{L}\p{N}_$]*|\s+|[\s\S]/gu;

function unquote(token: string): string {
  const [first = ''] = token;
  if (first === '[') return token.slice(1, -1);
  if (first !== '"' && first !== '`' && first !== "'") return token;
  return token.slice(1, -1).replaceAll(first + first, first);
}

/** The CHECKs of a CREATE TABLE statement: SQLite has no PRAGMA that tells them. */
export function checkConstraints(sql: string): readonly CheckConstraint[] {
  // Comments and gaps are one blank.
  const tokens = (sql.match(TOKEN) ?? []).map((token) => (/^(?:--|\/\*|\s)/.test(token) ? ' ' : token));
  const found: CheckConstraint[] = [];
  /** The last words before the present one. */
  let before = ['', ''];
  for (let at = 0; at < tokens.length; at += 1) {
    const token = tokens[at] as string;
    if (token === ' ') continue;
    let start = at + 1;
    while (tokens[start] === ' ') start += 1;
    if (token.toUpperCase() === 'CHECK' && tokens[start] === '(') {
      const end = closing(tokens, start);
      const expression = tokens
        .slice(start + 1, end)
        .join('')
        .replace(/ +/g, ' ')
        .trim();
      const [constraint = '', name = ''] = before;
      found.push({ name: constraint.toUpperCase() === 'CONSTRAINT' ? unquote(name) : null, expression });
      at = end;
    }
    before = [before[1] ?? '', token];
  }
  return found;
}

/** Where the parenthesis at `open` is closed. */
function closing(tokens: readonly string[], open: number): number {
  let depth = 0;
  for (let at = open; at < tokens.length; at += 1) {
    depth += tokens[at] === '(' ? 1 : tokens[at] === ')' ? -1 : 0;
    if (depth === 0) return at;
  }
  return tokens.length;
}

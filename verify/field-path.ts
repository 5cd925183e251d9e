import { InvalidConfiguration } from '../src/core/errors.ts';

/** One step of a parsed path: a field or index by its text, or any of them. */
type Step = string | typeof ANY;

const ANY = Symbol('any');

/** What the rules say about one place of a record and the places below it. */
export interface PathNode {
  /** The place and everything below it is not compared. */
  ignored: boolean;
  /** How far two numbers at this place may be apart. */
  tolerance: number | null;
  any: PathNode | null;
  readonly named: Map<string, PathNode>;
}

export const newPathNode = (): PathNode => ({ ignored: false, tolerance: null, any: null, named: new Map() });

const PLAIN_FIELD = /^[A-Za-z_$][\w$-]*$/;
const NEXT = /\.?(\*|[A-Za-z_$][\w$-]*)|\[(\*|\d+)\]|\[("(?:[^"\\]|\\.)*")\]/y;

/** The path of a field below `path`: `payload.items`, `payload["a.b"]`. */
export function fieldPath(path: string, field: string): string {
  if (!PLAIN_FIELD.test(field)) return `${path}[${JSON.stringify(field)}]`;
  return path === '' ? field : `${path}.${field}`;
}

/** Reads `payload.items[*].id`. `*` stands for one field or index. @throws InvalidConfiguration */
function parsePath(path: string): readonly Step[] {
  const steps: Step[] = [];
  for (let at = 0; at < path.length; ) {
    NEXT.lastIndex = at;
    const match = NEXT.exec(path);
    if (match === null || (at > 0 && match[1] !== undefined && path[at] !== '.') || (at === 0 && path[0] === '.')) {
      throw badPath(path);
    }
    const [whole, field, index, quoted] = match;
    if (quoted !== undefined) steps.push(unquote(path, quoted));
    else steps.push((field ?? index) === '*' ? ANY : ((field ?? index) as string));
    at += whole.length;
  }
  if (steps.length === 0) throw badPath(path);
  return steps;
}

function unquote(path: string, quoted: string): string {
  try {
    return String(JSON.parse(quoted));
  } catch (cause) {
    throw badPath(path, cause);
  }
}

const badPath = (path: string, cause?: unknown): InvalidConfiguration =>
  new InvalidConfiguration(`the compare rule path ${JSON.stringify(path)} cannot be read`, {
    expected: 'fields and indexes such as payload.items[*].id or payload["a.b"]',
    cause,
  });

/** The node of `path` below `root`, made where it is not there yet. @throws InvalidConfiguration */
export function nodeAt(root: PathNode, path: string): PathNode {
  let node = root;
  for (const step of parsePath(path)) {
    if (step === ANY) {
      node.any ??= newPathNode();
      node = node.any;
    } else {
      let next = node.named.get(step);
      if (next === undefined) {
        next = newPathNode();
        node.named.set(step, next);
      }
      node = next;
    }
  }
  return node;
}

const NO_NODES: readonly PathNode[] = Object.freeze([]);

/** The nodes that speak about `step` below any of `nodes`. */
export function below(nodes: readonly PathNode[], step: string): readonly PathNode[] {
  if (nodes.length === 0) return NO_NODES;
  const result: PathNode[] = [];
  for (const node of nodes) {
    const named = node.named.get(step);
    if (named !== undefined) result.push(named);
    if (node.any !== null) result.push(node.any);
  }
  return result;
}

/** An element of a document, as far as tests of our own writers need it. */
export interface Element {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly children: (Element | string)[];
}

interface Dialect {
  /** Names of elements that have no end. */
  readonly empty: readonly string[];
  /** Names of elements whose text is no markup. */
  readonly raw: readonly string[];
  readonly entities: RegExp;
}

const XML: Dialect = { empty: [], raw: [], entities: /&(?!(?:amp|lt|gt|quot|#9|#10|#13);)/ };
const HTML: Dialect = { empty: ['meta', 'br'], raw: ['style'], entities: /&(?!(?:amp|lt|gt|quot|#39);)/ };

const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"' };
const TAG = /<(\/?)([a-z][a-z0-9-]*)((?: [a-zA-Z][a-zA-Z0-9-]*(?:="[^"<>]*")?)*)(\/?)>|([^<>]+)/y;
/** What no XML document may hold, by itself or as an entity. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what XML 1.0 forbids
export const FORBIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g;

/** Reads XML, and is stricter than its rules. @throws Error where it is not well-formed */
export function readXml(text: string): Element {
  return read(text, '<?xml version="1.0" encoding="UTF-8"?>\n', XML);
}

/** Reads a page that is written as plainly as ours are. @throws Error */
export function readHtml(text: string): Element {
  return read(text, '<!doctype html>\n', HTML);
}

function read(text: string, prologue: string, dialect: Dialect): Element {
  if (!text.startsWith(prologue)) throw new Error(`it begins with ${text.slice(0, 40)}`);
  if (text.search(FORBIDDEN) >= 0 || !text.isWellFormed()) throw new Error('a character that no document may hold');
  const root: Element = { name: '', attributes: {}, children: [] };
  const open: Element[] = [root];
  for (let at = prologue.length; at < text.length; ) {
    const here = open.at(-1) as Element;
    if (dialect.raw.includes(here.name)) {
      const end = text.indexOf(`</${here.name}`, at);
      here.children.push(text.slice(at, end));
      at = end;
    }
    TAG.lastIndex = at;
    const match = TAG.exec(text);
    if (match === null) throw new Error(`no markup at ${at}: ${text.slice(at, at + 60)}`);
    at = TAG.lastIndex;
    const [, closes, name, attributes, ends, words] = match;
    if (words !== undefined) here.children.push(decoded(words, dialect));
    else if (closes === '/') {
      if (open.pop()?.name !== name) throw new Error(`</${name}> closes another element`);
    } else {
      const element: Element = {
        name: name as string,
        attributes: attributesOf(attributes as string, dialect),
        children: [],
      };
      here.children.push(element);
      if (ends !== '/' && !dialect.empty.includes(element.name)) open.push(element);
    }
  }
  if (open.length !== 1) throw new Error(`not closed: ${open.map(({ name }) => name).join(' ')}`);
  const [first, ...rest] = root.children.filter((child) => typeof child !== 'string' || child.trim() !== '');
  if (typeof first !== 'object' || rest.length > 0) throw new Error('not one element');
  return first;
}

function attributesOf(text: string, dialect: Dialect): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [, name, value = ''] of text.matchAll(/ ([a-zA-Z][a-zA-Z0-9-]*)(?:="([^"]*)")?/g)) {
    if (Object.hasOwn(found, name as string)) throw new Error(`${name} stands twice`);
    found[name as string] = decoded(value, dialect);
  }
  return found;
}

function decoded(text: string, { entities }: Dialect): string {
  if (entities.test(text)) throw new Error(`an ampersand that begins nothing: ${text}`);
  return text.replace(/&(?:#(\d+)|(\w+));/g, (_, code: string | undefined, name: string) =>
    code === undefined ? (ENTITIES[name] as string) : String.fromCharCode(Number(code)),
  );
}

/** The element and all below it. */
export function* elementsOf(element: Element): Generator<Element> {
  yield element;
  for (const child of element.children) if (typeof child !== 'string') yield* elementsOf(child);
}

export const textOf = (element: Element): string =>
  element.children.map((child) => (typeof child === 'string' ? child : textOf(child))).join('');

/** The element without what is written in it: names and attributes' names. */
export const shapeOf = ({ name, attributes, children }: Element): unknown => [
  name,
  Object.keys(attributes),
  children.filter((child) => typeof child !== 'string').map(shapeOf),
];

import fc from 'fast-check';

type Schema = Readonly<Record<string, unknown>>;

/** One operation of the OpenAPI document. */
export interface ApiOperation {
  readonly id: string;
  readonly method: string;
  readonly path: string;
  readonly role: string;
  readonly params: Readonly<Record<string, Schema>>;
  readonly query: Readonly<Record<string, Schema>>;
  readonly body: Schema | null;
}

interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly schema: Schema;
}

interface Operation {
  readonly operationId: string;
  readonly 'x-role': string;
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly content: { readonly 'application/json': { readonly schema: Schema } } };
}

/** Everything that an OpenAPI document offers. */
export function operationsOf(document: {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}): readonly ApiOperation[] {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]): ApiOperation => {
      const of = (place: string) =>
        Object.fromEntries(
          (operation.parameters ?? []).filter((each) => each.in === place).map((each) => [each.name, each.schema]),
        );
      return {
        id: operation.operationId,
        method: method.toUpperCase(),
        path,
        role: operation['x-role'],
        params: of('path'),
        query: of('query'),
        body: operation.requestBody?.content['application/json'].schema ?? null,
      };
    }),
  );
}

const ANYTHING = fc.jsonValue({ maxDepth: 3 });

/** Values that a schema lets through, as far as the schemas of the server go. */
export function valid(schema: Schema): fc.Arbitrary<unknown> {
  const { type, anyOf, enum: words } = schema;
  if (Array.isArray(words)) return fc.constantFrom(...words);
  if (Array.isArray(anyOf)) return fc.oneof(...anyOf.map((each: Schema) => valid(each)));
  switch (type) {
    case 'string':
      return texts(schema);
    case 'integer':
      return fc.oneof(
        fc.integer({
          min: Number(schema['minimum'] ?? -5),
          max: Math.min(Number(schema['maximum'] ?? 50), Number(schema['minimum'] ?? 0) + 30),
        }),
        fc.constant(Number(schema['maximum'] ?? 5)),
      );
    case 'number':
      return fc.double({ min: Number(schema['minimum'] ?? -1e6), max: Number(schema['maximum'] ?? 1e6), noNaN: true });
    case 'boolean':
      return fc.boolean();
    case 'null':
      return fc.constant(null);
    case 'array':
      return (schema['uniqueItems'] === true ? fc.uniqueArray : fc.array)(valid((schema['items'] ?? {}) as Schema), {
        minLength: Number(schema['minItems'] ?? 0),
        maxLength: Math.min(Number(schema['maxItems'] ?? 4), 4),
      });
    case 'object':
      return objects(schema);
    default:
      return ANYTHING;
  }
}

function texts({ pattern, minLength = 0, maxLength = 40 }: Schema): fc.Arbitrary<string> {
  const some = fc
    .string({ unit: 'grapheme', minLength: Number(minLength), maxLength: Math.min(Number(maxLength), 40) })
    .filter((text) => !text.includes('\u0000'));
  if (pattern === undefined) return some;
  const fits = new RegExp(String(pattern), 'u');
  // Names that there are, too: a request about nothing proves little.
  const known = [
    'items',
    'notes',
    'why not',
    '0'.repeat(24),
    'a'.repeat(64),
    '00000000-0000-4000-8000-000000000000',
    '1',
  ];
  const fitting = known.filter((text) => fits.test(text) && text.length >= Number(minLength));
  // Only what excludes little is met by any text.
  const loose = fits.test('any text \u00fc') ? [some.filter((text) => fits.test(text))] : [];
  const found = fitting.length === 0 ? [] : [fc.constantFrom(...fitting)];
  return fc.oneof(...found, ...loose, fc.stringMatching(fits, { size: 'small' }));
}

function objects(schema: Schema): fc.Arbitrary<unknown> {
  const properties = Object.entries((schema['properties'] ?? {}) as Readonly<Record<string, Schema>>);
  const { additionalProperties: more, minProperties = 0 } = schema;
  const named = fc.record(Object.fromEntries(properties.map(([name, each]) => [name, valid(each)])), {
    requiredKeys: (schema['required'] ?? []) as string[],
    noNullPrototype: true,
  });
  if (typeof more !== 'object' || more === null)
    return named.filter((value) => Object.keys(value).length >= Number(minProperties));
  const extra = fc.dictionary(texts((schema['propertyNames'] ?? { type: 'string' }) as Schema), valid(more as Schema), {
    minKeys: Number(minProperties),
    maxKeys: 3,
    noNullPrototype: true,
  });
  return fc.tuple(named, extra).map(([first, second]) => ({ ...second, ...first }));
}

/** Values of which something is wrong: a part left out, of another type, or beyond what is allowed; or anything at all. */
export function spoilt(schema: Schema): fc.Arbitrary<unknown> {
  const odd = fc.constantFrom<unknown>(
    null,
    '',
    'x',
    -1,
    1.5,
    1e308,
    [],
    {},
    '\u0000',
    '\ud800',
    'a'.repeat(5_000),
    true,
  );
  const whole = valid(schema).chain((value) => {
    if (typeof value !== 'object' || value === null) return odd;
    const keys = Object.keys(value);
    return fc.tuple(fc.constantFrom(...keys, 'unheardOf'), odd, fc.boolean()).map(([key, other, leaveOut]) => {
      const copy: Record<string, unknown> = { ...(value as Record<string, unknown>) };
      if (leaveOut) delete copy[key];
      else copy[key] = other;
      return copy;
    });
  });
  return fc.oneof({ weight: 4, arbitrary: whole }, { weight: 1, arbitrary: ANYTHING });
}

/** The address of an operation with its parameters filled in. */
export function addressOf(
  operation: ApiOperation,
  params: Readonly<Record<string, unknown>>,
  query: Readonly<Record<string, unknown>> = {},
): string {
  const path = operation.path.replace(/\{(\w+)\}/g, (_, name: string) =>
    encodeURIComponent(String(params[name]).toWellFormed()),
  );
  const search = new URLSearchParams(
    Object.entries(query)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]): [string, string] => [name, String(value)]),
  );
  return search.size === 0 ? path : `${path}?${search}`;
}

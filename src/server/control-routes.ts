import type { FastifyInstance, FastifyRequest } from 'fastify';
import { type Args, CONTROL_METHODS, type ControlMethod } from './control-methods.ts';
import { actorOf, covers, demandEverything, demandRole, demandScope, mayAct } from './gatekeeper.ts';
import { addRoute, callerOf, type ServerParts } from './routing.ts';
import { ANY, object, type Schema } from './schemas.ts';

/** A report carries up to 2,000 lines of dirt and as many divergences, whose values may be 2,000 characters long. */
const BODY_LIMIT = 64 * 1024 * 1024;

const METHODS = Object.entries(CONTROL_METHODS).filter(
  (entry): entry is [keyof typeof CONTROL_METHODS, ControlMethod] => entry[1] !== null,
);

const nameOf = (param: string): string => param.replace('?', '');

/**
 * The control plane itself, one call a route: what processes of the fleet and command lines on other machines work
 * through. Who acts is the token's name, whatever the call says.
 */
export function controlRoutes(app: FastifyInstance, parts: ServerParts): void {
  const { operations, feed } = parts;
  const { plane } = operations;

  addRoute(app, {
    method: 'GET',
    url: '/control',
    access: 'viewer',
    id: 'controlMethods',
    summary: 'The calls that there are, and their parameters in order',
    tag: 'control',
    answers: { 200: object({ methods: { type: 'object', additionalProperties: true } }) },
    handle: () => ({
      methods: Object.fromEntries(METHODS.map(([name, { params }]) => [name, Object.keys(params).map(nameOf)])),
    }),
  });

  for (const [name, method] of METHODS) {
    const run = plane[name] as (...args: readonly unknown[]) => Promise<unknown>;
    const order = Object.keys(method.params).map(nameOf);
    addRoute(app, {
      method: 'POST',
      url: `/control/${name}`,
      access: method.role,
      id: `control_${name}`,
      summary: `The control plane's ${name}`,
      tag: 'control',
      body: object(method.params),
      bodyLimit: BODY_LIMIT,
      answers: { 200: object({ 'result?': ANY }) },
      handle: async (request) => {
        const args = await admitted(request, method, parts);
        const caller = callerOf(request);
        if (name === 'ensureMigration' && !mayAct(caller.role, 'service')) {
          return { result: await plane.ruleset(args['name'] as string) };
        }
        const answer = await run(...order.map((param) => args[param]));
        if (method.role !== 'viewer' || method.roleOf !== undefined) feed.poke();
        const shared =
          method.share === undefined || caller.migrations === null
            ? answer
            : method.share(answer, (migration) => covers(caller, migration));
        return { result: shared };
      },
    });
  }
}

const schemaOf = ({ params }: ControlMethod, param: string): Schema | undefined => params[param] ?? params[`${param}?`];

/** Callers pass more along than a call asks for; nothing of it goes any further. */
function known(value: unknown, schema: Schema | undefined): unknown {
  if (schema?.['additionalProperties'] !== true || typeof value !== 'object' || value === null) return value;
  const properties = schema['properties'] as object;
  return Object.fromEntries(Object.entries(value).filter(([name]) => Object.hasOwn(properties, name)));
}

/** The arguments, with the caller in place of whoever the call says acts. @throws Forbidden, InvalidArgument */
async function admitted(request: FastifyRequest, method: ControlMethod, parts: ServerParts): Promise<Args> {
  const caller = callerOf(request);
  const args = Object.fromEntries(
    Object.entries(request.body as Args).map(([param, value]) => [param, known(value, schemaOf(method, param))]),
  );
  if (method.roleOf !== undefined) demandRole(caller, method.roleOf(args));
  method.check?.(args);
  if (caller.migrations !== null) {
    const scope = await method.scope(args, parts.operations.plane);
    if (scope === null) demandEverything(caller);
    else demandScope(caller, scope);
  }
  if (method.author === undefined) return args;
  const [param, field] = method.author;
  const authored = args[param] as Args;
  return { ...args, [param]: { ...authored, [field]: actorOf(caller, String(authored[field])) } };
}

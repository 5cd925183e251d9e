import { type CompareRules, NO_RULES, validateRules } from '../../verify/compare.ts';
import { canonicalHash } from '../core/canonical.ts';
import { InvalidConfiguration, UnknownMigration } from '../core/errors.ts';
import { KeySpec } from '../core/record-key.ts';
import { checkedOidc, type OidcOptions } from '../core/sign-in.ts';
import type { Side } from '../core/stage.ts';
import { type Codec, identityCodec, type StoreDefinition } from '../core/store.ts';
import type { QueryDefinition } from '../repository/paging.ts';
import type { StandardSchema } from '../repository/schema.ts';
import { schemaIdentity } from './schema-identity.ts';

/** One migration as a team describes it. */
export interface MigrationOptions<R extends object> {
  /** The fields that callers pass to name a record. */
  readonly key: readonly (keyof R & string)[] | (keyof R & string);
  /** The field or fields of the key that percentages are shares of: a user, a tenant. */
  readonly unit: readonly (keyof R & string)[] | (keyof R & string);
  readonly old: StoreDefinition;
  readonly new: StoreDefinition;
  /** Checks records before they are written: any Standard Schema, synchronous. */
  readonly schema?: StandardSchema;
  /**
   * Names what the schema demands, of whatever library or none: change it when that changes. Replays and verdicts are
   * bound to it. Without it they are bound to the JSON Schema of `schema`, or to the text of its validating function.
   */
  readonly schemaVersion?: string;
  /** How each store holds a record, where that is not the record itself. */
  readonly codecs?: { readonly old?: Codec; readonly new?: Codec };
  /** What counts as equal in shadow reads and verification, beyond equality. */
  readonly compare?: CompareRules;
  readonly queries?: Readonly<Record<string, QueryDefinition>>;
  /** Values of divergent fields appear in reports as they are, not masked. @default false */
  readonly showValues?: boolean;
  readonly owner?: string;
  readonly runbook?: string;
}

declare const recordType: unique symbol;

/** A checked migration, typed by its records. */
export interface MigrationDefinition<R extends object = object> {
  readonly [recordType]?: R;
  readonly keys: KeySpec;
  readonly stores: Readonly<Record<Side, StoreDefinition>>;
  readonly schema: StandardSchema | null;
  readonly codecs: Readonly<Record<Side, Codec>>;
  readonly rules: CompareRules;
  readonly queries: Readonly<Record<string, QueryDefinition>>;
  readonly showValues: boolean;
  readonly owner: string | null;
  readonly runbook: string | null;
  /**
   * Digest of what decides how records are held, and behind a dot that of their schema where there is one; verdicts and
   * checkpoints hold only for the same one.
   */
  readonly mapping: string;
}

export interface ConfigOptions<M extends Readonly<Record<string, MigrationDefinition>>> {
  /**
   * `postgres://user:password@host/database` for processes of any number of hosts (`?schema=` names the schema of its
   * tables, by default `changeover`); `sqlite:path` for those of one host; `https://host` of a `changeover serve`, with a
   * token; `memory` for tests in one process.
   */
  readonly control: string;
  /** Lets this process in at the server that `control` names: a token of the role `service`, or more for operators. */
  readonly token?: string | undefined;
  /**
   * Where `changeover serve` tells of moves, refusals, ramps that went back, divergences and stuck replays: addresses
   * that take what Slack's incoming webhooks take. Secrets; best from the environment.
   */
  readonly webhooks?: readonly string[] | undefined;
  /** How people sign in at `changeover serve` besides by tokens. @default by tokens only */
  readonly oidc?: OidcOptions | undefined;
  readonly migrations: M;
}

/** A checked configuration. */
export interface Config<M extends Readonly<Record<string, MigrationDefinition>> = Record<string, MigrationDefinition>> {
  readonly control: string;
  readonly token?: string | undefined;
  readonly webhooks?: readonly string[] | undefined;
  readonly oidc?: OidcOptions | undefined;
  readonly migrations: M;
}

const list = (value: unknown): readonly string[] => (Array.isArray(value) ? value : [value]) as readonly string[];

const isStore = (value: unknown): value is StoreDefinition =>
  typeof value === 'object' && value !== null && typeof (value as StoreDefinition).create === 'function';

const samePlace = ({ place: a, account }: StoreDefinition, { place: b, account: other }: StoreDefinition): boolean =>
  a !== undefined &&
  b !== undefined &&
  a.length === b.length &&
  a.every((part, i) => part === b[i]) &&
  account === other;

const isCodec = (value: unknown): value is Codec =>
  typeof value === 'object' &&
  value !== null &&
  typeof (value as Codec).encode === 'function' &&
  typeof (value as Codec).decode === 'function';

/**
 * Describes a migration. Connects to nothing.
 *
 * @throws InvalidConfiguration says what is wrong and what was expected
 * @example
 * migration<Event>({ key: ['userKey', 'id'], unit: 'userKey', old: sql({ … }), new: dynamodb({ … }) });
 */
export function migration<R extends object>(options: MigrationOptions<R>): MigrationDefinition<R> {
  for (const name of ['key', 'unit'] as const) {
    if (options[name] === undefined) {
      throw new InvalidConfiguration(`a migration names no ${name}`, {
        expected: "key: ['userKey', 'id'], unit: 'userKey'",
      });
    }
  }
  const keys = new KeySpec(list(options.key), list(options.unit));
  for (const side of ['old', 'new'] as const) {
    if (!isStore(options[side])) {
      throw new InvalidConfiguration(`the ${side} store of a migration is missing`, {
        expected: 'a store definition such as sql({ … }), dynamodb({ … }) or memory()',
      });
    }
    const codec = options.codecs?.[side];
    if (codec !== undefined && !isCodec(codec)) {
      throw new InvalidConfiguration(`the codec of the ${side} store is none`, {
        expected: '{ encode(record), decode(stored) }, both synchronous',
      });
    }
  }
  if (options.old === options.new || samePlace(options.old, options.new)) {
    throw new InvalidConfiguration('the old and the new store of a migration are the same data set', {
      expected: 'two: what is wiped in the end would be all that there is',
      remedy: 'name another table or database; a schema of PostgreSQL by options=-c search_path=… in its connection',
    });
  }
  const rules = options.compare ?? NO_RULES;
  validateRules(rules);
  for (const [name, query] of Object.entries(options.queries ?? {})) {
    if (typeof query?.old !== 'function' || typeof query.new !== 'function') {
      throw new InvalidConfiguration(`the query "${name}" lacks a function`, { expected: '{ old, new }' });
    }
  }
  const codecs = { old: options.codecs?.old ?? identityCodec, new: options.codecs?.new ?? identityCodec };
  return Object.freeze({
    keys,
    stores: { old: options.old, new: options.new },
    schema: options.schema ?? null,
    codecs,
    rules,
    queries: options.queries ?? {},
    showValues: options.showValues ?? false,
    owner: options.owner ?? null,
    runbook: options.runbook ?? null,
    mapping: [
      canonicalHash([
        keys.fields,
        keys.unitFields,
        ...(['old', 'new'] as const).flatMap((side) => [
          options[side].adapter,
          JSON.stringify(options[side].mapping),
          nameOf(codecs[side]),
        ]),
        JSON.stringify(rules),
        String(rules.custom),
      ]),
      ...schemaIdentity(options.schema, options.schemaVersion),
    ].join('.'),
  });
}

/** What a codec does, as far as it can be told. */
function nameOf(codec: Codec): string {
  if (codec === identityCodec) return 'identity';
  return codec.version === undefined ? `${codec.encode} ${codec.decode}` : `version ${codec.version}`;
}

/** An address that can be fetched; none that holds a password apart from its path is. */
function isWebAddress(value: unknown): boolean {
  const url = typeof value === 'string' ? URL.parse(value) : null;
  return url !== null && /^https?:$/.test(url.protocol) && url.username === '' && url.password === '';
}

/** The names that a migration may have: they go into file names, URLs and metrics. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$/;

/**
 * Checks a configuration; `changeover.config.ts` exports the result.
 * @throws InvalidConfiguration
 */
export function defineConfig<M extends Readonly<Record<string, MigrationDefinition>>>(
  options: ConfigOptions<M>,
): Config<M> {
  const { control, token, webhooks, oidc, migrations } = options ?? {};
  if (typeof control !== 'string' || control === '') {
    throw new InvalidConfiguration('the configuration names no control plane', {
      expected: "control: 'postgres://host/database' or 'sqlite:.changeover/control.db'; 'memory' in tests",
    });
  }
  if (token !== undefined && (typeof token !== 'string' || token === '')) {
    throw new InvalidConfiguration('the token of the configuration is none', {
      expected: 'the text that `changeover token create` printed, as of process.env.CHANGEOVER_TOKEN',
    });
  }
  if (webhooks !== undefined && !(Array.isArray(webhooks) && webhooks.every(isWebAddress))) {
    throw new InvalidConfiguration('the webhooks of the configuration are none', {
      expected: "a list of addresses without user and password: ['https://hooks.slack.com/services/…']",
    });
  }
  if (typeof migrations !== 'object' || migrations === null || Object.keys(migrations).length === 0) {
    throw new InvalidConfiguration('the configuration has no migrations', {
      expected: 'migrations: { name: migration({ … }) }',
    });
  }
  for (const [name, definition] of Object.entries(migrations)) {
    if (!NAME.test(name)) {
      throw new InvalidConfiguration(`"${name}" cannot name a migration`, {
        expected: 'letters, digits, ".", "_" and "-", beginning with a letter or digit',
      });
    }
    if (!(definition?.keys instanceof KeySpec)) {
      throw new InvalidConfiguration(`the migration "${name}" is not described`, { expected: 'migration({ … })' });
    }
  }
  if (oidc !== undefined) {
    for (const { migrations: named } of Object.values(checkedOidc(oidc).roles)) {
      const unknown = named?.find((name) => !Object.hasOwn(migrations, name));
      if (unknown === undefined) continue;
      throw new InvalidConfiguration(`oidc: there is no migration "${unknown}"`, {
        expected: Object.keys(migrations).join(', '),
      });
    }
  }
  return Object.freeze({
    control,
    ...(token === undefined ? {} : { token }),
    ...(webhooks === undefined ? {} : { webhooks: Object.freeze([...webhooks]) }),
    ...(oidc === undefined ? {} : { oidc }),
    migrations: Object.freeze({ ...migrations }),
  });
}

/** @throws UnknownMigration lists those that there are. */
export function definitionOf(config: Config, name: string): MigrationDefinition {
  const definition = Object.hasOwn(config.migrations, name) ? config.migrations[name] : undefined;
  if (definition !== undefined) return definition;
  throw new UnknownMigration(`there is no migration "${name}" in the configuration`, {
    expected: Object.keys(config.migrations).join(', '),
  });
}

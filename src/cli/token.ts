import { ROLES, type Role } from '../control/storage.ts';
import type { TokenInfo } from '../control/tokens.ts';
import { InvalidArgument } from '../core/errors.ts';
import { newSecret, tokenText } from '../server/token-text.ts';
import { EXIT } from './exit-code.ts';
import { didYouMean } from './nearest.ts';
import { examples, type Registration } from './registration.ts';
import { actor } from './session.ts';
import { printable, table } from './wording.ts';

interface CreateOptions {
  readonly role: string;
  readonly migrations?: string;
  readonly expires?: string;
}

const UNITS: Readonly<Record<string, number>> = { h: 3_600_000, d: 86_400_000, w: 604_800_000, y: 31_536_000_000 };

/** @throws InvalidArgument */
function parseRole(text: string): Role {
  const role = ROLES.find((known) => known === text);
  if (role !== undefined) return role;
  throw new InvalidArgument(`there is no role "${text}"`, { expected: ROLES.join(', '), ...didYouMean(text, ROLES) });
}

/** When a life that begins now ends. @throws InvalidArgument */
function parseLife(text: string, now: number): number {
  const [, count, unit] = /^(\d{1,4})([hdwy])$/.exec(text) ?? [];
  if (count !== undefined && unit !== undefined && Number(count) > 0) return now + Number(count) * (UNITS[unit] ?? 0);
  throw new InvalidArgument(`"${text}" is no life of a token`, { expected: '12h, 90d, 6w or 1y' });
}

const when = (at: number | null): string => (at === null ? '–' : new Date(at).toISOString().slice(0, 16));

function stateOf({ revokedAt, expiresAt }: TokenInfo, now: number): string {
  if (revokedAt !== null) return 'revoked';
  return expiresAt !== null && expiresAt <= now ? 'expired' : 'valid';
}

/** What is shown of a token: never its secret, once it was made. */
const tokenData = (token: TokenInfo, now: number) => ({
  id: token.id,
  kind: token.kind,
  name: token.name,
  role: token.role,
  migrations: token.migrations,
  state: stateOf(token, now),
  createdAt: new Date(token.createdAt).toISOString(),
  createdBy: token.createdBy,
  expiresAt: token.expiresAt === null ? null : new Date(token.expiresAt).toISOString(),
  usedAt: token.usedAt === null ? null : new Date(token.usedAt).toISOString(),
  usedFrom: token.usedFrom,
});

/** `changeover token create|list|revoke`: who gets in at the server. */
export const tokenCommand: Registration = (program, run) => {
  const token = program.command('token').description('who gets in at the server: create, list and revoke tokens');

  token
    .command('create')
    .description('create a token and print it, this once')
    .argument('<name>', 'of the person or service; stands in the history')
    .requiredOption('--role <role>', `${ROLES.join(', ')}: each may do what those before it may`)
    .option('--migrations <names>', 'only these, separated by commas (default: all)')
    .option('--expires <life>', '12h, 90d, 6w or 1y (default: never)')
    .addHelpText(
      'after',
      examples(
        'changeover token create events-api --role service --migrations events',
        'changeover token create ada --role operator --expires 90d',
      ),
    )
    .action(
      run(async (session, name: string, options: CreateOptions) => {
        const now = Date.now();
        const role = parseRole(options.role);
        const expiresAt = options.expires === undefined ? null : parseLife(options.expires, now);
        const migrations = options.migrations?.split(',').map((each) => each.trim()) ?? null;
        for (const each of migrations ?? []) await session.definition(each);
        const { plane } = await session.operations();
        for (const each of migrations ?? []) await plane.ensureMigration(each);
        const { secret, hash } = newSecret();
        const made = await plane.createToken({ name, hash, role, migrations, expiresAt, createdBy: actor() });
        const text = tokenText(made.id, secret);
        const { terminal } = session;
        terminal.say(text);
        terminal.note(`token ${made.id} of ${printable(name)}, role ${role}; it is shown only now`);
        return { code: EXIT.done, data: { ...tokenData(made, now), token: text } };
      }),
    );

  token
    .command('list')
    .description('all tokens, and who signed in without one; newest first, never their secrets')
    .addHelpText('after', examples('changeover token list'))
    .action(
      run(async (session) => {
        const { terminal } = session;
        const now = Date.now();
        const tokens = await (await session.operations()).plane.tokens();
        const rows = tokens.map((each) => [
          String(each.id),
          printable(each.name),
          each.kind,
          each.role,
          each.migrations?.join(', ') ?? 'all',
          stateOf(each, now),
          when(each.expiresAt),
          when(each.usedAt),
          each.usedFrom ?? '–',
        ]);
        if (rows.length === 0) terminal.say('nobody has a token');
        else {
          const head = ['id', 'name', 'kind', 'role', 'migrations', 'state', 'expires', 'last used', 'from'];
          terminal.say(table(head, rows, [0]));
        }
        return { code: EXIT.done, data: tokens.map((each) => tokenData(each, now)) };
      }),
    );

  token
    .command('revoke')
    .description('nobody gets in with it any more, within a second; its sessions end too')
    .argument('<id>', 'as `changeover token list` shows it, or the name')
    .addHelpText('after', examples('changeover token revoke 3', 'changeover token revoke events-api'))
    .action(
      run(async (session, text: string) => {
        const { plane } = await session.operations();
        const tokens = await plane.tokens();
        const now = Date.now();
        const named = tokens.filter((each) => each.name === text && stateOf(each, now) === 'valid');
        const found = tokens.filter((each) => String(each.id) === text);
        let revoked: TokenInfo | null = null;
        // Somebody who signed in without a token may have done so in several browsers.
        for (const { id } of found.length > 0 ? found : named) {
          revoked = await plane.revokeToken(id);
          session.terminal.say(`token ${id} of ${printable(revoked?.name ?? text)} is revoked`);
        }
        if (revoked === null) {
          throw new InvalidArgument(`there is no token "${text}"`, { remedy: 'changeover token list' });
        }
        return { code: EXIT.done, data: tokenData(revoked, now) };
      }),
    );
};

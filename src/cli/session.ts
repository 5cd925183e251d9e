import { userInfo } from 'node:os';
import type { Making } from '../control/control-dialect.ts';
import type { ControlPlaneApi } from '../control/control-plane.ts';
import type { Controller } from '../control/controller.ts';
import type { Authorship } from '../control/publish.ts';
import { ControlUnavailable, InvalidArgument, MigrationFinished, UnknownMigration } from '../core/errors.ts';
import type { RulesetDocument } from '../core/ruleset.ts';
import { type Config, defineConfig, type MigrationDefinition } from '../service/config.ts';
import { type Control, control } from '../service/control.ts';
import type { LogLevel } from '../telemetry/logger.ts';
import type { ExitCode } from './exit-code.ts';
import { findConfig, loadConfig } from './load-config.ts';
import { didYouMean } from './nearest.ts';
import type { Terminal } from './terminal.ts';

/** What a command came to: its exit code and its document; undefined where it has printed that itself. */
export interface Outcome {
  readonly code: ExitCode;
  readonly data: unknown;
}

/** What one call of the command line works with; opened as late as can be, closed whatever happens. */
export class Session {
  readonly terminal: Terminal;
  readonly signal: AbortSignal;
  /** Where the command was called: what its options name is relative to it. */
  readonly folder: string = process.cwd();
  readonly #configPath: string | undefined;
  #config: Promise<Config> | undefined;
  #operations: Promise<Control> | undefined;
  #making: Making = 'fresh';

  constructor(terminal: Terminal, signal: AbortSignal, configPath: string | undefined) {
    this.terminal = terminal;
    this.signal = signal;
    this.#configPath = configPath;
  }

  /** @throws InvalidConfiguration */
  config(): Promise<Config> {
    this.#config ??= loadConfig(findConfig(this.folder, this.#configPath)).then(withOwnToken);
    return this.#config;
  }

  /** Lets the control plane be upgraded, not only made where there is none; before anything is opened. */
  upgrading(): void {
    this.#making = true;
  }

  /** Takes another control plane than the configuration's, before anything is opened. @throws InvalidConfiguration */
  controlledBy(control: string): void {
    this.#config = this.config().then((config) => defineConfig({ ...config, control }));
    // Whoever awaits it hears of it.
    this.#config.catch(() => {});
  }

  /** @throws UnknownMigration names the nearest */
  async definition(name: string): Promise<MigrationDefinition> {
    const { migrations } = await this.config();
    const definition = Object.hasOwn(migrations, name) ? migrations[name] : undefined;
    if (definition !== undefined) return definition;
    const names = Object.keys(migrations);
    throw new UnknownMigration(`there is no migration "${name}"`, {
      expected: names.join(' or '),
      ...didYouMean(name, names),
    });
  }

  /** @throws InvalidConfiguration, ControlUnavailable */
  operations(): Promise<Control> {
    this.#operations ??= this.#open();
    return this.#operations;
  }

  /** The control plane, for what needs no store. @throws UnknownMigration */
  async plane(name: string): Promise<ControlPlaneApi> {
    await this.definition(name);
    return (await this.operations()).planeOf(name);
  }

  /** The present ruleset of a migration that can still be changed. @throws MigrationFinished */
  async moving(name: string): Promise<RulesetDocument> {
    const document = await (await this.plane(name)).ruleset(name);
    if (!document.finished) return document;
    const kept = document.dials.retireOld ? 'new' : 'old';
    const { cleaned } = await (await this.plane(name)).status(name);
    throw new MigrationFinished(`${name} is finished; it does not move any more`, {
      expected: 'a migration that is under way',
      remedy: cleaned
        ? `use the ${kept} store directly and take ${name} out of the configuration`
        : `changeover finish ${name} --yes, which takes its stamps and tombstones away`,
    });
  }

  /** Its stores connect when something needs them. @throws UnknownMigration */
  async controller(name: string): Promise<Controller> {
    await this.definition(name);
    return (await this.operations()).migration(name);
  }

  async close(): Promise<void> {
    const operations = await this.#operations?.catch(() => undefined);
    await operations?.close();
  }

  async #open(): Promise<Control> {
    const config = await this.config();
    if (config.control === 'memory') {
      this.terminal.note('note: the control plane is in memory; what this command changes ends with it');
    }
    try {
      const level = process.env['CHANGEOVER_LOG'];
      return await control(config, {
        prepare: this.#making,
        ...(level === undefined ? {} : { logger: level as LogLevel }),
      });
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : '';
      if (!/^E[A-Z0-9]+$/.test(code)) throw error;
      throw new ControlUnavailable(`the control plane cannot be opened: ${code}`, {
        expected: 'a place that this user may read and write',
        cause: error,
      });
    }
  }
}

/** Whoever works at a server does so with a token of their own, not with that of the services. */
function withOwnToken(config: Config): Config {
  const token = process.env['CHANGEOVER_TOKEN'];
  return token === undefined || token === '' || !/^https?:/.test(config.control)
    ? config
    : defineConfig({ ...config, token });
}

/** Who acts: the user of the operating system, unless CHANGEOVER_ACTOR names somebody else. */
export function actor(): string {
  const named = process.env['CHANGEOVER_ACTOR'];
  if (named !== undefined && named.trim() !== '') return named;
  try {
    return userInfo().username;
  } catch {
    return `uid ${process.getuid?.() ?? 'unknown'}`;
  }
}

export interface ReasonOptions {
  readonly reason?: string;
  readonly dryRun?: true;
}

/** Who acts and why. @throws InvalidArgument when a change has no reason */
export function authorship({ reason, dryRun }: ReasonOptions, byDefault?: string): Authorship {
  const text = reason?.trim() ?? '';
  if (text !== '') return { actor: actor(), reason: text };
  if (reason === undefined && byDefault !== undefined) return { actor: actor(), reason: byDefault };
  if (dryRun === true) return { actor: actor(), reason: 'dry run' };
  throw new InvalidArgument('a change needs its reason', {
    expected: '--reason "…", which goes into the history with your name',
    remedy: 'add --reason "OPS-2291", or --dry-run to change nothing',
  });
}
